import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, getRouteApi } from "@tanstack/react-router";
import { useMemo, useState } from "react";
import type { Schemas } from "../api/client";
import { Refusal, api, ok } from "../api/client";
import { Forest } from "../charts/forest";
import type { LineData } from "../charts/frame";
import { LineChart } from "../charts/frame";
import { change, dayOf, lasting, moment, percent, plural, score, sentence, whole, words } from "../lib/format";
import { useRefusal } from "../session";
import { Ago, Badge, Button, Callout, Card, Coming, Empty, Field, PageHead, Problem, Skeleton } from "../ui/base";
import { useCrumb } from "../ui/crumb";
import { Confirm, useSay } from "../ui/layers";
import { PART, Unread } from "../ui/parts";
import { Variants, between, nameOf } from "./experiment-parts";
import { Questions } from "./experiment-questions";
import type { Experiment } from "./experiments";
import { ExperimentStatus, targetOf } from "./experiments";
import type { Column } from "../ui/table";
import { Table } from "../ui/table";

const route = getRouteApi("/experiments/$id");
type Result = Schemas["ExperimentResult"];
type Comparison = Schemas["Comparison"];
const CORRECTIONS: Record<Exclude<Schemas["Correction"], "none">, string> = { holm: "Holm", bh: "Benjamini and Hochberg" };

export function ExperimentPage() {
  const { id } = route.useParams();
  const { tab = "results" } = route.useSearch();
  const found = useQuery({ queryKey: ["experiments", "one", id], queryFn: () => ok(api.GET("/api/v1/experiments/{experiment}", { params: { path: { experiment: id } } })) });
  const results = useQuery({
    queryKey: ["experiments", "results", id],
    enabled: Boolean(found.data) && found.data?.status !== "draft",
    queryFn: () => ok(api.GET("/api/v1/experiments/{experiment}/results", { params: { path: { experiment: id }, query: {} } })),
    refetchInterval: found.data?.status === "running" ? 30_000 : false,
  });
  useCrumb(found.data?.name);
  if (found.isError && !found.data) return <Unread what="experiment" error={found.error} retry={found.refetch} to="/experiments" list="To the experiments" />;
  const experiment = found.data;
  return (
    <>
      <PageHead title={experiment?.name ?? <Skeleton width={240} height={20} />} badge={experiment && <><ExperimentStatus of={experiment.status} />{experiment.winner && <Badge tone="good">Winner: {nameOf(experiment, experiment.winner)}</Badge>}{experiment.metadata?.simulated === true && <Badge>Simulated</Badge>}</>} lead={experiment && (experiment.description ?? <>Decides by {words(targetOf(experiment))}</>)}>
        {experiment ? <Actions experiment={experiment} result={results.data} /> : <Coming />}
      </PageHead>
      {experiment?.notices?.map((notice) => <Callout key={notice} tone="warn">{notice}</Callout>)}
      <nav className="tabs" aria-label="Parts of the experiment">
        {(["results", "questions", "setup"] as const).map((key) => <Link key={key} to="/experiments/$id" params={{ id }} search={{ tab: key === "results" ? undefined : key }} replace activeOptions={PART} aria-current={tab === key ? "page" : undefined}>{sentence(key)}</Link>)}
      </nav>
      {!experiment ? <Skeleton height={300} /> : tab === "setup" ? <Setup experiment={experiment} /> : tab === "questions" ? <Questions experiment={experiment} /> : experiment.status === "draft" ? (
        <Card label="Draft"><Empty title="Nobody is assigned yet">Start it when the application asks for assignments: over OFREP (flag <code>{experiment.key || experiment.name}</code>), the API, or the gateway.</Empty></Card>
      ) : results.isError ? (
        results.error instanceof Refusal && results.error.status === 409 ? <Card label="Results"><Empty title="Nothing was observed yet" command={`llmops experiment record ${experiment.id} --unit USER --metric ${targetOf(experiment)} --value 1`}>{results.error.message}</Empty></Card> : <Problem error={results.error} />
      ) : !results.data ? <Skeleton height={360} /> : <Results experiment={experiment} result={results.data} />}
    </>
  );
}

function Actions({ experiment, result }: { experiment: Experiment; result: Result | undefined }) {
  const refusal = useRefusal();
  const client = useQueryClient();
  const { say, refused } = useSay();
  const [completing, setCompleting] = useState(false);
  const [cancelling, setCancelling] = useState(false);
  const [winner, setWinner] = useState(result?.winner ?? "");
  const path = { params: { path: { experiment: experiment.id } } };
  const done = (what: string) => (fresh: Experiment) => {
    client.setQueryData(["experiments", "one", experiment.id], fresh);
    void client.invalidateQueries({ queryKey: ["experiments"] });
    setCompleting(false);
    setCancelling(false);
    say(what);
  };
  const start = useMutation({ mutationFn: () => ok(api.POST("/api/v1/experiments/{experiment}/start", path)), onSuccess: done("The experiment runs."), onError: refused });
  const pause = useMutation({ mutationFn: () => ok(api.POST("/api/v1/experiments/{experiment}/pause", path)), onSuccess: done("Paused: everybody gets the control."), onError: refused });
  const resume = useMutation({ mutationFn: () => ok(api.POST("/api/v1/experiments/{experiment}/resume", path)), onSuccess: done("The experiment goes on."), onError: refused });
  const complete = useMutation({ mutationFn: () => ok(api.POST("/api/v1/experiments/{experiment}/complete", { ...path, body: { winner: winner || null } })), onSuccess: done("Completed."), onError: refused });
  const cancel = useMutation({ mutationFn: () => ok(api.POST("/api/v1/experiments/{experiment}/cancel", path)), onSuccess: done("Cancelled."), onError: refused });
  const no = refusal("operator");
  return (
    <>
      {experiment.status === "draft" && <Button kind="primary" icon="runs" refused={no} disabled={start.isPending} onClick={() => start.mutate()}>Start</Button>}
      {experiment.status === "running" && <Button icon="pause" refused={no} disabled={pause.isPending} onClick={() => pause.mutate()}>Pause</Button>}
      {experiment.status === "paused" && <Button icon="runs" refused={no} disabled={resume.isPending} onClick={() => resume.mutate()}>Resume</Button>}
      {(experiment.status === "running" || experiment.status === "paused") && <Button kind="primary" refused={no} onClick={() => { setWinner(result?.winner ?? ""); setCompleting(true); }}>Complete</Button>}
      {experiment.status !== "completed" && experiment.status !== "cancelled" && <Button kind="danger" refused={no} onClick={() => setCancelling(true)}>Cancel</Button>}
      <Confirm title="Complete the experiment?" open={completing} onClose={() => setCompleting(false)} onConfirm={() => complete.mutate()} action="Complete" busy={complete.isPending}>
        {result && <Callout tone={result.conclusion === "winner" ? "good" : "warn"}><strong>{result.recommendation}</strong>{result.missing.map((one) => <div key={one.what}>{one.message}</div>)}</Callout>}
        <Field label="Winner" help="Everybody gets it from now on. Without one: the control.">{(props) => <select {...props} className="select" value={winner} onChange={(event) => setWinner(event.target.value)}><option value="">None</option>{experiment.variants.map((variant) => <option key={variant.id} value={variant.id}>{variant.name || variant.id}</option>)}</select>}</Field>
      </Confirm>
      <Confirm title="Cancel the experiment?" open={cancelling} onClose={() => setCancelling(false)} onConfirm={() => cancel.mutate()} action="Cancel the experiment" danger busy={cancel.isPending}><p>Everybody gets the control. What was observed stays, and it cannot be started again.</p></Confirm>
    </>
  );
}

function Results({ experiment, result }: { experiment: Experiment; result: Result }) {
  // Every day and segment is an analysis of its own: they come later than the whole.
  const slices = useQuery({
    queryKey: ["experiments", "slices", experiment.id],
    queryFn: () => ok(api.GET("/api/v1/experiments/{experiment}/results", { params: { path: { experiment: experiment.id }, query: { by_day: true, by_segment: true } } })),
    staleTime: 60_000,
  });
  const { metric = result.target_metric } = route.useSearch();
  const navigate = route.useNavigate();
  const metrics = [...new Set(result.comparisons.map((comparison) => comparison.metric))];
  const tone = result.conclusion === "winner" ? "good" : result.conclusion === "blocked" ? "bad" : "plain";
  const of = result.comparisons.filter((comparison) => comparison.metric === metric);
  return (
    <>
      {result.sample_ratio?.mismatch && <Mismatch experiment={experiment} ratio={result.sample_ratio} />}
      <Callout tone={tone} icon={tone === "good" ? "check" : "experiments"}>
        <strong>{result.recommendation}</strong>
        {result.missing.filter((one) => !result.recommendation.includes(one.message)).map((one) => <div key={one.what}>{sentence(one.message)}</div>)}
        {result.forecast && !result.recommendation.includes(result.forecast.message) && <div className="muted">{result.forecast.message}</div>}
      </Callout>
      {result.notices.filter((notice) => !experiment.notices?.includes(notice)).map((notice) => <Callout key={notice} tone="plain">{notice}</Callout>)}
      <div className="filters"><span className="segmented" role="group" aria-label="Metric">{metrics.map((one) => <button key={one} type="button" aria-pressed={one === metric} onClick={() => void navigate({ search: (old) => ({ ...old, metric: one === result.target_metric ? undefined : one }), replace: true })}>{sentence(words(one))}</button>)}</span><span className="faint">{plural(result.total_samples, "unit")} observed · computed <Ago time={result.computed_at} /> · {result.basis === "always_valid" ? "valid at every look" : "one look at the planned end"} · {Math.round((1 - result.alpha) * 100)} % intervals{result.correction !== "none" && `, p corrected by ${CORRECTIONS[result.correction]}`}</span></div>
      <Variants experiment={experiment} result={result} metric={metric} />
      <div className="grid two">
        <div className="stack spaced">
          <Card title={`Difference from ${nameOf(experiment, result.control)}`} aside={<span className="faint">{sentence(words(metric))}</span>}><Forest name={(id) => nameOf(experiment, id)} comparisons={of} segments={(slices.data?.segments ?? []).flatMap((slice) => slice.comparisons.filter((comparison) => comparison.metric === metric).map((comparison) => ({ ...comparison, slice: slice.name })))} show={of[0] ? between(of[0]) : score} /></Card>
          <Guardrails experiment={experiment} result={result} />
        </div>
        {slices.isError ? <Problem error={slices.error} /> : slices.data ? <Cumulative experiment={experiment} result={slices.data} metric={metric} /> : <Card title="Difference over time"><Skeleton height={260} /></Card>}
      </div>
    </>
  );
}

function Mismatch({ experiment, ratio }: { experiment: Experiment; ratio: Schemas["SampleRatio"] }) {
  return (
    <Callout tone="bad">
      <strong>The variants do not have the shares of units that they should: nothing can be concluded.</strong>
      <div>{Object.entries(ratio.observed).map(([variant, n]) => `${nameOf(experiment, variant)}: ${whole(n)} of ${whole(Math.round(ratio.expected[variant] ?? 0))} expected`).join(" · ")} · p {ratio.p_value.toPrecision(2)} at every look</div>
      <div>Look for a redirect, a crash or a filter that hits one variant only.</div>
    </Callout>
  );
}

function Cumulative({ experiment, result, metric }: { experiment: Experiment; result: Result; metric: string }) {
  const data = useMemo((): LineData | null => {
    const slices = result.cumulative ?? [];
    const variants = [...new Set(slices.flatMap((slice) => slice.comparisons.filter((one) => one.metric === metric).map((one) => one.variant)))];
    if (slices.length < 2 || variants.length === 0 || !slices.some((slice) => slice.comparisons.some((one) => one.metric === metric && one.interval))) return null;
    const show = between(result.comparisons.find((one) => one.metric === metric) ?? { kind: "continuous" });
    const of = (slice: Schemas["Slice"], variant: string) => slice.comparisons.find((one) => one.metric === metric && one.variant === variant);
    return {
      x: slices.map((slice) => dayOf(slice.name.slice(-10))),
      series: variants.map((variant, i) => ({
        label: `${nameOf(experiment, variant)} − ${nameOf(experiment, result.control)}`,
        // Without an interval a difference says nothing yet.
        values: slices.map((slice) => (of(slice, variant)?.interval ? (of(slice, variant)?.difference ?? null) : null)),
        lower: slices.map((slice) => of(slice, variant)?.interval?.low ?? null),
        upper: slices.map((slice) => of(slice, variant)?.interval?.high ?? null),
        n: slices.map((slice) => of(slice, variant)?.units ?? null),
        colour: i + 1,
        points: true,
      })),
      limits: [{ y: 0, label: "no difference" }],
      days: true,
      show,
    };
  }, [experiment, result, metric]);
  return (
    <Card title="Difference over time" aside={<span className="faint">cumulative, with its confidence sequence</span>}>
      {data ? <LineChart label={`Cumulative difference of ${words(metric)}`} data={data} height={230} /> : <Empty title="Too early">From the second day on that has an interval, the difference is drawn with it, day by day.</Empty>}
    </Card>
  );
}

function Guardrails({ experiment, result }: { experiment: Experiment; result: Result }) {
  const rows = result.comparisons.filter((comparison) => comparison.guardrail);
  if (rows.length === 0) return null;
  const rail = (comparison: Comparison) => comparison.guardrail as Schemas["GuardrailResult"];
  const columns: Column<Comparison>[] = [
    { head: "Metric", cell: (one) => <>{sentence(words(one.metric))}<div className="faint tiny">{nameOf(experiment, one.variant)}</div></> },
    { head: "State", cell: (one) => <Badge tone={rail(one).state === "holds" ? "good" : rail(one).state === "violated" ? "bad" : "warn"}>{rail(one).state === "open" ? "Not decided yet" : sentence(rail(one).state)}</Badge> },
    { head: "Worse by", right: true, cell: (one) => { const { harm, harm_at_most: most } = rail(one); return <span className="est"><span>{change(harm, between(one))}</span><small>{most != null ? `${change(most, between(one))} at most` : "no bound yet"}</small></span>; } },
    { head: "May be", right: true, cell: (one) => { const share = experiment.metrics?.find((metric) => metric.name === one.metric)?.guardrail; return <span className="est"><span>{between(one)(rail(one).margin)}</span>{share?.relative && <small>{percent(share.margin)} of {nameOf(experiment, result.control)}</small>}</span>; } },
    { head: "n", right: true, cell: (one) => whole(one.units) },
  ];
  return (
    <Card title="Guardrails" flush>
      <Table label="Guardrails" columns={columns} rows={rows} id={(one) => `${one.metric}/${one.variant}`} />
    </Card>
  );
}

function Setup({ experiment }: { experiment: Experiment }) {
  const split = experiment.traffic_split ?? {};
  return (
    <div className="grid two">
      <Card title="Facts">
        <dl className="facts">
          <dt>Id</dt><dd className="mono">{experiment.id}</dd>
          <dt>Flag</dt><dd className="mono">{experiment.key || experiment.name}</dd>
          <dt>Unit</dt><dd>{typeof experiment.unit === "string" ? experiment.unit : experiment.unit ? `attribute ${experiment.unit.attribute}` : "user"}</dd>
          <dt>Coverage</dt><dd>{percent(experiment.coverage ?? 1)}</dd>
          <dt>Split</dt><dd>{experiment.variants.map((variant) => `${variant.name || variant.id} ${split[variant.id ?? ""] != null ? percent(split[variant.id ?? ""] ?? 0) : "equal"}`).join(" · ")}</dd>
          <dt>Decides</dt><dd>{words(targetOf(experiment))}</dd>
          <dt>Basis</dt><dd>{experiment.analysis?.basis === "fixed_horizon" ? "one look at the planned end" : "valid at every look"}, α {experiment.analysis?.alpha ?? 0.05}{/^0[a-z]*$/.test(experiment.analysis?.min_duration ?? "") ? "" : `, at least ${lasting(experiment.analysis?.min_duration ?? "7d")}`}</dd>
          <dt>Planned</dt><dd>{experiment.analysis?.planned_n ? `${whole(experiment.analysis.planned_n)} units per variant` : "–"}</dd>
          <dt>Created</dt><dd>{moment(experiment.created_at)}</dd>
          {experiment.start_time && <><dt>Started</dt><dd>{moment(experiment.start_time)}</dd></>}
          {experiment.end_time && <><dt>Ended</dt><dd>{moment(experiment.end_time)}</dd></>}
        </dl>
      </Card>
      <Card title="As written"><pre className="code" tabIndex={0}>{JSON.stringify({ variants: experiment.variants, metrics: experiment.metrics, audience: experiment.audience, analysis: experiment.analysis }, null, 2)}</pre></Card>
    </div>
  );
}
