import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { useMemo } from "react";
import type { Schemas } from "../api/client";
import { api, curl, ok } from "../api/client";
import { LineChart, Sparkline } from "../charts/frame";
import { compact, latency, money, moved, percent, plural, score, sentence, within, words } from "../lib/format";
import { hourly } from "../lib/traffic";
import { Ago, Badge, Card, Dot, Empty, Long, PageHead, Problem, Skeleton, Told } from "../ui/base";
import type { Tone } from "../ui/base";
import { Hash, PromptLink, RunLink, severityTone } from "../ui/parts";
import type { Column } from "../ui/table";
import { Table } from "../ui/table";

type Overview = Schemas["Overview"];

export function OverviewPage() {
  const overview = useQuery({ queryKey: ["overview"], queryFn: () => ok(api.GET("/api/v1/overview")), refetchInterval: 60_000 });
  if (overview.isError && !overview.data) return <Problem error={overview.error} retry={() => void overview.refetch()} />;
  const data = overview.data;
  return (
    <>
      <PageHead title="Overview" lead={data ? <>The last 24 hours · read <Ago time={data.at} /></> : "The last 24 hours"} />
      <div className="grid cards">
        <QualityStat data={data} />
        <GateStat data={data} />
        <RunsStat data={data} />
        <AlertsStat data={data} />
        <TrafficStat data={data} />
        <SoftFailureStat data={data} />
        <LatencyStat data={data} />
        <SpendStat data={data} />
      </div>
      <div className="grid wide-left">
        <div className="stack spaced">
          <TrafficChart data={data} />
          <Deployments data={data} />
          <Experiments data={data} />
        </div>
        <Changes data={data} />
      </div>
    </>
  );
}

function Stat({ to, search, name, value, note, aside, loading }: { to: string; search?: Record<string, string>; name: string; value: ReactNode; note: ReactNode; aside?: ReactNode; loading: boolean }) {
  return (
    <Link to={to} search={search ?? {}} className="card stat">
      <span className="name">{name}</span>
      <span className="value">{loading ? <Skeleton width={90} height={22} /> : value}</span>
      <span className="note">{loading ? <Skeleton width="70%" /> : note}</span>
      {aside && <span className="spark">{aside}</span>}
    </Link>
  );
}

function QualityStat({ data }: { data: Overview | undefined }) {
  // A part of the samples says nothing of the dataset.
  const [last, before, ...older] = whole(data).reverse();
  const newest = data?.quality[data.quality.length - 1];
  const trend = [last, before, ...older].reverse().flatMap((point) => (point?.overall ? [point.overall.value] : []));
  const change = last?.overall && before?.overall ? last.overall.value - before.overall.value : null;
  return (
    <Stat
      to="/quality"
      {...(newest ? { search: { dataset: newest.dataset } } : {})}
      name={newest ? `Overall score · ${newest.dataset}` : "Overall score"}
      loading={!data}
      value={last?.overall ? score(last.overall.value) : "–"}
      note={last?.overall ? <>{within(last.overall)}{change !== null && ` · ${moved(change, score)} since the run before`}</> : newest && !last ? "Only parts of its samples were evaluated" : "Nothing was evaluated yet"}
      aside={<Sparkline values={trend} label={`Trend of the last ${trend.length} runs`} />}
    />
  );
}

/** The runs that evaluated all samples, oldest first. */
const whole = (data: Overview | undefined): Schemas["QualityPoint"][] => data?.quality.filter((point) => !point.partial) ?? [];

function GateStat({ data }: { data: Overview | undefined }) {
  const gated = whole(data).filter((point) => point.gate);
  const last = gated[gated.length - 1];
  return (
    <Stat
      to={last ? `/runs/${last.run}` : "/runs"}
      {...(last ? { search: { tab: "gate" } } : {})}
      name="Gate"
      loading={!data}
      value={last ? <span className={last.gate === "pass" ? "good" : last.gate === "fail" ? "bad" : "warn"}>{last.gate === "pass" ? "Passed" : last.gate === "fail" ? "Failed" : "Inconclusive"}</span> : "–"}
      note={last ? <>{last.prompt_name}@{last.prompt_version} · <Ago time={last.at} /></> : "No run was gated yet"}
    />
  );
}

function RunsStat({ data }: { data: Overview | undefined }) {
  const runs = data?.runs;
  return (
    <Stat
      to="/runs"
      name="Runs"
      loading={!data}
      value={runs && (runs.running > 0 ? <>{runs.running}<small>running now</small></> : <>{runs.completed + runs.failed + runs.cancelled}<small>in 24 h</small></>)}
      note={runs && `${runs.completed} completed · ${runs.failed} failed · ${runs.pending} waiting`}
    />
  );
}

function AlertsStat({ data }: { data: Overview | undefined }) {
  const alerts = data?.alerts;
  const open = alerts ? alerts.critical + alerts.warning + alerts.info : 0;
  return (
    <Stat
      to="/alerts"
      search={{ status: "open" }}
      name="Open alerts"
      loading={!data}
      value={<span className={alerts?.critical ? "bad" : alerts?.warning ? "warn" : ""}>{open}</span>}
      note={alerts && (open ? `${alerts.critical} critical · ${alerts.warning} warnings · ${alerts.info} info` : "Nothing needs you")}
    />
  );
}

function TrafficStat({ data }: { data: Overview | undefined }) {
  const now = data?.traffic;
  const before = data?.traffic_before.sums.calls ?? 0;
  const change = now && before > 0 ? now.sums.calls / before - 1 : null;
  return (
    <Stat
      to="/traffic"
      name="Calls"
      loading={!data}
      value={now && <>{compact(now.sums.calls)}{change !== null && <small>{moved(change, percent)} since the day before</small>}</>}
      note={now?.failure_rate ? `${percent(now.failure_rate.value)} failed (${percent(now.failure_rate.lower)}–${percent(now.failure_rate.upper)})` : "No calls through the gateway in 24 h"}
    />
  );
}

function SoftFailureStat({ data }: { data: Overview | undefined }) {
  const rate = data?.traffic.soft_failure_rate;
  const before = data?.traffic_before.soft_failure_rate;
  return (
    <Stat
      to="/traffic"
      search={{ soft: "true" }}
      name="Soft failures"
      loading={!data}
      value={rate ? <>{percent(rate.value)}{before && <small>{percent(before.value)} before</small>}</> : "–"}
      note={rate ? `${percent(rate.lower)}–${percent(rate.upper)} · n ${compact(rate.n)}` : "Answers that came and were wrong in form"}
    />
  );
}

function LatencyStat({ data }: { data: Overview | undefined }) {
  const now = data?.traffic;
  return (
    <Stat
      to="/traffic"
      name="Latency"
      loading={!data}
      value={now?.p50_ms != null ? <>{latency(now.p50_ms)}<small>median</small></> : "–"}
      note={now?.p95_ms != null ? `95 % below ${latency(now.p95_ms)} · n ${compact(now.sums.calls)}` : "Measured to the last byte"}
    />
  );
}

function SpendStat({ data }: { data: Overview | undefined }) {
  const now = data?.traffic.sums;
  const before = data?.traffic_before.sums;
  return (
    <Stat
      to="/traffic"
      name="Spend on traffic"
      loading={!data}
      value={now && now.calls > 0 ? <>{now.priced > 0 ? money(now.cost) : "Unknown"}{before && before.priced > 0 && <small>{money(before.cost)} before</small>}</> : "–"}
      note={now && now.calls > 0 ? `${compact(now.prompt_tokens + now.completion_tokens)} tokens · ${now.priced < now.calls ? `${compact(now.calls - now.priced)} calls have no price` : "every call has a price"}` : "By the price table of llmops.yaml"}
    />
  );
}

function TrafficChart({ data }: { data: Overview | undefined }) {
  const chart = useMemo(() => {
    if (!data || data.traffic.hours.length === 0) return null;
    const { x, hours } = hourly(data.traffic);
    const of = (pick: "calls" | "failed" | "soft_failed") => hours.map((hour) => hour?.[pick] || null);
    return {
      x,
      series: [
        { label: "Calls", values: of("calls"), colour: 1, bars: true },
        { label: "Failed", values: of("failed"), colour: 3, bars: true },
        { label: "Soft failures", values: of("soft_failed"), colour: 4, bars: true },
      ],
      show: compact,
      min: 0,
    };
  }, [data]);
  return (
    <Card title="Calls by hour" aside={<Link to="/traffic" className="link">Records</Link>}>
      {!data ? <Skeleton height={228} /> : chart ? <LineChart label="Calls by hour" data={chart} height={200} /> : (
        <Empty title="No traffic yet" command={curl("/v1/chat/completions", { model: "support-bot", messages: [{ role: "user", content: "Hello" }] })}>
          Point an OpenAI client’s base URL at this server’s <code>/v1</code> and name a deployment as the model.
        </Empty>
      )}
    </Card>
  );
}

const HEADS: Column<Schemas["DeploymentHead"]>[] = [
  {
    head: "Deployment",
    cell: ({ deployment }) => (
      <div className="row wrap tight">
        <Link className="cover" to="/deployments/$name" params={{ name: deployment.name }} search={{ environment: deployment.environment }}>{deployment.name}</Link>
        <Badge>{deployment.environment}</Badge>
        {deployment.safe_mode && <Badge tone="bad">Safe mode</Badge>}
      </div>
    ),
  },
  { head: "Prompt", cell: ({ prompt }) => <PromptLink name={prompt?.split("@")[0]} version={prompt?.split("@")[1]} /> },
  { head: "Model and manifest", wide: true, cell: ({ model, deployment }) => <div className="stack tight names" style={{ gap: 0 }}><Long className="mono">{model}</Long><span><Hash of={deployment.manifest} /></span></div> },
  { head: "Changed", right: true, cell: ({ deployment }) => <Ago time={deployment.updated_at} /> },
];

function Deployments({ data }: { data: Overview | undefined }) {
  return (
    <Card title="What runs where" flush aside={<Link to="/deployments" className="link">All deployments</Link>}>
      {!data ? <div className="card-body"><Skeleton height={40} /></div> : data.deployments.length === 0 ? (
        <Empty title="Nothing is deployed" action={<Link className="btn" to="/deployments">To the deployments</Link>}>
          A deployment is a name that live traffic calls. It points to one exact manifest and can be rolled back in one step.
        </Empty>
      ) : (
        <Table label="Deployments" columns={HEADS} rows={data.deployments} id={({ deployment }) => `${deployment.name}/${deployment.environment}`} />
      )}
    </Card>
  );
}

function Experiments({ data }: { data: Overview | undefined }) {
  if (!data || data.experiments.length === 0) return null;
  return (
    <Card title="Experiments under way" flush aside={<Link to="/experiments" className="link">All experiments</Link>}>
      <ul className="feed">
        {data.experiments.map((experiment) => (
          <li key={experiment.id}>
            <Dot tone={experiment.status === "running" ? "info" : "warn"} />
            <div className="grow"><Link className="hover-link strong" to="/experiments/$id" params={{ id: experiment.id }}>{experiment.name}</Link> <span className="muted">{experiment.variants.map((variant) => variant.name || variant.id).join(" against ")}</span></div>
            <span className="faint nowrap small">{experiment.status === "paused" ? "paused, " : ""}<Ago time={experiment.start_time} /></span>
          </li>
        ))}
      </ul>
    </Card>
  );
}

interface Change {
  id: string;
  at: string;
  tone: Tone;
  what: ReactNode;
  note?: ReactNode;
}

function Changes({ data }: { data: Overview | undefined }) {
  const changes = useMemo(() => (data ? [...together(data.events).map(told), ...data.prompts.map(pushed)].filter((c): c is Change => c !== null).sort((a, b) => b.at.localeCompare(a.at)) : []), [data]);
  return (
    <Card title="What changed since yesterday" flush aside={data && <span className="faint num">{plural(changes.length, "change")}</span>}>
      {!data ? <div className="card-body stack">{Array.from({ length: 8 }, (_, i) => <Skeleton key={i} height={16} />)}</div> : changes.length === 0 ? (
        <Empty title="Nothing changed">Runs, deployments, canaries, prompts, experiments and alerts of the last 24 hours stand here.</Empty>
      ) : (
        <ul className="feed scroll" tabIndex={0} aria-label="Changes">
          {changes.map((change) => (
            <li key={change.id}>
              <Dot tone={change.tone} />
              <div className="grow">
                <div className="wrap-any">{change.what}</div>
                {change.note && <div className="muted wrap-any small note">{change.note}</div>}
              </div>
              <span className="faint nowrap small"><Ago time={change.at} /></span>
            </li>
          ))}
        </ul>
      )}
    </Card>
  );
}

function pushed(prompt: Schemas["NewPrompt"]): Change {
  return { id: `prompt-${prompt.name}-${prompt.version}`, at: prompt.at, tone: "accent", what: <>New version <PromptLink name={prompt.name} version={prompt.version} /></>, note: [prompt.change, prompt.author].filter(Boolean).join(" · ") };
}

const DONE: Record<string, string> = { deploy: "points to another manifest", rollback: "was rolled back", safe_mode_on: "answers in safe mode", safe_mode_off: "left safe mode", configure: "has other settings" };

const EXPERIMENT: Record<string, string> = { draft: "was drafted", running: "runs", paused: "is paused", completed: "is complete", cancelled: "was cancelled" };

/** What became of a canary. That it is being promoted is told once it is. */
const CANARY: Record<string, [Tone, string]> = {
  draft: ["plain", "was drafted"],
  shadowing: ["info", "answers live traffic unseen"],
  exposing: ["accent", "is shown to more users"],
  paused: ["warn", "is paused"],
  awaiting_approval: ["warn", "waits for an approval"],
  promoted: ["good", "was promoted"],
  concluded: ["good", "would have been promoted"],
  aborted: ["bad", "was aborted"],
};

type Seen = Schemas["StoredEvent"] & { others?: number };

const WEIGHT: Record<Schemas["Severity"], number> = { critical: 2, warning: 1, info: 0 };

/** Alerts that one source raised, or resolved, at once are told as one: by the worst of them, and how many others there are. */
function together(events: Schemas["StoredEvent"][]): Seen[] {
  const seen: Seen[] = [];
  const groups = new Map<string, number>();
  for (const event of events) {
    const group = event.type === "alert" && event.alert.source_id ? `${event.action}/${event.alert.source}/${event.alert.source_id}/${event.at.slice(0, 16)}` : null;
    const place = group === null ? undefined : groups.get(group);
    const first = place === undefined ? undefined : seen[place];
    if (group === null || place === undefined || first?.type !== "alert" || event.type !== "alert") {
      if (group !== null) groups.set(group, seen.length);
      seen.push(event);
    } else {
      const worst = WEIGHT[event.alert.severity] > WEIGHT[first.alert.severity] ? event : first;
      seen[place] = { ...worst, others: (first.others ?? 0) + 1 };
    }
  }
  return seen;
}

function told(event: Seen): Change | null {
  const base = { id: `event-${event.id}`, at: event.at };
  switch (event.type) {
    case "run.completed":
    case "run.failed":
    case "run.cancelled": {
      const word = event.type.slice(4);
      return {
        ...base,
        tone: word === "completed" ? "good" : word === "failed" ? "bad" : "plain",
        what: <>Run <RunLink run={event.run} /> on {event.dataset} {word}</>,
        note: event.overall ? `${event.prompt_name ?? event.model_name}: overall ${score(event.overall.value)} (${within(event.overall)})` : event.error,
      };
    }
    case "alert":
      return { ...base, tone: event.action === "raised" ? severityTone(event.alert.severity) : "plain", what: event.others ? <>{plural(event.others + 1, "alert")} {event.action}{(event.alert.source === "run" || event.alert.source === "evaluation") && event.alert.source_id && <> by run <RunLink run={event.alert.source_id} /></>}</> : <><Link className="hover-link" to="/alerts" search={{ alert: event.alert.id }}>Alert</Link> {event.action}</>, note: event.others ? <><Link className="hover-link" to="/alerts" search={{ alert: event.alert.id }}>{sentence(words(event.alert.message))}</Link>, and {event.others} more</> : sentence(words(event.alert.message)) };
    case "deployment":
      return { ...base, tone: event.action === "rollback" || event.action === "safe_mode_on" ? "warn" : "info", what: <><Link className="hover-link" to="/deployments/$name" params={{ name: event.deployment }} search={{ environment: event.environment }}>{event.deployment}</Link> {DONE[event.action] ?? event.action}</>, note: event.environment };
    case "experiment":
      return { ...base, tone: "info", what: <>Experiment <Link className="hover-link" to="/experiments/$id" params={{ id: event.experiment }}>{event.name}</Link> {EXPERIMENT[event.status] ?? `is ${event.status}`}</> };
    case "canary": {
      const become = CANARY[event.status];
      return become ? { ...base, tone: become[0], what: <>Canary of <Link className="hover-link" to="/canaries/$id" params={{ id: event.canary }}>{event.deployment}</Link> {become[1]}</>, note: [event.environment, event.note && words(event.note)].filter(Boolean).join(" · ") } : null;
    }
    case "incident":
      return { ...base, tone: event.action === "closed" ? "plain" : "bad", what: <><Link className="hover-link" to="/incidents/$id" params={{ id: event.incident }}>Incident</Link> on <Link className="hover-link" to="/deployments/$name" params={{ name: event.deployment }} search={{ environment: event.environment }}>{event.deployment}</Link> {event.action}</>, note: event.environment };
    case "release": {
      const tone: Tone = event.status === "released" ? "good" : event.status === "open" && event.waiting ? "warn" : "plain";
      const where = event.status === "released" ? "is done" : event.status === "cancelled" ? "was cancelled" : `is at: ${words(event.step)}`;
      return { ...base, tone, what: <>Release of <Link className="hover-link" to="/releases/$id" params={{ id: event.release }}>{event.deployment}</Link> {where}</>, note: event.waiting && <Told text={sentence(event.waiting)} /> };
    }
    case "schedule":
      return event.action === "started" ? null : { ...base, tone: "warn", what: <>Schedule <Link className="hover-link" to="/schedules" search={{ schedule: event.schedule }}>{event.schedule}</Link> {event.action}</>, note: event.reason };
    default:
      return null;
  }
}

