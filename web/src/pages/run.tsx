import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, getRouteApi, useNavigate } from "@tanstack/react-router";
import type { Run, Schemas } from "../api/client";
import { api, ok } from "../api/client";
import { Histogram, Interval } from "../charts/frame";
import { again } from "../lib/again";
import { latency, moment, money, ms, percent, plural, score, sentence, whole, within, words } from "../lib/format";
import { useRefusal } from "../session";
import { Ago, Badge, Bar, Button, Callout, Card, Coming, Empty, Est, PageHead, Problem, Skeleton, Told } from "../ui/base";
import { useCrumb } from "../ui/crumb";
import { Confirm, Menu, useSay } from "../ui/layers";
import { Hash, Part, PromptLink, RunLink, RunStatus, Unread, Verdict, PART } from "../ui/parts";
import type { ReactNode } from "react";
import { useState } from "react";
import { Gate } from "./run-gate";
import { Samples } from "./run-samples";
import { useBaselineOf, useBaselines } from "./runs";
import type { Column } from "../ui/table";
import { Table } from "../ui/table";

const route = getRouteApi("/runs/$run");
const TABS = [
  ["summary", "Summary"],
  ["samples", "Samples"],
  ["gate", "Gate"],
  ["setup", "How it was made"],
] as const;

export function RunPage() {
  const { run: id } = route.useParams();
  const { tab = "summary" } = route.useSearch();
  const found = useQuery({
    queryKey: ["run", id],
    queryFn: () => ok(api.GET("/api/v1/runs/{run}", { params: { path: { run: id } } })),
    // The stream of events is faster; this is for when it is interrupted.
    refetchInterval: (query) => (query.state.data?.status === "running" ? 5_000 : false),
  });
  const baselines = useBaselines();
  useCrumb(found.data?.name);
  if (found.isError && !found.data) return <Unread what="run" error={found.error} retry={found.refetch} to="/runs" list="To the runs" />;
  const run = found.data;
  return (
    <>
      <PageHead
        title={run ? run.name : <Skeleton width={260} height={20} />}
        badge={run && <><RunStatus run={run} /><Part of={run} />{baselines.has(run.id) && <Badge tone="accent">Baseline</Badge>}{run.tags?.gate && <Verdict of={run.tags.gate} />}{run.metadata?.simulated === true && <Badge>Simulated</Badge>}</>}
        lead={run && <span className="row wrap" style={{ gap: "2px 12px" }}><PromptLink name={run.prompt_name} version={run.prompt_version} /><span className="mono">{run.model_name}</span><Link className="hover-link" to="/datasets/$name" params={{ name: run.dataset }} search={{ version: run.spec.dataset_version }}>{run.dataset}</Link><Ago time={run.created_at} /></span>}
      >
        {run ? <Actions run={run} /> : <Coming />}
      </PageHead>
      {run?.description && <p className="muted">{run.description}</p>}
      {run?.error && <Callout tone="bad"><strong><Told text={sentence(run.error)} /></strong></Callout>}
      {run?.results?.notices?.map((notice) => <Callout key={notice} tone="warn"><Told text={notice} /></Callout>)}
      {run?.status === "running" && <Progress run={run} />}
      <nav className="tabs" aria-label="Parts of the run">
        {TABS.map(([name, label]) => (
          <Link key={name} to="/runs/$run" params={{ run: id }} search={{ tab: name === "summary" ? undefined : name }} replace activeOptions={PART} aria-current={tab === name ? "page" : undefined}>
            {label}
            {name === "samples" && run?.results && <span className="count">{whole(run.results.total_samples)}</span>}
          </Link>
        ))}
      </nav>
      {!run ? <Skeleton height={320} /> : tab === "samples" ? <Samples run={run} /> : tab === "gate" ? <Gate run={run} /> : tab === "setup" ? <Setup run={run} /> : <Summary run={run} />}
    </>
  );
}

function Actions({ run }: { run: Run }) {
  const isBaseline = useBaselines().has(run.id);
  const refusal = useRefusal();
  const { say, refused } = useSay();
  const client = useQueryClient();
  const [promoting, setPromoting] = useState(false);
  const navigate = useNavigate();
  const done = (what: string) => (fresh: Run) => {
    client.setQueryData(["run", run.id], fresh);
    void client.invalidateQueries({ queryKey: ["runs"] });
    say(what);
  };
  const path = { params: { path: { run: run.id } } };
  const cancel = useMutation({ mutationFn: () => ok(api.POST("/api/v1/runs/{run}/cancel", path)), onSuccess: done("The run stops. It can be resumed."), onError: refused });
  const start = useMutation({ mutationFn: () => ok(api.POST("/api/v1/runs/{run}/start", path)), onSuccess: done("The run goes on: what has a result is not asked again."), onError: refused });
  const promote = useMutation({
    mutationFn: () => ok(api.POST("/api/v1/baselines", { body: { run: run.id } })),
    onSuccess: () => {
      setPromoting(false);
      void client.invalidateQueries();
      say(`This run is the baseline of ${run.dataset} now.`);
    },
    onError: refused,
  });
  const collect = useMutation({
    mutationFn: () => ok(api.POST("/api/v1/reviews/collect", { body: { run: run.id } })),
    onSuccess: ({ added, known }) => {
      void client.invalidateQueries({ queryKey: ["review"] });
      say(added > 0 ? `${plural(added, "answer")} came into the review queue.` : known > 0 ? "What its judges are unsure of is in the queue already." : "Its judges are sure of every answer.");
    },
    onError: refused,
  });
  const repeat = useMutation({
    mutationFn: () => ok(api.POST("/api/v1/runs", { body: again(run, run.prompt_version ?? undefined) })),
    onSuccess: (fresh) => {
      void client.invalidateQueries({ queryKey: ["runs"] });
      say("The run has begun.");
      void navigate({ to: "/runs/$run", params: { run: fresh.id } });
    },
    onError: refused,
  });
  const baseline = useBaselineOf(run.dataset);
  const verdict = run.gate?.verdict ?? run.tags?.gate;
  const judged = Object.keys(run.results?.judges ?? {}).length > 0;
  return (
    <>
      {run.status === "completed" && (
        <Menu
          label="More"
          items={[
            { label: "Run it again, on the newest samples", refused: refusal("editor"), onSelect: () => repeat.mutate() },
            ...(judged ? ([
              { label: "Queue what judges are unsure of", refused: refusal("editor"), onSelect: () => collect.mutate() },
              { label: "Compare its judge with people…", refused: refusal("editor"), onSelect: () => void navigate({ to: "/judges/new", search: { run: run.id } }) },
            ] as const) : []),
          ]}
        />
      )}
      {run.status === "completed" && !isBaseline && <Link className="btn" to="/compare" search={{ a: "baseline", b: run.id }}>Compare with the baseline</Link>}
      {(run.status === "running" || run.status === "pending") && <Button icon="stop" refused={refusal("editor")} disabled={cancel.isPending} onClick={() => cancel.mutate()}>Stop</Button>}
      {(run.status === "pending" || run.status === "failed" || run.status === "cancelled") && <Button icon="runs" refused={refusal("editor")} disabled={start.isPending} onClick={() => start.mutate()}>{run.status === "pending" ? "Start" : "Resume"}</Button>}
      {run.status === "completed" && !isBaseline && <Button kind={verdict === "fail" ? undefined : "primary"} refused={refusal("editor")} onClick={() => setPromoting(true)}>Make baseline</Button>}
      <Confirm title={`Make this run the baseline of ${run.dataset}?`} open={promoting} onClose={() => setPromoting(false)} onConfirm={() => promote.mutate()} action={verdict === "fail" ? "Make baseline all the same" : "Make baseline"} danger={verdict === "fail"} busy={promote.isPending}>
        <p>Gates on {run.dataset} compare with it from now on. The baseline before keeps its results.</p>
        {verdict !== "pass" && <Callout tone={verdict === "fail" ? "bad" : "warn"}><strong>{verdict === "fail" ? "The gate said no to this run." : verdict ? "The gate could not decide about this run." : "No gate has seen this run."}</strong> As the baseline, it is what later runs are measured by.</Callout>}
        <Numbers run={run} was={baseline} />
      </Confirm>
    </>
  );
}

/** The run's numbers, beside those of the baseline that it would replace. */
function Numbers({ run, was }: { run: Run; was: Run | undefined }) {
  const rows = [["This run", run], ["The baseline now", was]] as const;
  return (
    <dl className="facts">
      {rows.map(([label, one]) => <div key={label}><dt>{label}</dt><dd className="num">{one ? <>Overall <Est of={one.results?.overall} inline /> · {percent(one.results?.pass_rate.value)} passed, n {whole(one.results?.total_samples ?? 0)}{one !== run && <> · <RunLink run={one.id}>{one.name}</RunLink></>}</> : "none yet"}</dd></div>)}
    </dl>
  );
}

function Progress({ run }: { run: Run }) {
  const { done, total, errored, cost } = run.progress;
  return (
    <Card label="Progress">
      <div className="stack" role="status" aria-live="polite">
        <div className="row between"><span className="num">{whole(done)} of {whole(total)} answers</span><span className="faint num">{errored > 0 ? `${errored} errored · ` : ""}{money(cost)}</span></div>
        <Bar value={total ? done / total : 0} />
      </div>
    </Card>
  );
}

/** What a run cost, as far as it is known. */
function spent({ target_cost, target_unpriced, judge_cost, judges_unpriced }: Schemas["Spend"]): ReactNode {
  const known = target_cost + judge_cost;
  if (!target_unpriced && !judges_unpriced) return money(known);
  return known > 0 ? <>{money(known)}<small>and what has no price</small></> : <>Unknown<small>no price is configured</small></>;
}

/** Why a run has results, but no overall score. */
function noOverall({ spec, status, error }: Run): string {
  if (!Object.values(spec.scoring.metrics).some((metric) => (metric.weight ?? 0) > 0)) return "No metric has a weight";
  return status === "failed" || error ? "The run failed: it has none" : "No answer was scored";
}

function Summary({ run }: { run: Run }) {
  const results = run.results;
  if (!results) return run.status === "running" || run.status === "pending" ? <Empty title="Results come when the run is done">Samples that are done can be read already.</Empty> : <Empty title="This run has no results">It stopped before all samples were answered. What has an answer is kept: Resume goes on with the rest.</Empty>;
  const { spend } = results;
  return (
    <>
      <div className="grid cards">
        <div className="card stat"><span className="name">Overall score</span><span className="value">{results.overall ? score(results.overall.value) : "–"}</span><span className="note">{results.overall ? within(results.overall) : noOverall(run)}</span></div>
        <div className="card stat"><span className="name">Samples that passed</span><span className="value">{percent(results.pass_rate.value)}<small>{whole(results.passed_samples)} of {whole(results.total_samples - results.errored_samples)}</small></span><span className="note">{percent(results.pass_rate.lower)}–{percent(results.pass_rate.upper)} · n {whole(results.pass_rate.n)}{results.errored_samples > 0 && <span className="bad"> · {results.errored_samples} errored</span>}</span></div>
        <div className="card stat"><span className="name">Latency</span><span className="value">{latency(results.latency?.p50_ms)}<small>median</small></span><span className="note">{results.latency ? `95 % below ${latency(results.latency.p95_ms)} · n ${whole(results.latency.n)}` : "Nothing was called"}</span></div>
        <div className="card stat"><span className="name">Cost</span><span className="value">{spent(spend)}</span><span className="note">{spend.target_unpriced ? "unknown for" : money(spend.target_cost)} answers · {spend.judges_unpriced ? "unknown for" : money(spend.judge_cost)} judges · {whole(spend.prompt_tokens + spend.completion_tokens)} tokens{spend.cached > 0 && ` · ${spend.cached} cached`}</span></div>
      </div>
      <div className="grid wide-left">
        <Categories run={run} results={results} />
        <Distribution run={run} />
      </div>
      <div className="grid two">
        <Metrics run={run} results={results} />
        <Reasons run={run} results={results} />
      </div>
      {results.corrected && (
        <Callout tone="info">
          The judge was compared with {plural(results.corrected.labelled, "label")} of people: corrected by them, the overall score is {score(results.corrected.corrected.value)} ({score(results.corrected.corrected.lower)}–{score(results.corrected.corrected.upper)}) instead of {score(results.corrected.raw.value)}.
        </Callout>
      )}
    </>
  );
}

function Categories({ run, results }: { run: Run; results: Schemas["RunResults"] }) {
  const rows = Object.entries(results.categories).map(([name, category]) => ({ name, ...category }));
  const columns: Column<(typeof rows)[number]>[] = [
    { head: "Category", cell: ({ name }) => <Link className="cover" to="/runs/$run" params={{ run: run.id }} search={{ tab: "samples", category: name }}>{name ? sentence(words(name)) : "No category"}</Link> },
    { head: "Score", cell: (one) => <Est of={one.score} /> },
    { head: <span className="sr">Interval</span>, wide: true, width: "24%", cell: (one) => one.score && <Interval {...one.score} limit={run.spec.scoring.pass_threshold ?? null} /> },
    { head: "Passed", right: true, cell: (one) => <>{whole(one.samples - one.failed - one.errored)}/{whole(one.samples)}{one.errored > 0 && <span className="bad"> · {whole(one.errored)} errored</span>}</> },
    { head: "Weight", right: true, cell: (one) => percent(one.weight) },
  ];
  return (
    <Card title="Categories" flush aside={<span className="faint">95 % intervals</span>}>
      <Table label="Scores of categories" columns={columns} rows={rows} id={(one) => one.name} />
    </Card>
  );
}

function Distribution({ run }: { run: Run }) {
  const spread = useQuery({ queryKey: ["run", run.id, "distribution"], queryFn: () => ok(api.GET("/api/v1/runs/{run}/distribution", { params: { path: { run: run.id } } })), staleTime: Number.POSITIVE_INFINITY });
  const total = spread.data?.bins.reduce((sum, bin) => sum + bin.passed + bin.failed, 0) ?? 0;
  return (
    <Card title="Spread of composites" aside={spread.data && <span className="faint num">{plural(total, "answer")}{spread.data.errored > 0 && `, ${spread.data.errored} errored`}</span>}>
      {spread.isError ? <Problem error={spread.error} /> : !spread.data ? <Skeleton height={180} /> : <Histogram bins={spread.data.bins} label="Answers by composite score" height={180} />}
      <div className="chart-legend" style={{ marginTop: 8 }}><span className="grow">Answers by composite score</span><span><i style={{ background: "var(--good)", height: 8 }} />passed</span><span><i style={{ background: "var(--bad)", height: 8 }} />failed</span></div>
    </Card>
  );
}

function Metrics({ run, results }: { run: Run; results: Schemas["RunResults"] }) {
  // A metric that no sample has a score of stands among them all the same.
  const names = [...new Set([...Object.keys(results.metric_details), ...Object.keys(run.spec.scoring.metrics)])];
  const rows = names.map((name) => ({ name, estimate: results.metric_details[name], spec: run.spec.scoring.metrics[name] }));
  const columns: Column<(typeof rows)[number]>[] = [
    { head: "Metric", cell: ({ name, spec }) => <>{sentence(words(name))}<div className="faint tiny">{[spec && spec.kind !== name ? words(spec.kind) : "", results.judges?.[name]?.judges.join(", ")].filter(Boolean).join(" · ")}</div></> },
    { head: "Mean", cell: ({ estimate, spec }) => (spec?.kind === "latency" ? <Est of={estimate} show={ms} /> : spec?.kind === "cost" ? <Est of={estimate} show={money} /> : <Est of={estimate} />) },
    { head: "Weight", right: true, cell: ({ spec }) => (spec?.weight != null ? percent(spec.weight) : <span className="faint">reported</span>) },
    { head: "Threshold", right: true, cell: ({ spec }) => (spec?.weight != null || spec?.threshold != null ? (spec.threshold ?? run.spec.scoring.pass_threshold ?? "–") : "–") },
  ];
  return (
    <Card title="Metrics" flush>
      <Table label="Metrics" columns={columns} rows={rows} id={(one) => one.name} />
    </Card>
  );
}

function Reasons({ run, results }: { run: Run; results: Schemas["RunResults"] }) {
  const rows = [...Object.entries(results.failure_reasons).map(([reason, n]) => ({ reason, n, errored: false })), ...Object.entries(results.error_reasons).map(([reason, n]) => ({ reason, n, errored: true }))].sort((a, b) => b.n - a.n);
  const most = Math.max(1, ...rows.map((row) => row.n));
  const columns: Column<(typeof rows)[number]>[] = [
    { head: "Reason", cell: (row) => <><Link className="cover wrap-any" to="/runs/$run" params={{ run: run.id }} search={{ tab: "samples", status: row.errored ? "errored" : "failed" }}>{words(row.reason)}</Link>{row.errored && <> <Badge tone="warn">Errored</Badge></>}</> },
    { head: "Answers", right: true, cell: (row) => row.n },
    { head: <span className="sr">Share</span>, wide: true, width: "34%", cell: (row) => <Bar value={row.n / most} tone="bad" /> },
  ];
  return (
    <Card title="Why samples failed" flush>
      <Table label="Reasons" columns={columns} rows={rows} id={(row) => `${row.errored}/${row.reason}`} empty={<Empty title="Nothing failed">Every answer reached every threshold.</Empty>} />
    </Card>
  );
}

function Setup({ run }: { run: Run }) {
  const { spec } = run;
  const { manifest } = spec;
  return (
    <div className="grid two">
      <Card title="Identity">
        <dl className="facts">
          <dt>Run</dt><dd className="mono">{run.id}</dd>
          <dt>Suite</dt><dd>{spec.suite ?? <span className="faint">none</span>}</dd>
          <dt>Target</dt><dd>{spec.target}</dd>
          <dt>Manifest</dt><dd><Hash of={spec.manifest_id} /></dd>
          <dt>Prompt</dt><dd><PromptLink name={manifest.prompt} version={manifest.prompt_version} /> <Hash of={manifest.prompt_hash} /></dd>
          <dt>Model</dt><dd><span className="mono">{manifest.model}</span>{manifest.model_version && <span className="faint"> {manifest.model_version}</span>}</dd>
          <dt>Parameters</dt><dd className="mono">{Object.entries(manifest.parameters ?? {}).filter(([, v]) => v != null && !(Array.isArray(v) && v.length === 0)).map(([k, v]) => `${k} ${JSON.stringify(v)}`).join(", ") || "–"}</dd>
          <dt>Dataset version</dt><dd><Hash of={spec.dataset_version} /></dd>
          <dt>Trials per sample</dt><dd className="num">{spec.repeat}</dd>
          <dt>Response cache</dt><dd>{spec.cache ? "may be used" : "not used"}</dd>
          <dt>Created</dt><dd>{moment(run.created_at)}</dd>
          {run.start_time && run.end_time && <><dt>Took</dt><dd>{ms(new Date(run.end_time).getTime() - new Date(run.start_time).getTime())}</dd></>}
          {Object.entries(run.tags ?? {}).map(([name, value]) => <div key={name}><dt>Tag</dt><dd><Badge mono>{name}={value}</Badge></dd></div>)}
          {Object.entries(run.metadata ?? {}).map(([name, value]) => <div key={name}><dt>{name}</dt><dd className="mono">{typeof value === "string" ? (/^https?:\/\//.test(value) ? <a className="link" href={value} target="_blank" rel="noreferrer">{value}</a> : value) : JSON.stringify(value)}</dd></div>)}
        </dl>
      </Card>
      <div className="stack spaced">
        {manifest.system && <Card title="System message"><pre className="code" tabIndex={0}>{manifest.system}</pre></Card>}
        <Card title="Scoring"><pre className="code" tabIndex={0}>{JSON.stringify(spec.scoring, null, 2)}</pre></Card>
      </div>
    </div>
  );
}
