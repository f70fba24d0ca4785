import { useInfiniteQuery, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, getRouteApi } from "@tanstack/react-router";
import { useMemo, useState } from "react";
import type { PageOf } from "../api/client";
import { Refusal, send } from "../api/client";
import type { LineData } from "../charts/frame";
import { Interval, LineChart } from "../charts/frame";
import { moment, money, ms, percent, plural, score, signed, whole, words } from "../lib/format";
import { rolling } from "../lib/stats";
import { useRefusal } from "../session";
import { Ago, Badge, Button, Callout, Card, Empty, Field, PageHead, Problem, Skeleton } from "../ui/base";
import type { Tone } from "../ui/base";
import { WordDiff } from "../ui/diff";
import { Confirm, Dialog, useSay } from "../ui/layers";
import { Hash, PART } from "../ui/parts";
import type { Column } from "../ui/table";
import { ListFoot, Table } from "../ui/table";

const route = getRouteApi("/canaries/$id");

export interface Canary {
  id: string;
  deployment: string;
  environment: string;
  candidate: string;
  candidate_model: string;
  production: string;
  production_model: string;
  policy: Policy;
  dry_run?: boolean;
  state: { status: string; stage?: number | null; cause?: unknown };
  since: string;
  started_by?: string | null;
  approved_by?: string | null;
  note?: string | null;
  created_at: string;
  updated_at: string;
}

interface Policy {
  share: number | string;
  min_samples: number;
  window?: { min: string; max: string };
  warn?: { loss_rate: number | string };
  promote?: { net_win: number | string; approval: boolean };
  abort?: { net_win_upper: number };
  budget?: { per_hour: number; total: number };
  stages?: (number | string)[];
}

interface Measure {
  n: number;
  clusters: number;
  value: number;
  low: number;
  high: number;
  needed?: number | null;
}

interface Decision {
  action: string | Record<string, unknown>;
  message: string;
  checks: { name: string; status: string; message: string }[];
  estimate?: { pairs: number; seconds?: number | null } | null;
}

interface Situation {
  asked: number;
  pairs: number;
  wins: number;
  losses: number;
  ties: number;
  elapsed_seconds: number;
  spent: number;
  measures: { net_win?: Measure | null; loss_rate?: Measure | null; guardrails: { guardrail: string; value: number; limit: number; tested: Measure; bound: number }[]; awaited?: string[]; unmeasured?: string[] };
}

interface Report {
  canary: Canary;
  spent_this_hour: number;
  waiting: number;
  skipped: Record<string, number>;
  situation: Situation;
  decision: Decision;
}

interface Pair {
  id: string;
  at: string;
  status: string;
  verdict?: string | null;
  flipped?: boolean;
  production: Seen;
  candidate?: Seen | null;
  production_score?: number | null;
  candidate_score?: number | null;
  reasons?: string[];
  error?: string | null;
  texts?: Record<string, unknown> | null;
}

interface Seen {
  model: string;
  latency_ms: number;
  cost?: number | null;
  chars: number;
  soft_failures?: string[];
}

interface Logged {
  number: number;
  at: string;
  situation: Situation;
  decision: Decision;
  acted: boolean;
}

const share = (value: number | string | undefined): number => (typeof value === "number" ? value : value?.endsWith("%") ? Number.parseFloat(value) / 100 : Number(value ?? Number.NaN));

const TONES: Record<string, Tone> = { draft: "plain", shadowing: "info", exposing: "accent", paused: "warn", awaiting_approval: "warn", promoting: "good", promoted: "good", concluded: "good", aborted: "bad" };

export function CanaryStatus({ of }: { of: Canary }) {
  return <Badge tone={TONES[of.state.status] ?? "plain"}>{words(of.state.status)}{of.state.stage != null && ` · stage ${of.state.stage + 1}`}</Badge>;
}

export const canariesQuery = { queryKey: ["canaries"], queryFn: () => send<PageOf<Canary>>("GET", "/api/v1/canaries?limit=200") };

/** The canaries of the list of deployments. */
export function Canaries() {
  const canaries = useQuery(canariesQuery);
  // A server without canaries has no list of them.
  if (canaries.error instanceof Refusal && canaries.error.status === 404) return null;
  const columns: Column<Canary>[] = [
    { head: "Canary", cell: (one) => <span className="row tight"><Link className="cover" to="/canaries/$id" params={{ id: one.id }}>{one.deployment}</Link><Badge>{one.environment}</Badge>{one.dry_run && <Badge outline>dry run</Badge>}</span> },
    { head: "State", cell: (one) => <CanaryStatus of={one} /> },
    { head: "Candidate", cell: (one) => <span className="row tight"><span className="mono">{one.candidate_model}</span><Hash of={one.candidate} /></span> },
    { head: "Beside", wide: true, cell: (one) => <span className="mono muted">{one.production_model}</span> },
    { head: "Note", wide: true, cell: (one) => <span className="muted">{one.note ?? "–"}</span> },
    { head: "Changed", right: true, cell: (one) => <Ago time={one.updated_at} /> },
  ];
  return (
    <Card title="Canaries" flush>
      <Table label="Canaries" columns={columns} rows={canaries.data?.items} id={(one) => one.id} error={canaries.error} expected={2} empty={<Empty title="No canary" command="llmops canary start support-bot --prompt support-bot@1.1.0 --policy canary.yaml">A candidate answers a share of live traffic unseen. A policy then warns, promotes or stops by itself.</Empty>} />
    </Card>
  );
}

export function CanaryPage() {
  const { id } = route.useParams();
  const { tab = "state" } = route.useSearch();
  const found = useQuery({ queryKey: ["canaries", id], queryFn: () => send<Report>("GET", `/api/v1/canaries/${encodeURIComponent(id)}`), refetchInterval: 15_000 });
  if (found.isError && !found.data) return <Problem error={found.error} retry={() => void found.refetch()} />;
  const report = found.data;
  const canary = report?.canary;
  return (
    <>
      <PageHead title={canary ? `Canary of ${canary.deployment}` : <Skeleton width={220} height={20} />} badge={canary && <><Badge>{canary.environment}</Badge><CanaryStatus of={canary} />{canary.dry_run && <Badge outline>dry run</Badge>}</>} lead={canary && <><span className="mono">{canary.candidate_model}</span> beside <span className="mono">{canary.production_model}</span>, on {percent(share(canary.policy.share))} of requests</>}>
        {canary && <Actions canary={canary} />}
      </PageHead>
      {canary?.note && <Callout tone="plain">{canary.note}</Callout>}
      <nav className="tabs" aria-label="Parts of the canary">{(["state", "pairs", "decisions"] as const).map((key) => <Link key={key} to="/canaries/$id" params={{ id }} search={{ tab: key === "state" ? undefined : key }} replace activeOptions={PART} aria-current={tab === key ? "page" : undefined}>{key === "state" ? "State" : key === "pairs" ? "Pairs" : "Decisions"}</Link>)}</nav>
      {!report ? <Skeleton height={320} /> : tab === "pairs" ? <Pairs id={id} /> : tab === "decisions" ? <Decisions id={id} /> : <State report={report} />}
    </>
  );
}

function Actions({ canary }: { canary: Canary }) {
  const refusal = useRefusal();
  const client = useQueryClient();
  const { say, refused } = useSay();
  const [asked, setAsked] = useState<"promote" | "abort" | "approve" | null>(null);
  const [reason, setReason] = useState("");
  const step = useMutation({
    mutationFn: (what: string) => send<Canary>("POST", `/api/v1/canaries/${encodeURIComponent(canary.id)}/${what}`, { reason: reason || null }),
    onSuccess: (_, what) => {
      setAsked(null);
      setReason("");
      for (const key of ["canaries", "deployments", "overview"]) void client.invalidateQueries({ queryKey: [key] });
      say({ begin: "The canary has begun.", pause: "Paused: the candidate answers nothing.", resume: "The canary goes on.", approve: "Approved.", promote: "The deployment points to the candidate.", abort: "Stopped: production answers alone." }[what] ?? "Done.");
    },
    onError: refused,
  });
  const no = refusal("operator");
  const status = canary.state.status;
  const active = ["shadowing", "exposing", "paused", "awaiting_approval"].includes(status);
  return (
    <>
      {status === "draft" && <Button kind="primary" refused={no} onClick={() => step.mutate("begin")}>Begin</Button>}
      {(status === "shadowing" || status === "exposing") && <Button icon="pause" refused={no} onClick={() => step.mutate("pause")}>Pause</Button>}
      {status === "paused" && <Button icon="runs" refused={no} onClick={() => step.mutate("resume")}>Resume</Button>}
      {active && <Button kind="danger" refused={no} onClick={() => setAsked("abort")}>Abort</Button>}
      {status === "awaiting_approval" && <Button kind="primary" refused={no} onClick={() => setAsked("approve")}>Approve</Button>}
      {active && status !== "awaiting_approval" && <Button kind="primary" refused={no} onClick={() => setAsked("promote")}>Promote</Button>}
      <Confirm title={asked === "abort" ? "Abort the canary?" : asked === "approve" ? "Approve the candidate?" : "Promote the candidate now?"} open={asked !== null} onClose={() => setAsked(null)} onConfirm={() => asked && step.mutate(asked)} action={asked === "abort" ? "Abort" : asked === "approve" ? "Approve" : "Promote"} danger={asked === "abort"} busy={step.isPending}>
        <p>{asked === "abort" ? "The candidate answers nothing more. What was exposed is taken back." : `${canary.deployment} in ${canary.environment} points to the candidate, whatever the policy says. It can be rolled back.`}</p>
        <Field label="Reason">{(props) => <input {...props} className="input" value={reason} onChange={(event) => setReason(event.target.value)} />}</Field>
      </Confirm>
    </>
  );
}

function State({ report }: { report: Report }) {
  const { situation, decision, canary } = report;
  const { net_win, loss_rate, guardrails, awaited, unmeasured } = situation.measures;
  const { policy } = canary;
  const judged = Math.max(situation.pairs, 1);
  return (
    <>
      <Callout tone={decision.checks.some((check) => check.status === "broken") ? "bad" : decision.checks.every((check) => check.status === "met") ? "good" : "plain"} icon="info">
        <strong>{decision.message}</strong>
        {decision.estimate && <div className="muted">About {plural(decision.estimate.pairs, "more judged pair")}{decision.estimate.seconds != null && `, ${ms(decision.estimate.seconds * 1000)}`}, if everything stays as it is.</div>}
      </Callout>
      <div className="grid cards">
        <div className="card stat"><span className="name">Judged pairs</span><span className="value">{whole(situation.pairs)}<small>of {whole(policy.min_samples)}</small></span><span className="note">{whole(situation.asked)} asked · {whole(report.waiting)} waiting</span></div>
        <div className="card stat"><span className="name">Net wins</span><span className="value">{net_win ? `${signed(net_win.value * 100, 1)} %` : "–"}</span><span className="note">{net_win ? `${signed(net_win.low * 100, 1)} to ${signed(net_win.high * 100, 1)} % · n ${whole(net_win.n)}` : "Too few pairs for bounds"}</span></div>
        <div className="card stat"><span className="name">Losses</span><span className="value">{loss_rate ? percent(loss_rate.value) : "–"}</span><span className="note">{loss_rate ? `${percent(loss_rate.low)} to ${percent(loss_rate.high)} · warns from ${percent(share(policy.warn?.loss_rate))}` : "Too few pairs for bounds"}</span></div>
        <div className="card stat"><span className="name">Spent</span><span className="value">{money(situation.spent)}<small>of {money(policy.budget?.total)}</small></span><span className="note">{money(report.spent_this_hour)} this hour, of {money(policy.budget?.per_hour)}</span></div>
      </div>
      <div className="grid two">
        <Card title="Wins, ties and losses" aside={<span className="faint num">{plural(situation.pairs, "pair")}</span>}>
          <svg width="100%" height="26" role="img" aria-label={`${situation.wins} wins, ${situation.ties} ties, ${situation.losses} losses`}>
            <rect x="0" width={`${(situation.wins / judged) * 100}%`} height="26" fill="var(--good)" opacity="0.85" />
            <rect x={`${(situation.wins / judged) * 100}%`} width={`${(situation.ties / judged) * 100}%`} height="26" fill="var(--active)" />
            <rect x={`${((situation.wins + situation.ties) / judged) * 100}%`} width={`${(situation.losses / judged) * 100}%`} height="26" fill="var(--bad)" opacity="0.85" />
          </svg>
          <div className="row between num" style={{ marginTop: 6 }}><span className="good">{whole(situation.wins)} wins</span><span className="muted">{whole(situation.ties)} ties</span><span className="bad">{whole(situation.losses)} losses</span></div>
          {net_win && (
            <div style={{ marginTop: 14 }}>
              <div className="row between" style={{ fontSize: 12 }}><span>Net wins, bounds that hold at every look</span><span className="faint num">promotes beyond {percent(share(policy.promote?.net_win))}</span></div>
              <Interval value={net_win.value} lower={net_win.low} upper={net_win.high} from={-0.5} to={0.5} limit={share(policy.promote?.net_win)} tone={net_win.high < 0 ? "var(--bad)" : net_win.low > 0 ? "var(--good)" : "var(--series-1)"} />
            </div>
          )}
        </Card>
        <Card title="Conditions of a promotion" flush>
          <div className="table-wrap"><table className="table compact" aria-label="Conditions"><tbody>{decision.checks.map((check) => <tr key={check.name}><td className="nowrap">{words(check.name)}</td><td><Badge tone={check.status === "met" ? "good" : check.status === "broken" ? "bad" : check.status === "open" ? "info" : "plain"}>{words(check.status)}</Badge></td><td className="muted wrap-any">{check.message}</td></tr>)}</tbody></table></div>
        </Card>
      </div>
      <Beside id={canary.id} />
      <Card title="Guardrails" flush>
        {guardrails.length + (awaited?.length ?? 0) + (unmeasured?.length ?? 0) === 0 ? <Empty title="The policy names no guardrail" /> : (
          <div className="table-wrap"><table className="table" aria-label="Guardrails"><thead><tr><th scope="col">Guardrail</th><th scope="col" className="right">Value</th><th scope="col" className="right">Limit</th><th scope="col">Bounds</th><th scope="col" className="right">n</th></tr></thead><tbody>
            {guardrails.map((rail) => <tr key={rail.guardrail}><td>{words(rail.guardrail)}</td><td className="right num">{rail.value.toPrecision(3)}</td><td className="right num">{rail.limit.toPrecision(3)}</td><td className="num">{rail.tested.low.toPrecision(3)} to {rail.tested.high.toPrecision(3)} <Badge tone={rail.tested.low > rail.bound ? "bad" : rail.tested.high <= rail.bound ? "good" : "info"}>{rail.tested.low > rail.bound ? "broken" : rail.tested.high <= rail.bound ? "holds" : "open"}</Badge></td><td className="right num">{whole(rail.tested.n)}</td></tr>)}
            {awaited?.map((name) => <tr key={name}><td>{words(name)}</td><td colSpan={4} className="muted">too little was seen yet</td></tr>)}
            {unmeasured?.map((name) => <tr key={name}><td>{words(name)}</td><td colSpan={4} className="muted">cannot be measured here, and decides nothing</td></tr>)}
          </tbody></table></div>
        )}
      </Card>
      {Object.keys(report.skipped).length > 0 && <p className="faint">Drawn and left out: {Object.entries(report.skipped).map(([reason, n]) => `${words(reason)} ${whole(n)}`).join(", ")}.</p>}
    </>
  );
}

const WINDOW = 20;
/** Below so many pairs an interval is wider than the scale. */
const FEW = 5;

/** Scores of both sides over time: means of the last pairs, with their intervals. */
function Beside({ id }: { id: string }) {
  const pairs = useQuery({ queryKey: ["canaries", id, "scores"], queryFn: () => send<PageOf<Pair>>("GET", `/api/v1/canaries/${encodeURIComponent(id)}/pairs?limit=500`), staleTime: 30_000 });
  const data = useMemo((): LineData | null => {
    const scored = (pairs.data?.items ?? []).filter((pair) => pair.production_score != null && pair.candidate_score != null).sort((a, b) => a.at.localeCompare(b.at));
    if (scored.length < 3) return null;
    const side = (label: string, colour: number, of: (pair: Pair) => number | null | undefined) => {
      const bands = rolling(scored.map((pair) => of(pair) ?? null), WINDOW);
      return { label, colour, points: false, values: bands.map((band) => band?.value ?? null), lower: bands.map((band) => (band && band.n >= FEW ? band.lower : null)), upper: bands.map((band) => (band && band.n >= FEW ? band.upper : null)), n: bands.map((band) => band?.n ?? null) };
    };
    return { x: scored.map((pair) => new Date(pair.at).getTime() / 1000), series: [side("Production", 1, (pair) => pair.production_score), side("Shadow", 2, (pair) => pair.candidate_score)], show: score };
  }, [pairs.data]);
  return (
    <Card title="Production against shadow" aside={<span className="faint">means of {WINDOW} pairs, newest 500</span>}>
      {pairs.isPending ? <Skeleton height={220} /> : data ? <LineChart label="Scores of production and shadow" data={data} height={190} /> : <Empty title="Too few judged pairs">From the third on, both sides’ scores are drawn.</Empty>}
    </Card>
  );
}

function Pairs({ id }: { id: string }) {
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const pairs = useInfiniteQuery({
    queryKey: ["canaries", id, "pairs", search.verdict],
    initialPageParam: undefined as string | undefined,
    queryFn: ({ pageParam }) => send<PageOf<Pair>>("GET", `/api/v1/canaries/${encodeURIComponent(id)}/pairs?${new URLSearchParams({ limit: "50", ...(search.verdict ? { verdict: search.verdict } : {}), ...(pageParam ? { cursor: pageParam } : {}) })}`),
    getNextPageParam: (last) => last.next_cursor ?? undefined,
  });
  const rows = pairs.data?.pages.flatMap((page) => page.items);
  const shown = rows?.find((pair) => pair.id === search.pair);
  const columns: Column<Pair>[] = [
    { head: "Time", cell: (pair) => <Link className="cover" to="/canaries/$id" params={{ id }} search={{ ...search, pair: pair.id }} replace><Ago time={pair.at} /></Link> },
    { head: "Verdict", cell: (pair) => (pair.verdict ? <Badge tone={pair.verdict === "win" ? "good" : pair.verdict === "loss" ? "bad" : "plain"}>{pair.verdict}</Badge> : <span className="muted">{words(pair.status)}</span>) },
    { head: "Scores", right: true, wide: true, cell: (pair) => (pair.production_score != null && pair.candidate_score != null ? `${pair.production_score.toFixed(2)} → ${pair.candidate_score.toFixed(2)}` : "–") },
    { head: "Latency", right: true, wide: true, cell: (pair) => `${ms(pair.production.latency_ms)} → ${ms(pair.candidate?.latency_ms)}` },
    { head: "Cost", right: true, wide: true, cell: (pair) => `${money(pair.production.cost)} → ${money(pair.candidate?.cost)}` },
    { head: "Why", cell: (pair) => <span className="muted truncate" style={{ display: "block", maxWidth: 340 }}>{pair.error ?? pair.reasons?.[0] ?? "–"}</span> },
  ];
  return (
    <>
      <div className="filters"><span className="segmented" role="group" aria-label="Verdict">{([undefined, "win", "tie", "loss"] as const).map((one) => <button key={one ?? "all"} type="button" aria-pressed={search.verdict === one} onClick={() => void navigate({ search: (old) => ({ ...old, verdict: one }), replace: true })}>{one ? `${one[0]?.toUpperCase()}${one.slice(1)}` : "All"}</button>)}</span></div>
      <Card label="Pairs" flush>
        <Table label="Pairs" columns={columns} rows={rows} id={(pair) => pair.id} error={pairs.error} empty={<Empty title="No pair fits">Requests that are drawn appear here once the candidate has answered them.</Empty>} />
        {rows && rows.length > 0 && <ListFoot shown={rows.length} more={pairs.hasNextPage} loading={pairs.isFetchingNextPage} onMore={() => void pairs.fetchNextPage()} what={rows.length === 1 ? "pair" : "pairs"} />}
      </Card>
      {shown && (
        <Dialog title={`Pair of ${moment(shown.at)}`} shape="drawer" open onClose={() => void navigate({ search: (old) => ({ ...old, pair: undefined }), replace: true })}>
          <div className="row wrap">{shown.verdict && <Badge tone={shown.verdict === "win" ? "good" : shown.verdict === "loss" ? "bad" : "plain"}>{shown.verdict}</Badge>}{shown.flipped && <Badge tone="warn">the order changed the judge’s mind</Badge>}</div>
          {shown.reasons?.map((reason, i) => <p key={i}>{reason}</p>)}
          {shown.error && <Callout tone="bad">{shown.error}</Callout>}
          <Texts texts={shown.texts} />
          <Link className="link" to="/traffic" search={{ record: shown.id }}>The request’s record</Link>
        </Dialog>
      )}
    </>
  );
}

function Texts({ texts }: { texts: Record<string, unknown> | null | undefined }) {
  if (!texts) return <p className="faint">The texts are not kept, by the policy.</p>;
  const text = (name: string): string | null => (typeof texts[name] === "string" ? (texts[name] as string) : null);
  const [before, after] = [text("production"), text("candidate")];
  return (
    <>
      {Object.entries(texts).filter(([, value]) => typeof value === "string").map(([name, value]) => <div key={name} className="message"><header>{words(name)}</header><div>{value as string}</div></div>)}
      {before !== null && after !== null && <div className="message"><header>Candidate against production</header><div><WordDiff before={before} after={after} /></div></div>}
    </>
  );
}

function Decisions({ id }: { id: string }) {
  const log = useInfiniteQuery({
    queryKey: ["canaries", id, "decisions"],
    initialPageParam: undefined as string | undefined,
    queryFn: ({ pageParam }) => send<PageOf<Logged>>("GET", `/api/v1/canaries/${encodeURIComponent(id)}/decisions?${new URLSearchParams({ limit: "50", ...(pageParam ? { cursor: pageParam } : {}) })}`),
    getNextPageParam: (last) => last.next_cursor ?? undefined,
  });
  const rows = log.data?.pages.flatMap((page) => page.items);
  const columns: Column<Logged>[] = [
    { head: "No.", right: true, width: 56, cell: (one) => one.number },
    { head: "When", cell: (one) => <Ago time={one.at} /> },
    { head: "Action", cell: (one) => <Badge tone={one.acted ? "accent" : "plain"}>{words(typeof one.decision.action === "string" ? one.decision.action : (Object.keys(one.decision.action)[0] ?? ""))}</Badge> },
    { head: "Why", cell: (one) => <span className="wrap-any">{one.decision.message}</span> },
    { head: "Pairs", right: true, wide: true, cell: (one) => `${one.situation.wins} / ${one.situation.ties} / ${one.situation.losses}` },
    { head: "Net wins", right: true, wide: true, cell: (one) => (one.situation.measures.net_win ? `${signed(one.situation.measures.net_win.low * 100, 1)} to ${signed(one.situation.measures.net_win.high * 100, 1)} %` : "–") },
  ];
  return (
    <Card title="Decision log" flush aside={<span className="faint">each with everything it was made from</span>}>
      <Table label="Decisions" compact columns={columns} rows={rows} id={(one) => String(one.number)} error={log.error} empty={<Empty title="Nothing was decided yet" />} />
      {rows && rows.length > 0 && <ListFoot shown={rows.length} more={log.hasNextPage} loading={log.isFetchingNextPage} onMore={() => void log.fetchNextPage()} what="decisions" />}
    </Card>
  );
}
