import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, getRouteApi, useNavigate } from "@tanstack/react-router";
import { useMemo, useState } from "react";
import type { Schemas } from "../api/client";
import { api, ok } from "../api/client";
import type { LineData, Mark } from "../charts/frame";
import { LineChart, heat } from "../charts/frame";
import { figure, plural, score, sentence, short, words } from "../lib/format";
import { means } from "../lib/stats";
import { useRefusal } from "../session";
import { Ago, Badge, Button, Card, Dot, Empty, PageHead, Problem, Skeleton, Tip } from "../ui/base";
import { useSay } from "../ui/layers";
import { PART, severityTone } from "../ui/parts";
import { Beside } from "./canary-charts";
import { Judges } from "./judges";
import { Filter } from "./runs";

const route = getRouteApi("/quality");
type Point = Schemas["QualityPoint"];
const WINDOW = 7;

export function QualityPage() {
  const { tab = "scores" } = route.useSearch();
  return (
    <>
      <PageHead title="Quality" lead={tab === "judges" ? "How far the judges’ scores can be believed." : "Scores of completed runs over time, and what changed when they moved."}>
        {tab === "scores" && <TestAlert />}
      </PageHead>
      <nav className="tabs" aria-label="Parts of quality">{([["scores", "Scores"], ["judges", "Judges"]] as const).map(([key, label]) => <Link key={key} to="/quality" search={{ tab: key === "scores" ? undefined : key }} replace activeOptions={PART} aria-current={tab === key ? "page" : undefined}>{label}</Link>)}</nav>
      {tab === "judges" ? <Judges /> : <Scores />}
    </>
  );
}

function Scores() {
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const asked = Number(search.days ?? 30);
  const days = Number.isInteger(asked) && asked >= 1 && asked <= 366 ? asked : 30;
  const { dataset, suite, prompt, model } = search;
  const quality = useQuery({
    queryKey: ["quality", dataset, suite, prompt, model, days],
    queryFn: () => ok(api.GET("/api/v1/quality", { params: { query: { dataset, suite, prompt, model, days } } })),
    placeholderData: (old) => old,
  });
  const set = (part: Record<string, string | undefined>) => void navigate({ search: (old) => ({ ...old, ...part }), replace: true });
  const points = quality.data?.points ?? [];
  return (
    <>
      <div className="filters" role="search" aria-label="Filter">
        <select className="select" aria-label="Dataset" value={quality.data?.dataset ?? ""} onChange={(event) => set({ dataset: event.target.value || undefined, category: undefined })}>
          {quality.data?.datasets.length === 0 && <option value="">No dataset</option>}
          {quality.data?.datasets.map((one) => <option key={one.name} value={one.name}>{one.name} ({one.runs})</option>)}
        </select>
        <Filter name="prompt" placeholder="Prompt" value={prompt ?? ""} onChange={(value) => set({ prompt: value || undefined })} />
        <Filter name="model" placeholder="Model" value={model ?? ""} onChange={(value) => set({ model: value || undefined })} />
        <span className="segmented" role="group" aria-label="Time">
          {[7, 30, 90, 365].map((n) => <button key={n} type="button" aria-pressed={days === n} onClick={() => set({ days: n === 30 ? undefined : String(n) })}>{n === 365 ? "1 y" : `${n} d`}</button>)}
        </span>
        {quality.data?.mlflow && <a className="link" href={quality.data.mlflow} target="_blank" rel="noreferrer">Runs in MLflow</a>}
      </div>
      {quality.isError && !quality.data ? <Problem error={quality.error} retry={() => void quality.refetch()} /> : !quality.data ? <Skeleton height={340} /> : points.length === 0 ? (
        <Card label="Quality"><Empty title="No completed run in this time" action={<Link className="btn" to="/runs">To the runs</Link>} command="llmops eval">Each completed run is a point here. A <Link className="link inline" to="/schedules">schedule</Link> makes one regularly.</Empty></Card>
      ) : (
        <>
          <OverTime points={points} limits={quality.data.limits} category={search.category} onCategory={(category) => set({ category })} />
          <div className="grid wide-left">
            <Heatmap points={points} />
            <Drift />
          </div>
        </>
      )}
      <Shadow />
    </>
  );
}

/** Where the prompt, the model or the dataset version is another one than in the run before. */
export function changes(points: Point[]): Mark[] {
  return points.flatMap((point, i) => {
    const before = points[i - 1];
    if (!before) return [];
    const told: string[] = [];
    if (before.prompt_name !== point.prompt_name || before.prompt_version !== point.prompt_version) told.push(`${point.prompt_name === before.prompt_name ? "" : `${point.prompt_name ?? "no prompt"} `}${point.prompt_version ?? ""}`.trim());
    if (before.model !== point.model) told.push(point.model);
    if (before.dataset_version !== point.dataset_version) told.push(`data ${point.dataset_version.slice(0, 6)}`);
    return told.length ? [{ x: new Date(point.at).getTime() / 1000, label: told.join(" · ") }] : [];
  });
}

function OverTime({ points, limits, category, onCategory }: { points: Point[]; limits: Schemas["QualityLimits"]; category: string | undefined; onCategory: (category: string | undefined) => void }) {
  const navigate = useNavigate();
  const parts = points.filter((point) => point.partial).length;
  const categories = [...new Set(points.flatMap((point) => Object.keys(point.categories)))].filter(Boolean);
  const data = useMemo((): LineData => {
    const of = (point: Point) => (category ? point.categories[category] : point.overall) ?? null;
    const name = category ? words(category) : "Overall";
    // Runs of a part of the samples stand beside the others, and are in no mean.
    const line = (partial: boolean) => {
      const estimates = points.map((point) => (Boolean(point.partial) === partial ? of(point) : null));
      const each = (pick: "value" | "lower" | "upper" | "n") => estimates.map((one) => one?.[pick] ?? null);
      return { values: each("value"), lower: each("lower"), upper: each("upper"), n: each("n"), colour: 1, points: true };
    };
    const mean = means(points, WINDOW, (point) => of(point)?.value ?? null);
    return {
      x: points.map((point) => new Date(point.at).getTime() / 1000),
      series: [
        { ...line(false), label: name, solid: true },
        { label: `Mean of ${WINDOW} runs`, values: mean, colour: 2, dashed: true, points: false },
        ...(points.some((point) => point.partial) ? [{ ...line(true), label: `${name}, of a part of the samples`, lone: true }] : []),
      ],
      marks: changes(points),
      limits: [category ? { y: limits.category_min, label: `gate: category ${limits.category_min.toFixed(2)}`, tone: "bad" } : { y: limits.overall_min, label: `gate: overall ${limits.overall_min.toFixed(2)}`, tone: "bad" }],
      show: score,
    };
  }, [points, limits, category]);
  return (
    <Card
      title="Score over time"
      aside={
        <select className="select" style={{ height: 26 }} aria-label="Category" value={category ?? ""} onChange={(event) => onCategory(event.target.value || undefined)}>
          <option value="">Overall</option>
          {categories.map((name) => <option key={name} value={name}>{sentence(words(name))}</option>)}
        </select>
      }
    >
      <LineChart label="Score over time" data={data} height={300} onPick={(i) => points[i] && void navigate({ to: "/runs/$run", params: { run: points[i].run } })} />
      <p className="faint" style={{ marginTop: 6 }}>{plural(points.length - parts, "run")}{parts > 0 && `, and ${parts} of a part of the samples: hollow points, in no mean`}. Dotted lines: another prompt, model or dataset version from here on. A click opens the run. The dashed limit is the gate’s; suites may have their own.</p>
    </Card>
  );
}

/** The newest run on all samples of each version of the prompt, by category. */
function Heatmap({ points }: { points: Point[] }) {
  const newest = new Map<string, Point>();
  for (const point of points.filter((one) => !one.partial)) newest.set(`${point.prompt_name ?? ""}@${point.prompt_version ?? point.model}`, point);
  const columns = [...newest.entries()].sort((a, b) => a[1].at.localeCompare(b[1].at)).slice(-8);
  const names = [...new Set(columns.flatMap(([, point]) => Object.keys(point.categories)))].sort();
  const all = columns.flatMap(([, point]) => Object.values(point.categories).map((estimate) => estimate.value));
  const [low, high] = [Math.min(...all, 0.5), Math.max(...all)];
  const several = new Set(columns.map(([, point]) => point.prompt_name)).size > 1;
  return (
    <Card title="Category by version" aside={<span className="faint">newest whole run of each</span>}>
      {columns.length === 0 ? <p className="muted">No run of this time evaluated all samples.</p> : <div className="table-wrap" tabIndex={0} role="group" aria-label="The scores">
        <table className="heat">
          <thead><tr><th scope="col"><span className="sr">Category</span></th>{columns.map(([key, point]) => <th key={key} scope="col" style={{ textAlign: "center", paddingRight: 0 }}>{several ? key : point.prompt_version ?? point.model}</th>)}</tr></thead>
          <tbody>
            {names.map((name) => (
              <tr key={name}>
                <th scope="row">{name ? sentence(words(name)) : "No category"}</th>
                {columns.map(([key, point]) => {
                  const estimate = point.categories[name];
                  return <td key={key}>{estimate ? <Tip text={`${score(estimate.value)} (${score(estimate.lower)}–${score(estimate.upper)}, n ${estimate.n})`}><Link to="/runs/$run" params={{ run: point.run }} search={{ tab: "samples", category: name }} style={heat(estimate.value, low, high)}><span><span className="sr">{words(name)} in {key}: </span>{estimate.value.toFixed(2)}<span className="sr">, n {estimate.n}</span></span></Link></Tip> : <span className="faint">–</span>}</td>;
                })}
              </tr>
            ))}
          </tbody>
        </table>
      </div>}
    </Card>
  );
}

const LIVE = ["shadowing", "exposing", "paused", "awaiting_approval"];

/** Candidates that answer live traffic now, beside production. */
function Shadow() {
  const canaries = useQuery({ queryKey: ["canaries"], queryFn: () => ok(api.GET("/api/v1/canaries", { params: { query: { limit: 200 } } })) });
  const live = canaries.data?.items.filter((one) => LIVE.includes(one.state.status)).slice(0, 2) ?? [];
  return <>{live.map((one) => <Beside key={one.id} id={one.id}><Link className="link" to="/canaries/$id" params={{ id: one.id }}>Canary of {one.deployment}</Link></Beside>)}</>;
}

function Drift() {
  const alerts = useQuery({ queryKey: ["alerts", "drift"], queryFn: () => ok(api.GET("/api/v1/alerts", { params: { query: { types: "anomaly,regression", limit: 20 } } })) });
  return (
    <Card title="Drift and regressions" flush aside={<Link className="link" to="/alerts" search={{ type: "anomaly" }}>Alerts</Link>}>
      {alerts.isError ? <div className="card-body"><Problem error={alerts.error} /></div> : !alerts.data ? <div className="card-body"><Skeleton height={80} /></div> : alerts.data.items.length === 0 ? <Empty title="None detected">Series of scores are watched for a drop that noise does not explain.</Empty> : (
        <ul className="feed scroll" tabIndex={0} aria-label="Drift and regressions">
          {alerts.data.items.map((alert) => (
            <li key={alert.id}>
              <Dot tone={alert.resolved_at ? "plain" : severityTone(alert.severity)} />
              <div className="grow"><Link className="hover-link wrap-any" to="/alerts" search={{ alert: alert.id }}>{sentence(words(alert.message))}</Link><div className="row wrap tight small">{alert.metric && <Badge>{sentence(words(alert.metric))}</Badge>}{alert.actual_value != null && <span className="muted num">{figure(alert.actual_value)}{alert.threshold != null && ` · limit ${figure(alert.threshold)}`}</span>}{alert.resolved_at && <Badge tone="good">Resolved</Badge>}</div></div>
              <span className="faint nowrap small" title={short(alert.created_at)}><Ago time={alert.created_at} /></span>
            </li>
          ))}
        </ul>
      )}
    </Card>
  );
}

/** Fires a real alert of severity info, through the same channels as any other. */
export function TestAlert() {
  const client = useQueryClient();
  const refusal = useRefusal();
  const { say, refused } = useSay();
  const [sent, setSent] = useState(false);
  const fire = useMutation({
    mutationFn: async () => {
      const channels = await ok(api.GET("/api/v1/channels"));
      if (channels.items.length > 0) return ok(api.POST("/api/v1/channels/test", { body: {} }));
      return { items: [] };
    },
    onSuccess: (answer) => {
      setSent(true);
      void client.invalidateQueries({ queryKey: ["deliveries"] });
      const failed = answer.items.filter((one) => !one.ok);
      if (answer.items.length === 0) say("No channel is configured", "bad", "Name one under channels in llmops.yaml: slack, webhook, pagerduty or command.");
      else if (failed.length > 0) say(`${failed[0]?.channel}: ${failed[0]?.error ?? "failed"}`, "bad", failed.length > 1 ? `and ${failed.length - 1} more` : undefined);
      else say(`The test alert reached ${answer.items.map((one) => one.channel).join(", ")}.`);
    },
    onError: refused,
  });
  return <Button icon="alerts" refused={refusal("editor")} disabled={fire.isPending} onClick={() => fire.mutate()}>{fire.isPending ? "Sending…" : sent ? "Send another test alert" : "Send a test alert"}</Button>;
}
