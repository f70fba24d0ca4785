import { useInfiniteQuery, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, getRouteApi } from "@tanstack/react-router";
import { useState } from "react";
import type { Schemas } from "../api/client";
import { Refusal, api, ok } from "../api/client";
import { Interval } from "../charts/frame";
import { change, lasting, moment, money, ms, percent, plural, points, score, sentence, signed, whole, words } from "../lib/format";
import { forPage } from "../lib/told";
import { useRefusal, useSession } from "../session";
import { Ago, Badge, Button, Callout, Card, Coming, Empty, Field, PageHead, Skeleton } from "../ui/base";
import type { Tone } from "../ui/base";
import { useCrumb } from "../ui/crumb";
import { Icon } from "../ui/icons";
import { WordDiff } from "../ui/diff";
import { Confirm, Dialog, useSay } from "../ui/layers";
import { ManifestDiff, ManifestLine } from "../ui/manifest";
import { MessageText, PART, Unread } from "../ui/parts";
import type { Column } from "../ui/table";
import { ListFoot, Table } from "../ui/table";
import { Beside, NetWins } from "./canary-charts";

const route = getRouteApi("/canaries/$id");

type Canary = Schemas["Canary"];
type Report = Schemas["CanaryReport"];
type Pair = Schemas["ShadowPair"];
type Logged = Schemas["LoggedDecision"];

type Condition = Schemas["CanaryCheck"];

const TONES: Record<Canary["state"]["status"], Tone> = { draft: "plain", shadowing: "info", exposing: "accent", paused: "warn", awaiting_approval: "warn", promoting: "good", promoted: "good", concluded: "good", aborted: "bad" };
const VERDICTS: Record<Schemas["PairVerdict"], [Tone, string]> = { win: ["good", "Win"], tie: ["plain", "Tie"], loss: ["bad", "Loss"] };
const CHECKS: Record<Condition["status"], [Tone, string]> = { met: ["good", "Met"], open: ["info", "Open"], broken: ["bad", "Broken"], unmeasured: ["plain", "Unmeasured"] };

function CanaryStatus({ of }: { of: Canary }) {
  const { state } = of;
  return <Badge tone={TONES[state.status]}>{sentence(words(state.status))}{"stage" in state && state.stage != null && ` · stage ${state.stage + 1} of ${of.policy.stages?.length ?? 1}`}</Badge>;
}

function VerdictBadge({ of }: { of: Schemas["PairVerdict"] }) {
  const [tone, text] = VERDICTS[of];
  return <Badge tone={tone}>{text}</Badge>;
}

const canariesQuery = { queryKey: ["canaries"], queryFn: () => ok(api.GET("/api/v1/canaries", { params: { query: { limit: 200 } } })) };

/** The canaries of all deployments, or of one. */
export function Canaries({ deployment, environment }: { deployment?: string; environment?: string | undefined }) {
  const canaries = useQuery(canariesQuery);
  // A server without canaries has no list of them.
  if (canaries.error instanceof Refusal && canaries.error.status === 404) return null;
  const rows = canaries.data?.items.filter((one) => !deployment || (one.deployment === deployment && (!environment || one.environment === environment)));
  if (deployment && !rows?.length) return null;
  const columns: Column<Canary>[] = [
    { head: "Canary", cell: (one) => <span className="row tight"><Link className="cover" to="/canaries/$id" params={{ id: one.id }}>{one.deployment}</Link><Badge>{one.environment}</Badge>{one.dry_run && <Badge outline>Dry run</Badge>}</span> },
    { head: "State", cell: (one) => <CanaryStatus of={one} /> },
    { head: "Candidate", cell: (one) => <ManifestLine hash={one.candidate} /> },
    { head: "Note", wide: true, cell: (one) => <span className="muted clamp">{one.note ? noted(one.note) : "–"}</span> },
    { head: "Changed", right: true, cell: (one) => <Ago time={one.updated_at} /> },
  ];
  return (
    <Card title="Canaries" flush>
      <Table label="Canaries" columns={columns} rows={rows} id={(one) => one.id} error={canaries.error} expected={2} empty={<Empty title="No canary" command="llmops canary start support-bot --prompt support-bot@1.1.0 --policy canary.yaml">A candidate answers a share of live traffic unseen. A policy then warns, promotes or stops by itself. Begin one here from a deployment’s page.</Empty>} />
    </Card>
  );
}

export function CanaryPage() {
  const { id } = route.useParams();
  const { tab = "state", diff } = route.useSearch();
  const navigate = route.useNavigate();
  const found = useQuery({ queryKey: ["canaries", id], queryFn: () => ok(api.GET("/api/v1/canaries/{canary}", { params: { path: { canary: id } } })), refetchInterval: 15_000 });
  useCrumb(found.data && `Canary of ${found.data.canary.deployment}`);
  if (found.isError && !found.data) return <Unread what="canary" error={found.error} retry={found.refetch} to="/deployments" list="To the deployments" />;
  const report = found.data;
  const canary = report?.canary;
  return (
    <>
      <PageHead
        title={canary ? `Canary of ${canary.deployment}` : <Skeleton width={220} height={20} />}
        badge={canary && <><Badge>{canary.environment}</Badge><CanaryStatus of={canary} />{canary.dry_run && <Badge outline>Dry run</Badge>}</>}
        lead={canary ? <>{canary.state.status === "draft" ? "Drafted" : "Started"} <Ago time={canary.created_at} /><By id={canary.started_by} />, on {percent(canary.policy.share)} of requests{canary.approved_by && <>, approved<By id={canary.approved_by} /></>}</> : <Skeleton width={300} />}
      >
        {report ? <Actions report={report} /> : <Coming />}
      </PageHead>
      {!canary ? <div className="card versus"><Coming rows={2} /></div> : (
        <div className="card versus">
          <span className="row wrap"><span className="label">Candidate</span><ManifestLine hash={canary.candidate} /></span>
          <span className="row wrap"><span className="label">Production</span><ManifestLine hash={canary.production} /></span>
          <Link className="link" to="/canaries/$id" params={{ id }} search={(old) => ({ ...old, diff: "manifests" })} replace>What differs</Link>
        </div>
      )}
      <nav className="tabs" aria-label="Parts of the canary">{(["state", "pairs", "decisions", "policy"] as const).map((key) => <Link key={key} to="/canaries/$id" params={{ id }} search={{ tab: key === "state" ? undefined : key }} replace activeOptions={PART} aria-current={tab === key ? "page" : undefined}>{sentence(key)}</Link>)}</nav>
      {!report ? <Skeleton height={320} /> : tab === "pairs" ? <Pairs id={id} /> : tab === "decisions" ? <Decisions id={id} /> : tab === "policy" ? <Policy of={report.canary.policy} /> : <State report={report} />}
      {canary && diff && <ManifestDiff title="From production to the candidate" from={canary.production} to={canary.candidate} onClose={() => void navigate({ search: (old) => ({ ...old, diff: undefined }), replace: true })} />}
    </>
  );
}

/** Who it was, by the name of the key where one may read it. */
function By({ id }: { id: string | null | undefined }) {
  const session = useSession();
  const key = useQuery({ queryKey: ["keys", id], enabled: id?.startsWith("key_") === true && session?.role === "admin", retry: false, staleTime: Number.POSITIVE_INFINITY, queryFn: () => ok(api.GET("/api/v1/keys/{key}", { params: { path: { key: id ?? "" } } })) });
  const name = key.data?.name ?? (id?.startsWith("key_") ? null : id);
  return name ? <> by {name}</> : null;
}

function Policy({ of }: { of: Schemas["CanaryPolicy"] }) {
  const some = (values: (string | false | null | undefined)[]) => values.filter(Boolean).join(", ") || "–";
  return (
    <div className="grid two">
      <Card title="What decides">
        <dl className="facts">
          <dt>Promotes</dt><dd>with net wins beyond {percent(of.promote?.net_win)}, after {whole(of.min_samples ?? 0)} judged pairs and {lasting(of.window?.min)}{of.promote?.approval && ", once another key approves"}</dd>
          <dt>Aborts</dt><dd>once net wins are below {percent(of.abort?.net_win_upper)} beyond doubt, or after {lasting(of.window?.max)}</dd>
          <dt>Warns</dt><dd>once losses are above {percent(of.warn?.loss_rate)} beyond doubt</dd>
          <dt>Stages</dt><dd>{of.stages?.length ? `${of.stages.map(percent).join(", ")} of users, each for ${lasting(of.stage?.min)} and ${plural(of.stage?.min_samples ?? 0, "request")} at least` : "none: promoted at once"}</dd>
          <dt>Guardrails</dt><dd>{some(Object.entries(UNITS).map(([name, show]) => { const limit = of.guardrails?.[name as Rail["name"]]; return limit != null && `${words(name)} ${show(limit)}`; }))}</dd>
        </dl>
      </Card>
      <Card title="What is asked">
        <dl className="facts">
          <dt>Share</dt><dd>{percent(of.share)} of requests</dd>
          <dt>Judge</dt><dd><span className="mono">{of.judge.model}</span>, {of.judge.both_orders === false ? "in one order" : "in both orders"}{of.judge.prompt && `, with ${of.judge.prompt}`}</dd>
          <dt>Budget</dt><dd>{money(of.budget?.total)} in all, {money(of.budget?.per_hour)} an hour</dd>
          <dt>Texts</dt><dd>{{ keep: "are kept", hashed: "are never kept", until_judged: "are kept until the pair is judged" }[of.bodies ?? "until_judged"]}</dd>
          <dt>Also asked</dt><dd>{some([of.allow?.tools && "requests with tools", of.allow?.redacted && "requests with what records redact"])}</dd>
        </dl>
      </Card>
    </div>
  );
}

const STEPS = {
  begin: "The canary has begun.",
  pause: "Paused: the candidate answers nothing.",
  resume: "The canary goes on.",
  approve: "Approved.",
  promote: "The deployment points to the candidate.",
  abort: "Stopped: production answers alone.",
};
type Step = keyof typeof STEPS;

function Actions({ report: { canary, decision } }: { report: Report }) {
  const refusal = useRefusal();
  const client = useQueryClient();
  const { say, refused } = useSay();
  const [asked, setAsked] = useState<"promote" | "abort" | "approve" | null>(null);
  const [reason, setReason] = useState("");
  const step = useMutation({
    mutationFn: (what: Step) => ok(api.POST(`/api/v1/canaries/{canary}/${what}`, { params: { path: { canary: canary.id } }, body: { reason: reason || null } })),
    onSuccess: (_, what) => {
      setAsked(null);
      setReason("");
      for (const key of ["canaries", "deployments", "overview"]) void client.invalidateQueries({ queryKey: [key] });
      say(STEPS[what]);
    },
    onError: refused,
  });
  const no = refusal("operator");
  const { status } = canary.state;
  const active = ["shadowing", "exposing", "paused", "awaiting_approval"].includes(status);
  const open = decision.checks.filter((check) => check.status !== "met");
  const word = asked && { abort: "Abort", approve: "Approve", promote: "Promote" }[asked];
  return (
    <>
      {(status === "shadowing" || status === "exposing") && <Button icon="pause" refused={no} disabled={step.isPending} onClick={() => step.mutate("pause")}>Pause</Button>}
      {status === "paused" && <Button icon="runs" refused={no} disabled={step.isPending} onClick={() => step.mutate("resume")}>Resume</Button>}
      {(active || status === "draft") && <Button kind="danger" refused={no} onClick={() => setAsked("abort")}>Abort</Button>}
      {status === "draft" && <Button kind="primary" refused={no} disabled={step.isPending} onClick={() => step.mutate("begin")}>Begin</Button>}
      {status === "awaiting_approval" && <Button kind="primary" refused={no} onClick={() => setAsked("approve")}>Approve</Button>}
      {active && status !== "awaiting_approval" && <Button kind={open.length === 0 ? "primary" : undefined} refused={no} onClick={() => setAsked("promote")}>Promote</Button>}
      <Confirm title={asked === "abort" ? "Abort the canary?" : asked === "approve" ? "Approve the candidate?" : "Promote the candidate now?"} open={asked !== null} onClose={() => setAsked(null)} onConfirm={() => asked && step.mutate(asked)} action={word ?? ""} danger={asked === "abort" || (asked === "promote" && open.length > 0)} busy={step.isPending}>
        <p>{asked === "abort" ? "The candidate answers nothing more. What was exposed is taken back." : `${canary.deployment} in ${canary.environment} points to the candidate${asked === "promote" ? ", whatever the policy says" : ""}. It can be rolled back.`}</p>
        {asked === "promote" && open.length > 0 && <Callout tone="bad"><strong>{whole(open.length)} of {plural(decision.checks.length, "condition")} not met:</strong> {open.map((check) => conditionOf(check.name)).join(", ")}.</Callout>}
        <Field label="Reason">{(props) => <input {...props} className="input" value={reason} onChange={(event) => setReason(event.target.value)} />}</Field>
      </Confirm>
    </>
  );
}

const ACTIONS = { hold: "Goes on", warn: "Warned", expose: "Exposed", ask_approval: "Asked for approval", promote: "Promoted", abort: "Aborted" };
const actionOf = ({ action }: Schemas["Decision"]): keyof typeof ACTIONS => (typeof action === "string" ? action : "abort" in action ? "abort" : "expose");

/** A note of the server, without what is for the command line. */
const noted = (note: string): string => sentence(words(forPage(note) || note));

/** How long it takes, and until what: with more losses than wins it is the abort that comes. */
function toCome({ decision: { estimate }, situation, policy }: Pick<Report, "decision" | "situation"> & { policy: Schemas["CanaryPolicy"] }): string | null {
  const parts = [estimate && estimate.pairs > 0 && plural(estimate.pairs, "more judged pair"), estimate?.seconds != null && `${ms(estimate.seconds * 1000)} at this pace`].filter(Boolean);
  if (parts.length === 0) return null;
  const losing = situation.phase === "shadow" && (situation.measures.net_win?.value ?? 0) < 0;
  const end = losing ? "Losses outweigh wins: it would be aborted" : situation.phase === "exposure" ? "The next stage would begin" : policy.stages?.length ? "It would be shown to its first users" : policy.promote?.approval ? "It would ask for an approval" : "It would be promoted";
  return `${end} after about ${parts.join(", ")}, if everything stays as it is.`;
}

/** The decision as it stands; of a canary that is over, how it ended. */
function Standing({ report: { canary, decision, held, situation } }: { report: Report }) {
  const { status } = canary.state;
  if (["promoted", "concluded", "aborted"].includes(status)) {
    return <Callout tone={status === "aborted" ? "bad" : "good"} icon={status === "aborted" ? "warning" : "check"}><strong>{sentence(words(status))} <Ago time={canary.since} />.</strong> {canary.note && `${noted(canary.note)}.`}</Callout>;
  }
  if (status === "draft") return <Callout tone="plain">A draft: nothing is asked until it begins.</Callout>;
  if (status === "paused") return <Callout tone="warn"><strong>Paused <Ago time={canary.since} />.</strong> {canary.note && `${noted(canary.note)}.`}</Callout>;
  const all = decision.checks;
  const open = all.filter((check) => check.status === "open" || check.status === "broken");
  const warned = actionOf(decision) === "warn";
  return (
    <Callout tone={open.some((check) => check.status === "broken") ? "bad" : warned ? "warn" : open.length === 0 ? "good" : "info"}>
      <strong>{warned ? `${sentence(decision.message)}.` : open.length === 0 ? `${sentence(decision.message)}.` : situation.pairs === 0 ? "Nothing is judged yet." : `${whole(all.length - open.length)} of ${plural(all.length, "condition")} met; open: ${open.map((check) => conditionOf(check.name)).join(", ")}.`}</strong>
      {held && <div>It waits: {noted(held)}.</div>}
      {toCome({ decision, situation, policy: canary.policy }) && <div>{toCome({ decision, situation, policy: canary.policy })}</div>}
    </Callout>
  );
}

function State({ report }: { report: Report }) {
  const { situation, decision, canary } = report;
  const { policy } = canary;
  const net = situation.measures.net_win;
  const lost = situation.measures.loss_rate;
  return (
    <>
      <Standing report={report} />
      <div className="grid cards">
        <div className="card stat"><span className="name">Judged pairs</span><span className="value">{whole(situation.pairs)}<small>of {whole(policy.min_samples ?? 0)}</small></span><span className="note">{whole(situation.asked)} asked · {whole(report.waiting)} waiting</span></div>
        <div className="card stat"><span className="name">Net wins</span><span className="value">{net ? `${signed(net.value * 100, 1)} %` : "–"}</span><span className="note">{net ? `${signed(Math.max(-1, net.low) * 100, 1)} to ${signed(Math.min(1, net.high) * 100, 1)} % · n ${whole(net.n)}` : "Too few pairs for bounds"}</span></div>
        <div className="card stat"><span className="name">Losses</span><span className="value">{lost ? percent(lost.value) : "–"}{lost && <small>warns from {percent(policy.warn?.loss_rate)}</small>}</span><span className="note">{lost ? `${percent(Math.max(0, lost.low))} to ${percent(Math.min(1, lost.high))} · n ${whole(lost.n)}` : "Too few pairs for bounds"}</span></div>
        <div className="card stat"><span className="name">Spent</span><span className="value">{money(situation.spent)}<small>of {money(policy.budget?.total)}</small></span><span className="note">{money(report.spent_this_hour)} this hour, of {money(policy.budget?.per_hour)}</span></div>
      </div>
      <div className="grid two">
        <Pairwise report={report} />
        <Card title={situation.phase === "exposure" ? "Conditions of the next step" : "Conditions of a promotion"} flush>
          <Table label="Conditions" columns={CONDITIONS} rows={decision.checks.filter((check) => !(check.name in UNITS))} id={(check) => check.name} />
          <p className="card-note">Every guardrail must be kept as well.</p>
        </Card>
        {canary.state.status !== "draft" && <NetWins report={report} />}
        {canary.state.status !== "draft" && <Beside id={canary.id} />}
      </div>
      <Stages report={report} />
      <Guardrails title="Guardrails" measures={situation.measures.guardrails ?? []} awaited={situation.measures.awaited} unmeasured={situation.measures.unmeasured} />
      {situation.phase === "exposure" && <Guardrails title="Guardrails among users" measures={situation.guardrails} />}
      {Object.keys(report.skipped).length > 0 && <p className="faint">Drawn and left out: {Object.entries(report.skipped).map(([reason, n]) => `${words(reason)} ${whole(n)}`).join(", ")}.</p>}
    </>
  );
}

/** What a condition is called here. */
const conditionOf = (name: string): string => ({ net_win: "net wins", min_samples: "judged pairs", window: "time" })[name] ?? words(name);

const CONDITIONS: Column<Condition>[] = [
  { head: "Condition", cell: (check) => <span className="nowrap">{sentence(conditionOf(check.name))}</span> },
  { head: "State", cell: (check) => <Badge tone={CHECKS[check.status][0]}>{CHECKS[check.status][1]}</Badge> },
  { head: "Now", block: true, cell: (check) => <span className="muted wrap-any">{sentence(words(check.message))}</span> },
];

function Pairwise({ report: { situation, canary: { policy } } }: { report: Report }) {
  const { wins, ties, losses, pairs } = situation;
  const net = situation.measures.net_win;
  const all = Math.max(pairs, 1);
  const reach = net && Math.max(-net.low, net.high) > 0.5 ? 1 : 0.5;
  return (
    <Card title="Wins, ties and losses" aside={<span className="faint num">{plural(pairs, "pair")}</span>}>
      <div className="stack loose">
        <div className="stack">
          <div className="wins" role="img" aria-label={`${wins} wins, ${ties} ties, ${losses} losses`}>
            <i style={{ flexGrow: wins / all, background: "var(--good)" }} /><i style={{ flexGrow: ties / all }} /><i style={{ flexGrow: losses / all, background: "var(--bad)" }} />
          </div>
          <div className="row between num">
            <span className="good">{plural(wins, "win")} <span className="faint">{percent(wins / all)}</span></span>
            <span className="muted">{plural(ties, "tie")} <span className="faint">{percent(ties / all)}</span></span>
            <span className="bad">{plural(losses, "loss", "losses")} <span className="faint">{percent(losses / all)}</span></span>
          </div>
        </div>
        {net && (
          <div className="stack tight">
            <div className="row between small"><span>Net wins, with bounds that hold at every look</span><span className="faint num">promotes beyond {percent(policy.promote?.net_win)}</span></div>
            <Interval value={net.value} lower={net.low} upper={net.high} from={-reach} to={reach} limit={policy.promote?.net_win} tone={net.high < 0 ? "var(--bad)" : net.low > 0 ? "var(--good)" : "var(--series-1)"} />
            <div className="row between faint num small" aria-hidden="true"><span>−{reach * 100} %</span><span>0</span><span>+{reach * 100} %</span></div>
          </div>
        )}
      </div>
    </Card>
  );
}

/** A share lies between 0 and 1, whatever a bound of its estimate says. */
const share = (value: number): string => percent(Math.min(1, Math.max(0, value)));

const UNITS: Record<Schemas["GuardrailMeasure"]["guardrail"], (value: number) => string> = {
  error_rate: percent,
  soft_failures: percent,
  latency_p95: (value) => `${value.toFixed(2)} ×`,
  cost: (value) => `${value.toFixed(2)} ×`,
  score_tolerance: score,
};

interface Rail {
  name: Schemas["GuardrailMeasure"]["guardrail"];
  measured?: Omit<Schemas["GuardrailMeasure"], "tested"> & { tested: Schemas["CanaryMeasure"] };
  /** Why there is no number. */
  why?: string;
}

const RAILS: Column<Rail>[] = [
  { head: "Guardrail", cell: ({ name }) => sentence(words(name)) },
  {
    head: "State",
    cell: ({ measured }) => {
      if (!measured) return <Badge>Not yet known</Badge>;
      const { tested, bound } = measured;
      const state = tested.low > bound ? "broken" : tested.high <= bound ? "met" : "open";
      return <Badge tone={CHECKS[state][0]}>{state === "met" ? "Kept" : CHECKS[state][1]}</Badge>;
    },
  },
  { head: "Now", right: true, cell: ({ name, measured }) => (measured ? UNITS[name](measured.value) : "–") },
  { head: "Limit", right: true, cell: ({ name, measured }) => (measured ? UNITS[name](measured.limit) : "–") },
  {
    head: "Bounds",
    block: true,
    cell: ({ name, measured, why }) => {
      if (!measured) return <span className="muted">{why}</span>;
      const { tested, bound } = measured;
      // Of latencies the share of slow answers is tested.
      if (name === "latency_p95") return <span className="num">{share(tested.low)} to {share(tested.high)} <span className="muted">of answers are slower than that; {percent(bound)} may be</span></span>;
      // Soft failures, and errors among users, are differences to production.
      const show = name === "soft_failures" || (name === "error_rate" && tested.value < 0) ? (value: number) => change(value, points) : name === "error_rate" ? share : UNITS[name];
      return <span className="num">{show(tested.low)} to {show(tested.high)}</span>;
    },
  },
  { head: "n", right: true, cell: ({ measured }) => (measured ? whole(measured.tested.n) : "–") },
];

function Guardrails({ title, measures, awaited = [], unmeasured = [] }: { title: string; measures: Schemas["GuardrailMeasure"][]; awaited?: Rail["name"][] | undefined; unmeasured?: Rail["name"][] | undefined }) {
  const rows: Rail[] = [
    ...measures.map((measured) => ({ name: measured.guardrail, measured })),
    ...awaited.map((name) => ({ name, why: "Too little was seen yet." })),
    ...unmeasured.map((name) => ({ name, why: "It cannot be measured here, and decides nothing." })),
  ];
  return (
    <Card title={title} flush>
      <Table label={title} columns={RAILS} rows={rows} id={(rail) => rail.name} empty={<Empty title="The policy names no guardrail" />} />
    </Card>
  );
}

/** What users saw at each stage, candidate beside production. */
function Stages({ report: { stages = {}, canary } }: { report: Report }) {
  const rows = Object.entries(stages).flatMap(([stage, arms]) => (["candidate", "production"] as const).map((side) => ({ stage: Number(stage), side, arm: arms[side] })));
  if (rows.length === 0) return null;
  const rate = (part: number, all: number) => (all > 0 ? percent(part / all) : "–");
  const columns: Column<(typeof rows)[number]>[] = [
    { head: "Stage", cell: ({ stage }) => <>Stage {stage + 1} <span className="muted">{percent(canary.policy.stages?.[stage])} of users</span></> },
    { head: "Answered by", cell: ({ side }) => <Badge tone={side === "candidate" ? "accent" : "plain"}>{sentence(side)}</Badge> },
    { head: "Requests", right: true, cell: ({ arm }) => whole(arm.requests) },
    { head: "Errors", right: true, cell: ({ arm }) => rate(arm.errors, arm.requests) },
    { head: "Soft failures", right: true, cell: ({ arm }) => rate(arm.soft_failures, arm.requests) },
    { head: "Mean cost", right: true, cell: ({ arm }) => (arm.priced > 0 ? money(arm.cost / arm.priced) : "–") },
  ];
  return (
    <Card title="Among users" flush>
      <Table label="Stages" columns={columns} rows={rows} id={({ stage, side }) => `${stage}/${side}`} />
    </Card>
  );
}

function Pairs({ id }: { id: string }) {
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const verdict = search.verdict && search.verdict in VERDICTS ? (search.verdict as Schemas["PairVerdict"]) : undefined;
  const pairs = useInfiniteQuery({
    queryKey: ["canaries", id, "pairs", verdict],
    initialPageParam: undefined as string | undefined,
    queryFn: ({ pageParam }) => ok(api.GET("/api/v1/canaries/{canary}/pairs", { params: { path: { canary: id }, query: { limit: 50, verdict, cursor: pageParam } } })),
    getNextPageParam: (last) => last.next_cursor ?? undefined,
  });
  const rows = pairs.data?.pages.flatMap((page) => page.items);
  const shown = rows?.find((pair) => pair.id === search.pair);
  const columns: Column<Pair>[] = [
    { head: "Time", cell: (pair) => <Link className="cover nowrap" to="/canaries/$id" params={{ id }} search={{ ...search, pair: pair.id }} replace><Ago time={pair.at} /></Link> },
    { head: "Verdict", cell: (pair) => (pair.verdict ? <VerdictBadge of={pair.verdict} /> : <span className="muted">{sentence(words(pair.status))}</span>) },
    { head: "Question", cell: (pair) => <span className="truncate question">{asked(pair) ?? <span className="faint">not kept</span>}</span> },
    { head: "Scores", right: true, wide: true, cell: (pair) => (pair.production_score != null && pair.candidate_score != null ? `${pair.production_score.toFixed(2)} → ${pair.candidate_score.toFixed(2)}` : "–") },
    { head: "Latency", right: true, wide: true, cell: (pair) => `${ms(pair.production.latency_ms)} → ${ms(pair.candidate?.latency_ms)}` },
    { head: "Cost", right: true, wide: true, cell: (pair) => `${money(pair.production.cost)} → ${money(pair.candidate?.cost)}` },
  ];
  return (
    <>
      <div className="filters"><span className="segmented" role="group" aria-label="Verdict">{([undefined, "win", "tie", "loss"] as const).map((one) => <button key={one ?? "all"} type="button" aria-pressed={verdict === one} onClick={() => void navigate({ search: (old) => ({ ...old, verdict: one, pair: undefined }), replace: true })}>{one ? { win: "Wins", tie: "Ties", loss: "Losses" }[one] : "All"}</button>)}</span><span className="faint">production → candidate</span><span className="grow" /><a className="btn" href={`/api/v1/canaries/${id}/export`} download={`pairs-${id}.jsonl`}><Icon name="download" />Export</a></div>
      <Card label="Pairs" flush>
        <Table label="Pairs" columns={columns} rows={rows} id={(pair) => pair.id} error={pairs.error} empty={<Empty title={verdict ? "No pair fits" : "No pair yet"}>Requests that are drawn appear here once the candidate has answered them.</Empty>} />
        {rows && rows.length > 0 && <ListFoot shown={rows.length} more={pairs.hasNextPage} loading={pairs.isFetchingNextPage} onMore={() => void pairs.fetchNextPage()} what={rows.length === 1 ? "pair" : "pairs"} />}
      </Card>
      {shown && <PairDrawer pair={shown} onClose={() => void navigate({ search: (old) => ({ ...old, pair: undefined }), replace: true })} />}
    </>
  );
}

/** The last thing that the user said. */
function asked(pair: Pair): string | null {
  const last = pair.texts?.messages.filter((message) => message.role === "user").pop();
  return typeof last?.content === "string" ? last.content : null;
}

function PairDrawer({ pair, onClose }: { pair: Pair; onClose: () => void }) {
  const { texts, production, candidate } = pair;
  const change = (before: string, after: string) => <span className="num">{before} → {after}</span>;
  return (
    <Dialog title={`Pair of ${moment(pair.at)}`} shape="drawer" open onClose={onClose}>
      <div className="row wrap">{pair.verdict ? <VerdictBadge of={pair.verdict} /> : <Badge>{sentence(words(pair.status))}</Badge>}{pair.flipped && <Badge tone="warn">The order changed the judge’s mind</Badge>}{candidate?.soft_failures?.map((kind) => <Badge key={kind} tone="warn">{words(kind)}</Badge>)}</div>
      {pair.error && <Callout tone="bad">{pair.error}</Callout>}
      {texts ? (
        <>
          {texts.messages.map((message, i) => <MessageText key={i} of={message} />)}
          <div className="message"><header>Production</header><div>{texts.production_answer}</div></div>
          {texts.candidate_answer != null && <div className="message"><header>Candidate</header><div>{texts.candidate_answer || <span className="faint">empty</span>}</div></div>}
          {texts.candidate_answer != null && <div className="message"><header>From production’s answer to the candidate’s</header><div><WordDiff before={texts.production_answer} after={texts.candidate_answer} /></div></div>}
        </>
      ) : <p className="faint">The texts are not kept, by the policy.</p>}
      {pair.reasons && pair.reasons.length > 0 && <div className="message"><header>What the judge said, in each order</header><div className="stack tight">{pair.reasons.map((reason, i) => <div key={i}>{reason}</div>)}</div></div>}
      <dl className="facts">
        <dt>Scores</dt><dd>{pair.production_score != null && pair.candidate_score != null ? change(pair.production_score.toFixed(2), pair.candidate_score.toFixed(2)) : "–"}</dd>
        <dt>Latency</dt><dd>{change(ms(production.latency_ms), ms(candidate?.latency_ms))}</dd>
        <dt>Cost</dt><dd>{change(money(production.cost), money(candidate?.cost))}{pair.judge_cost ? <span className="faint">, and {money(pair.judge_cost)} to judge</span> : null}</dd>
        <dt>Length</dt><dd>{change(whole(production.chars), candidate ? whole(candidate.chars) : "–")} characters</dd>
        <dt>Record</dt><dd><Link className="link" to="/traffic" search={{ record: pair.id }}>The request’s record</Link></dd>
      </dl>
    </Dialog>
  );
}

function Decisions({ id }: { id: string }) {
  const log = useInfiniteQuery({
    queryKey: ["canaries", id, "decisions"],
    initialPageParam: undefined as string | undefined,
    queryFn: ({ pageParam }) => ok(api.GET("/api/v1/canaries/{canary}/decisions", { params: { path: { canary: id }, query: { limit: 50, cursor: pageParam } } })),
    getNextPageParam: (last) => last.next_cursor ?? undefined,
  });
  const rows = log.data?.pages.flatMap((page) => page.items);
  const columns: Column<Logged>[] = [
    { head: "No.", right: true, width: 56, cell: (one) => one.number },
    { head: "When", cell: (one) => <Ago time={one.at} /> },
    { head: "Decision", cell: ({ decision, acted }) => <span className="row tight"><Badge tone={{ hold: "plain", warn: "warn", expose: "accent", ask_approval: "warn", promote: "good", abort: "bad" }[actionOf(decision)] as Tone}>{ACTIONS[actionOf(decision)]}</Badge>{!acted && <Badge outline>Dry run</Badge>}</span> },
    { head: "Why", cell: (one) => <span className="wrap-any">{sentence(words(one.decision.message))}</span> },
    { head: "Wins / ties / losses", right: true, wide: true, cell: ({ situation }) => `${whole(situation.wins)} / ${whole(situation.ties)} / ${whole(situation.losses)}` },
    { head: "Net wins", right: true, wide: true, cell: ({ situation }) => { const net = situation.measures.net_win; return net ? `${signed(Math.max(-1, net.low) * 100, 1)} to ${signed(Math.min(1, net.high) * 100, 1)} %` : "–"; } },
  ];
  return (
    <Card title="Decision log" flush aside={<span className="faint">every step, and a look each 25 pairs</span>}>
      <Table label="Decisions" columns={columns} rows={rows} id={(one) => String(one.number)} error={log.error} empty={<Empty title="Nothing was decided yet">A decision is written down with every step, and each 25 pairs.</Empty>} />
      {rows && rows.length > 0 && <ListFoot shown={rows.length} more={log.hasNextPage} loading={log.isFetchingNextPage} onMore={() => void log.fetchNextPage()} what={rows.length === 1 ? "decision" : "decisions"} />}
    </Card>
  );
}
