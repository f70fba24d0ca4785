import { useInfiniteQuery, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, getRouteApi } from "@tanstack/react-router";
import { useMemo } from "react";
import type { Schemas } from "../api/client";
import { api, curl, ok } from "../api/client";
import type { LineData } from "../charts/frame";
import { LineChart } from "../charts/frame";
import { moment, money, moneyLike, ms, percent, plural, sentence, whole, words } from "../lib/format";
import { hourly, hoursOf } from "../lib/traffic";
import { Ago, Badge, Button, Card, Copy, Empty, Long, PageHead, Problem, Skeleton } from "../ui/base";
import type { Tone } from "../ui/base";
import { Dialog, useSay } from "../ui/layers";
import { Hash, PART } from "../ui/parts";
import type { Column } from "../ui/table";
import { ListFoot, Table } from "../ui/table";
import { Feedback } from "./feedback";
import { Filter } from "./runs";

const route = getRouteApi("/traffic");
type Call = Schemas["RequestRecord"];
const OUTCOMES: Record<Call["outcome"], [Tone, string]> = { ok: ["good", "Answered"], upstream_error: ["bad", "Provider error"], unavailable: ["bad", "Unavailable"], cut: ["warn", "Broke off"], cancelled: ["plain", "Caller left"], refused: ["warn", "Refused"] };

function OutcomeBadge({ of }: { of: Call["outcome"] }) {
  const [tone, text] = OUTCOMES[of];
  return <Badge tone={tone}>{text}</Badge>;
}

export function TrafficPage() {
  const search = route.useSearch();
  const { tab = "calls", record } = search;
  const navigate = route.useNavigate();
  return (
    <>
      <PageHead title="Traffic" lead={tab === "feedback" ? "What people say of answers, and what can be made of it." : "Every call through the gateway."} />
      <nav className="tabs" aria-label="Parts of traffic">{(["calls", "feedback"] as const).map((key) => <Link key={key} to="/traffic" search={{ tab: key === "calls" ? undefined : key, deployment: search.deployment }} replace activeOptions={PART} aria-current={tab === key ? "page" : undefined}>{sentence(key)}</Link>)}</nav>
      {tab === "feedback" ? <Feedback /> : <Calls />}
      {record && <CallDrawer id={record} onClose={() => void navigate({ search: (old) => ({ ...old, record: undefined }), replace: true })} />}
    </>
  );
}

function Calls() {
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const { record: _, tab: __, by: ___, days: ____, hours: hoursText, ...filter } = search;
  const hours = hoursOf(hoursText);
  const set = (part: Record<string, string | undefined>) => void navigate({ search: (old) => ({ ...old, ...part }), replace: true });
  const records = useInfiniteQuery({
    queryKey: ["records", filter],
    initialPageParam: undefined as string | undefined,
    queryFn: ({ pageParam }) => {
      const { deployment, environment, model, outcome, user, session, manifest, soft } = filter;
      return ok(api.GET("/api/v1/records", { params: { query: { deployment, environment, model, outcome: outcome as Call["outcome"] | undefined, user, session, manifest, soft_failed: soft === "true" ? true : undefined, limit: 50, cursor: pageParam } } }));
    },
    getNextPageParam: (last) => last.next_cursor ?? undefined,
    placeholderData: (old) => old,
  });
  const rows = records.data?.pages.flatMap((page) => page.items);
  const cost = moneyLike(rows?.map((call) => call.cost) ?? []);
  const filtered = Object.keys(filter).length > 0;
  const columns: Column<Call>[] = [
    { head: "Time", cell: (call) => <Link className="cover nowrap" to="/traffic" search={{ ...search, record: call.id }} replace><Ago time={call.at} /></Link> },
    { head: "Deployment", cell: (call) => <span className="row tight names less">{call.deployment ? <Long>{call.deployment}</Long> : <span className="faint">direct</span>}{call.variant && <Badge tone="accent">{call.variant.split("/").pop()}</Badge>}</span> },
    { head: "Outcome", cell: (call) => <span className="row tight wrap"><OutcomeBadge of={call.outcome} />{call.soft_failures?.map((soft) => <Badge key={soft.kind} tone="warn">{sentence(words(soft.kind))}</Badge>)}</span> },
    { head: "Model", wide: true, cell: (call) => <span className="mono row names less"><Long>{call.model}</Long></span> },
    { head: "User", wide: "cards", cell: (call) => (call.user ? <span className="truncate" style={{ display: "block", maxWidth: 140 }} title={call.user}>{call.user}</span> : <span className="faint wide-only">–</span>) },
    { head: "Tokens", right: true, wide: "cards", cell: (call) => `${whole(call.usage.prompt_tokens ?? 0)} → ${whole(call.usage.completion_tokens ?? 0)}` },
    { head: "Latency", right: true, cell: (call) => ms(call.total_ms) },
    { head: "Cost", right: true, wide: "cards", cell: (call) => cost(call.cost) },
  ];
  return (
    <>
      <Sums deployment={search.deployment} environment={search.environment} hours={hours} setHours={(n) => set({ hours: n === 24 ? undefined : String(n) })} />
      <div className="filters" role="search" aria-label="Filter calls">
        <select className="select" aria-label="Outcome" value={search.outcome ?? ""} onChange={(event) => set({ outcome: event.target.value || undefined })}><option value="">Any outcome</option>{Object.entries(OUTCOMES).map(([key, [, label]]) => <option key={key} value={key}>{label}</option>)}</select>
        <label className="check"><input type="checkbox" checked={search.soft === "true"} onChange={(event) => set({ soft: event.target.checked ? "true" : undefined })} />Soft failures only</label>
        {(["deployment", "model", "user", "session"] as const).map((name) => <Filter key={name} name={name} placeholder={sentence(name)} value={search[name] ?? ""} onChange={(value) => set({ [name]: value || undefined })} />)}
        {filtered && <Button kind="quiet" onClick={() => void navigate({ search: { hours: hoursText } })}>Clear</Button>}
        <span className="grow" />
        <Button onClick={() => void records.refetch()} disabled={records.isFetching}>{records.isFetching ? "Reading…" : "Read again"}</Button>
      </div>
      <Card label="Calls" flush>
        <Table label="Calls" columns={columns} rows={rows} id={(call) => call.id} error={records.error} retry={() => void records.refetch()} empty={filtered ? <Empty title="No call fits" action={<Button onClick={() => void navigate({ search: {} })}>Clear the filters</Button>} /> : <Empty title="No calls yet" command={curl("/v1/chat/completions", { model: "support-bot", messages: [{ role: "user", content: "Hello" }] })}>Point an OpenAI client’s base URL at this server’s <code>/v1</code>.</Empty>} />
        {rows && rows.length > 0 && <ListFoot shown={rows.length} more={records.hasNextPage} loading={records.isFetchingNextPage} onMore={() => void records.fetchNextPage()} what={rows.length === 1 ? "call" : "calls"} />}
      </Card>
    </>
  );
}

function Sums({ deployment, environment, hours, setHours }: { deployment: string | undefined; environment: string | undefined; hours: number; setHours: (hours: number) => void }) {
  const traffic = useQuery({ queryKey: ["traffic", deployment, environment, hours], queryFn: () => ok(api.GET("/api/v1/traffic", { params: { query: { deployment, environment, hours } } })), placeholderData: (old) => old });
  const charts = useMemo((): [LineData, LineData] | null => {
    if (!traffic.data || traffic.data.hours.length === 0) return null;
    const { x, hours } = hourly(traffic.data);
    const n = hours.map((hour) => hour?.calls ?? null);
    // What was refused, and whose caller left, is in no share.
    const counted = hours.map((hour) => (hour ? hour.calls - (hour.refused ?? 0) - (hour.cancelled ?? 0) : null));
    const answered = hours.map((hour) => (hour ? (hour.answered ?? 0) : null));
    const rate = (part: "failed" | "soft_failed", of: typeof counted) => hours.map((hour, i) => { const n = of[i]; return hour && n ? hour[part] / n : null; });
    return [
      { x, series: [{ label: "Failed", values: rate("failed", counted), n: counted, colour: 3 }, { label: "Soft failures", values: rate("soft_failed", answered), n: answered, colour: 4 }], show: percent, min: 0, gaps: true },
      { x, series: [{ label: "Median", values: hours.map((hour) => hour?.p50_ms ?? null), n, colour: 1 }, { label: "95 % are faster", values: hours.map((hour) => hour?.p95_ms ?? null), n, colour: 2, dashed: true }], show: ms, min: 0, gaps: true },
    ];
  }, [traffic.data]);
  const sums = traffic.data?.sums;
  const told = sums && traffic.data ? [plural(sums.calls, "call"), sums.refused ? `${sums.refused} refused` : null, traffic.data.failure_rate && `${percent(traffic.data.failure_rate.value)} failed (${percent(traffic.data.failure_rate.lower)}–${percent(traffic.data.failure_rate.upper)})`, sums.calls > 0 && (sums.priced > 0 ? `${money(sums.cost)}${sums.priced < sums.calls ? `, ${sums.calls - sums.priced} without a price` : ""}` : "cost unknown: no price")].filter(Boolean).join(" · ") : "";
  return (
    <>
      <div className="row wrap between"><span className="segmented" role="group" aria-label="Time">{[24, 72, 168, 336, 720].map((n) => <button key={n} type="button" aria-pressed={hours === n} onClick={() => setHours(n)}>{n === 24 ? "24 h" : `${n / 24} d`}</button>)}</span><span className="muted num told">{traffic.data ? told : <Skeleton width={200} height={20} />}</span></div>
      {traffic.isError ? <Problem error={traffic.error} /> : !traffic.data ? <div className="grid two"><Skeleton height={290} /><Skeleton height={290} /></div> : charts && (
        <div className="grid two">
          <Card title="Failures by hour"><LineChart label="Share of calls that failed, by hour" data={charts[0]} height={170} /></Card>
          <Card title="Latency by hour"><LineChart label="Latency by hour" data={charts[1]} height={170} /></Card>
        </div>
      )}
    </>
  );
}

function CallDrawer({ id, onClose }: { id: string; onClose: () => void }) {
  const found = useQuery({ queryKey: ["records", "one", id], queryFn: () => ok(api.GET("/api/v1/records/{id}", { params: { path: { id } } })) });
  const call = found.data;
  return (
    <Dialog title={call ? `${call.deployment ?? call.model}, ${moment(call.at)}` : "Call"} shape="drawer" open onClose={onClose}>
      {found.isError ? <Problem error={found.error} /> : !call ? <Skeleton height={300} /> : (
        <>
          <div className="row wrap"><OutcomeBadge of={call.outcome} /><Badge>{call.status}</Badge>{call.stream && <Badge>Streamed</Badge>}{call.soft_failures?.map((soft) => <Badge key={soft.kind} tone="warn">{sentence(words(soft.kind))}</Badge>)}</div>
          {call.error && <div className="callout bad wrap-any">{call.error}</div>}
          {call.soft_failures?.map((soft) => <div key={soft.kind} className="callout warn wrap-any"><strong>{sentence(words(soft.kind))}</strong> {soft.detail}</div>)}
          <FeedbackOn request={call.id} />
          <h3>Waterfall</h3>
          <Waterfall call={call} />
          <div className="split">
            <Body title="Request" text={call.request_body} />
            <Body title="Answer" text={call.response_body} />
          </div>
          <dl className="facts">
            <dt>Id</dt><dd className="mono">{call.id} <Copy text={call.id} /></dd>
            <dt>Manifest</dt><dd><Hash of={call.manifest} /></dd>
            <dt>Model</dt><dd className="mono">{call.model}{call.model_answered && !`/${call.model}`.endsWith(`/${call.model_answered}`) && ` → ${call.model_answered}`}</dd>
            <dt>Tokens</dt><dd className="num">{whole(call.usage.prompt_tokens ?? 0)} read, {whole(call.usage.completion_tokens ?? 0)} written{call.usage_estimated && <span className="faint"> (estimated)</span>}</dd>
            <dt>Cost</dt><dd>{call.cost == null ? <span className="faint">the model has no price</span> : money(call.cost)}</dd>
            <dt>Stopped</dt><dd>{call.finish_reason ?? "–"}</dd>
            <dt>User</dt><dd>{call.user ? <Link className="link" to="/traffic" search={{ user: call.user }}>{call.user}</Link> : "–"}</dd>
            <dt>Session</dt><dd>{call.session ? <Link className="link" to="/traffic" search={{ session: call.session }}>{call.session}</Link> : "–"}</dd>
            {call.variant && <><dt>Variant</dt><dd className="mono">{call.variant}</dd></>}
            {Object.entries(call.tags ?? {}).map(([key, value]) => <div key={key}><dt>{key}</dt><dd>{value}</dd></div>)}
          </dl>
        </>
      )}
    </Dialog>
  );
}

/** What people said of the answer, and a thumb of one's own. */
function FeedbackOn({ request }: { request: string }) {
  const client = useQueryClient();
  const { say, refused } = useSay();
  const said = useQuery({ queryKey: ["feedback", request], retry: false, queryFn: () => ok(api.GET("/api/v1/feedback", { params: { query: { request_id: request } } })) });
  const give = useMutation({
    mutationFn: (thumb: Schemas["Thumb"]) => ok(api.POST("/api/v1/feedback", { body: { request_id: request, thumb } })),
    onSuccess: () => {
      void client.invalidateQueries({ queryKey: ["feedback"] });
      void client.invalidateQueries({ queryKey: ["review"] });
      say("Noted.");
    },
    onError: refused,
  });
  if (!said.data) return null;
  return (
    <section className="stack" aria-label="Feedback">
      <div className="row"><h3>Feedback</h3><Button small disabled={give.isPending} onClick={() => give.mutate("up")}>Good answer</Button><Button small disabled={give.isPending} onClick={() => give.mutate("down")}>Bad answer</Button></div>
      {said.data.items.map((one) => (
        <div key={one.id} className="message">
          <header>{one.thumb && <Badge tone={one.thumb === "up" ? "good" : "bad"}>{one.thumb === "up" ? "Thumb up" : "Thumb down"}</Badge>}{one.rating && <Badge>{one.rating.value} of {one.rating.scale}</Badge>}{one.label && <Badge outline>{one.label}</Badge>}<span className="grow" /><Ago time={one.at} /></header>
          {(one.comment || one.correction) && <div>{one.comment}{one.correction && <div className="good">{one.correction}</div>}</div>}
        </div>
      ))}
    </section>
  );
}

/** The attempts one after the other, and the time from the first byte to the last. */
function Waterfall({ call }: { call: Call }) {
  const rows: { label: string; from: number; to: number; tone: string; note: string }[] = [];
  let at = 0;
  for (const attempt of call.attempts) {
    rows.push({ label: attempt.model, from: at, to: at + attempt.ms, tone: attempt.error || (attempt.status ?? 200) >= 400 ? "var(--bad)" : "var(--series-1)", note: attempt.error ?? (attempt.status ? String(attempt.status) : "no answer") });
    at += attempt.ms;
  }
  if (call.first_byte_ms != null && call.first_byte_ms > at + 0.5) {
    rows.push({ label: "until the first byte", from: at, to: call.first_byte_ms, tone: "var(--text-3)", note: "" });
    at = call.first_byte_ms;
  }
  if (call.total_ms > at + 0.5) rows.push({ label: call.stream ? "rest of the stream" : "rest of the answer", from: at, to: call.total_ms, tone: "var(--series-2)", note: "" });
  const all = Math.max(call.total_ms, at, 0.001);
  return (
    <div className="table-wrap">
      <table className="table compact" aria-label="Waterfall of the call">
        <tbody>
          {rows.map((row, i) => (
            <tr key={i}>
              <td className="nowrap" style={{ width: 1 }}><span className="mono">{row.label}</span> <span className="faint">{row.note}</span></td>
              <td><svg width="100%" height="10" aria-hidden="true"><rect width="100%" height="10" rx="3" fill="var(--active)" /><rect x={`${(row.from / all) * 100}%`} width={`${Math.max(0.6, ((row.to - row.from) / all) * 100)}%`} height="10" rx="3" fill={row.tone} /></svg></td>
              <td className="right num" style={{ width: 1 }}>{ms(row.to - row.from)}</td>
            </tr>
          ))}
          <tr><td colSpan={2}><span className="muted">Whole call</span>{call.first_byte_ms != null && <span className="faint">, first byte after {ms(call.first_byte_ms)}</span>}</td><td className="right num">{ms(call.total_ms)}</td></tr>
        </tbody>
      </table>
    </div>
  );
}

function Body({ title, text }: { title: string; text: string | null | undefined }) {
  const hashed = text != null && /^[0-9a-f]{64}$/.test(text);
  const pretty = useMemo(() => {
    if (!text) return null;
    try {
      return JSON.stringify(JSON.parse(text), null, 2);
    } catch {
      return text;
    }
  }, [text]);
  return (
    <div className="message">
      <header>{title}<span className="grow" />{text && <Copy text={text} />}</header>
      <div style={{ maxHeight: 320, overflow: "auto" }} tabIndex={0} role="region" aria-label={title} className="mono">{hashed ? <span className="faint">Only its SHA-256 was kept: {text.slice(0, 16)}…</span> : pretty ?? <span className="faint">not kept, by the deployment’s settings</span>}</div>
    </div>
  );
}
