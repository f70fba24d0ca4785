import { useInfiniteQuery, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, getRouteApi } from "@tanstack/react-router";
import { useMemo, useState } from "react";
import type { Estimate, Schemas } from "../api/client";
import { api, ok } from "../api/client";
import type { LineData } from "../charts/frame";
import { LineChart } from "../charts/frame";
import { compact, dayOf, hash, percent, plural, range, sentence, signed, whole, words } from "../lib/format";
import { useRefusal } from "../session";
import { Ago, Badge, Button, Callout, Card, Empty, Est, Field, Problem, Skeleton } from "../ui/base";
import { Dialog, Menu, useSay } from "../ui/layers";
import { Hash, PromptLink } from "../ui/parts";
import type { Column } from "../ui/table";
import { ListFoot, Table } from "../ui/table";
import { Filter } from "./runs";

const route = getRouteApi("/traffic");
type Row = Schemas["FeedbackSummaryRow"];
type Said = Schemas["Feedback"];

const DAYS = [7, 14, 30, 90];
const BY = { prompt: "Prompt", model: "Model", deployment: "Deployment", variant: "Variant", tag: "Tag" } as const;
type By = keyof typeof BY;

/** What people say of answers: sums, what complaints are about, each word, and what can be made of it. */
export function Feedback() {
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const days = DAYS.find((n) => String(n) === search.days) ?? 7;
  const { deployment } = search;
  const set = (part: Record<string, string | undefined>) => void navigate({ search: (old) => ({ ...old, ...part }), replace: true });
  const report = useQuery({ queryKey: ["feedback", "report", deployment, days], queryFn: () => ok(api.GET("/api/v1/feedback/report", { params: { query: { deployment, days } } })), placeholderData: (old) => old });
  return (
    <>
      <div className="filters" role="search" aria-label="Filter feedback">
        <span className="segmented" role="group" aria-label="Time">{DAYS.map((n) => <button key={n} type="button" aria-pressed={days === n} onClick={() => set({ days: n === 7 ? undefined : String(n) })}>{n} d</button>)}</span>
        <Filter name="deployment" placeholder="Deployment" value={deployment ?? ""} onChange={(value) => set({ deployment: value || undefined })} />
        <span className="grow" />
        <Uses deployment={deployment} days={days} />
      </div>
      {report.isError && !report.data ? <Problem error={report.error} retry={() => void report.refetch()} /> : (
        <>
          <Sums report={report.data} days={days} />
          <div className="grid wide-left">
            <div className="stack spaced">
              <ByDay deployment={deployment} days={days} />
              <Parts deployment={deployment} days={days} by={(search.by && search.by in BY ? search.by : "prompt") as By} setBy={(by) => set({ by: by === "prompt" ? undefined : by })} report={report.data} />
            </div>
            <Topics report={report.data} />
          </div>
        </>
      )}
      <Each deployment={deployment} />
    </>
  );
}

function Sums({ report, days }: { report: Schemas["FeedbackReport"] | undefined; days: number }) {
  const total = report?.total;
  const share = (name: string, of: Estimate | null | undefined, none: string, before?: Estimate | null) => (
    <div className="card stat"><span className="name">{name}</span><span className="value">{!total ? <Skeleton width={80} height={22} /> : of ? <>{percent(of.value)}{before && <small>{percent(before.value)} before</small>}</> : "–"}</span><span className="note">{!total ? <Skeleton width="70%" /> : of ? `${range(of.lower, of.upper, percent)} · n ${compact(of.n)}` : none}</span></div>
  );
  return (
    <div className="grid cards">
      <div className="card stat"><span className="name">Answers with feedback</span><span className="value">{total ? <>{compact(total.requests)}<small>{compact(total.requests_before)} before</small></> : <Skeleton width={80} height={22} />}</span><span className="note">in {days} days, beside as many before</span></div>
      {share("Thumbs up", total?.thumbs_up, "Nobody gave a thumb", total?.thumbs_up_before)}
      {share("Corrected", total?.corrected, "Nobody said anything")}
      {total?.rating ? share("Mean rating, of the scale", total.rating, "") : (
        <Link className="card stat" to="/review"><span className="name">Review queue</span><span className="value">{report ? whole(report.open_reviews) : <Skeleton width={60} height={22} />}</span><span className="note">{report?.open_reviews === 0 ? "Nothing waits for a person" : "answers wait for a person"}</span></Link>
      )}
    </div>
  );
}

const since = (days: number): string => new Date(Math.floor(Date.now() / 86_400_000) * 86_400_000 - (days - 1) * 86_400_000).toISOString();

const summary = (by: Schemas["SummaryBy"], deployment: string | undefined, days: number) => ({
  queryKey: ["feedback", "summary", by, deployment, days],
  queryFn: () => ok(api.GET("/api/v1/feedback/summary", { params: { query: { by, deployment, start_time: since(days) } } })),
  placeholderData: (old: Schemas["FeedbackSummary"] | undefined) => old,
});

function ByDay({ deployment, days }: { deployment: string | undefined; days: number }) {
  const found = useQuery(summary("day", deployment, days));
  const data = useMemo((): LineData | null => {
    const rows = [...(found.data?.rows ?? [])].filter((row) => row.thumbs_up).sort((a, b) => a.name.localeCompare(b.name));
    if (rows.length < 2) return null;
    return {
      x: rows.map((row) => dayOf(row.name)),
      series: [{ label: "Thumbs up", colour: 2, points: true, values: rows.map((row) => row.thumbs_up?.value ?? null), lower: rows.map((row) => row.thumbs_up?.lower ?? null), upper: rows.map((row) => row.thumbs_up?.upper ?? null), n: rows.map((row) => row.thumbs_up?.n ?? null) }],
      show: percent,
      days: true,
      max: 1,
    };
  }, [found.data]);
  return (
    <Card title="Thumbs up by day">
      {found.isError ? <Problem error={found.error} /> : !found.data ? <Skeleton height={208} /> : data ? <LineChart label="Share of thumbs up, by day" data={data} height={180} /> : <Empty title="Too few days with a thumb">From the second day on, the share of thumbs up is drawn with its interval.</Empty>}
    </Card>
  );
}

function Parts({ deployment, days, by, setBy, report }: { deployment: string | undefined; days: number; by: By; setBy: (by: By) => void; report: Schemas["FeedbackReport"] | undefined }) {
  const found = useQuery(summary(by, deployment, days));
  const change = new Map(report?.prompts.map((one) => [one.name, one.change]));
  const changes = by === "prompt" && [...change.values()].some(Boolean);
  const columns: Column<Row>[] = [
    { head: BY[by], cell: (row) => (by === "prompt" && row.name.includes("@") ? <PromptLink name={row.name.split("@")[0]} version={row.name.split("@")[1]} /> : <span className="wrap-any">{row.name || <span className="faint">none</span>}</span>) },
    { head: "Answers", right: true, cell: (row) => whole(row.requests) },
    { head: "Thumbs up", right: true, cell: (row) => <Est of={row.thumbs_up} show={percent} /> },
    ...(changes ? [{ head: "Change", right: true, cell: (row: Row) => { const one = change.get(row.name); return one ? <span className="est"><span className={one.lower > 0 ? "good" : one.upper < 0 ? "bad" : ""}>{signed(one.value * 100, 1)} pp</span><small>{signed(one.lower * 100, 1)} to {signed(one.upper * 100, 1)} pp</small></span> : <span className="faint">–</span>; } }] : []),
    { head: "Corrected", right: true, cell: (row) => <Est of={row.corrected} show={percent} hideN /> },
    ...(changes ? [] : [{ head: "Comments", right: true, wide: true, cell: (row: Row) => whole(row.comments) }]),
  ];
  return (
    <Card title="Thumbs and corrections" flush aside={<select className="select" style={{ height: 26 }} aria-label="By" value={by} onChange={(event) => setBy(event.target.value as By)}>{Object.entries(BY).map(([key, label]) => <option key={key} value={key}>By {label.toLowerCase()}</option>)}</select>}>
      <Table label="Feedback by part" columns={columns} rows={found.data?.rows} id={(row) => row.name} error={found.error} expected={2} empty={<Empty title="Nothing was said in this time">Your application sends a thumb, a rating or a correction with the answer’s <code>x-llmops-request-id</code>.</Empty>} />
    </Card>
  );
}

function Topics({ report }: { report: Schemas["FeedbackReport"] | undefined }) {
  const topics = report?.topics;
  return (
    <Card title="What complaints are about" flush aside={topics && topics.texts > 0 && <span className="faint num">{plural(topics.texts, "text")}</span>}>
      {!topics ? <div className="card-body"><Skeleton height={120} /></div> : topics.topics.length === 0 ? <Empty title={topics.texts === 0 ? "No complaint in words" : "No two complaints are alike"}>Comments and corrections of answers that were found bad are put into groups here.</Empty> : (
        <>
          <ul className="feed">
            {topics.topics.map((topic) => (
              <li key={topic.label}>
                <span className="count">{topic.count}</span>
                <div className="grow"><div className="strong wrap-any">{sentence(topic.label)}</div>{[...new Set(topic.examples)].slice(0, 2).map((example) => <div key={example} className="muted small wrap-any">“{example}”</div>)}</div>
              </li>
            ))}
          </ul>
          <p className="card-note small">{topics.alone > 0 && `${plural(topics.alone, "text")} of no group. `}Alike by {topics.method}.</p>
        </>
      )}
    </Card>
  );
}

const SAID: Record<"negative" | "positive", string> = { negative: "Bad", positive: "Good" };

function Each({ deployment }: { deployment: string | undefined }) {
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const [sentiment, setSentiment] = useState<"negative" | "positive" | undefined>();
  const list = useInfiniteQuery({
    queryKey: ["feedback", "list", deployment, sentiment],
    initialPageParam: undefined as string | undefined,
    queryFn: ({ pageParam }) => ok(api.GET("/api/v1/feedback", { params: { query: { deployment, sentiment, limit: 20, cursor: pageParam } } })),
    getNextPageParam: (last) => last.next_cursor ?? undefined,
    placeholderData: (old) => old,
  });
  const rows = list.data?.pages.flatMap((page) => page.items);
  const columns: Column<Said>[] = [
    { head: "When", cell: (one) => (one.request_id ? <Link className="cover nowrap" to="/traffic" search={{ ...search, record: one.request_id }} replace><Ago time={one.at} /></Link> : <Ago time={one.at} />) },
    { head: "Said", cell: (one) => <span className="row wrap tight">{one.thumb && <Badge tone={one.thumb === "up" ? "good" : "bad"}>Thumb {one.thumb}</Badge>}{one.rating && <Badge>{one.rating.value} of {one.rating.scale}</Badge>}{one.label && <Badge outline>{one.label}</Badge>}{!one.thumb && !one.rating && !one.label && <span className="faint wide-only">–</span>}</span> },
    { head: "In words", block: true, cell: (one) => (one.comment || one.correction ? <div className="stack tight">{one.comment && <span className="wrap-any">{one.comment}</span>}{one.correction && <span className="good wrap-any clamp">Right would be: {one.correction}</span>}</div> : <span className="faint wide-only">–</span>) },
    { head: "Deployment", wide: true, cell: (one) => one.context?.deployment ?? <span className="faint">–</span> },
    { head: "Manifest", wide: true, cell: (one) => <Hash of={one.context?.manifest} /> },
  ];
  return (
    <Card title="What people said" flush aside={<span className="segmented" role="group" aria-label="Feeling">{([undefined, "negative", "positive"] as const).map((one) => <button key={one ?? "all"} type="button" aria-pressed={sentiment === one} onClick={() => setSentiment(one)}>{one ? SAID[one] : "All"}</button>)}</span>}>
      <Table label="Feedback" columns={columns} rows={rows} id={(one) => one.id} error={list.error} retry={() => void list.refetch()} empty={sentiment || deployment ? <Empty title="No feedback fits" action={<Button onClick={() => { setSentiment(undefined); void navigate({ search: { tab: "feedback" }, replace: true }); }}>Clear the filters</Button>} /> : <Empty title="No feedback yet" command="llmops feedback add latest --thumb down --comment '…'">Any key may send it: <code>POST /api/v1/feedback</code>. What is bad comes into the review queue.</Empty>} />
      {rows && rows.length > 0 && <ListFoot shown={rows.length} more={list.hasNextPage} loading={list.isFetchingNextPage} onMore={() => void list.fetchNextPage()} what={rows.length === 1 ? "piece" : "pieces"} />}
    </Card>
  );
}

const FORMATS = [["openai-ft", "For fine-tuning, OpenAI’s format"], ["preference", "Preference pairs"], ["jsonl", "Everything, with question and answer"]] as const;

/** What can be made of feedback: training data, a dataset, a message. */
function Uses({ deployment, days }: { deployment: string | undefined; days: number }) {
  const [open, setOpen] = useState<"hard" | "send" | null>(null);
  const refusal = useRefusal();
  const no = refusal("editor");
  const fetched = (format: string) => {
    const query = new URLSearchParams({ format, ...(deployment ? { deployment } : {}) });
    const link = document.createElement("a");
    link.href = `/api/v1/feedback/export?${query.toString()}`;
    link.download = `feedback-${format}.jsonl`;
    link.click();
  };
  return (
    <>
      <Menu label="Training data" items={FORMATS.map(([format, label]) => ({ label, refused: no, onSelect: () => fetched(format) }))}><Button icon="download">Training data</Button></Menu>
      <Button refused={no} onClick={() => setOpen("hard")}>Hard examples</Button>
      <Button refused={refusal("operator")} onClick={() => setOpen("send")}>Send the report</Button>
      {open === "hard" && <HardExamples deployment={deployment} onClose={() => setOpen(null)} />}
      {open === "send" && <SendReport deployment={deployment} days={days} onClose={() => setOpen(null)} />}
    </>
  );
}

function HardExamples({ deployment, onClose }: { deployment: string | undefined; onClose: () => void }) {
  const [name, setName] = useState("hard-examples");
  const client = useQueryClient();
  const make = useMutation({
    mutationFn: () => ok(api.POST("/api/v1/feedback/hard-examples", { body: { dataset: name, ...(deployment ? { deployment } : {}) } })),
    onSuccess: () => {
      for (const key of ["datasets", "dataset"]) void client.invalidateQueries({ queryKey: [key] });
    },
  });
  const left = Object.entries(make.data?.counts ?? {}).filter(([, n]) => typeof n === "number" && n > 0);
  return (
    <Dialog title="A dataset of hard examples" open onClose={onClose} footer={make.data ? <Button kind="primary" onClick={onClose}>Done</Button> : <><Button onClick={onClose}>Cancel</Button><Button kind="primary" disabled={make.isPending || !name.trim()} onClick={() => make.mutate()}>{make.isPending ? "Making…" : "Make it"}</Button></>}>
      {make.isError && <Problem error={make.error} />}
      {make.data ? (
        <>
          <Callout tone="good"><strong>{make.data.dataset.created ? `${name} has the version ${hash(make.data.dataset.version.version)} with ${plural(make.data.dataset.version.sample_count, "sample")}.` : "These questions are in it already."}</strong> <Link className="link" to="/datasets/$name" params={{ name }}>Open it</Link></Callout>
          <dl className="facts">{left.map(([what, n]) => <div key={what}><dt>{sentence(words(what))}</dt><dd className="num">{whole(n as number)}</dd></div>)}</dl>
        </>
      ) : (
        <>
          <p>Questions whose answers were found bad{deployment && ` at ${deployment}`} become samples, with the right answer where somebody gave it.</p>
          <Field label="Dataset" help="Made where there is none; else it gets a new version">{(props) => <input {...props} className="input" value={name} onChange={(event) => setName(event.target.value)} />}</Field>
        </>
      )}
    </Dialog>
  );
}

function SendReport({ deployment, days, onClose }: { deployment: string | undefined; days: number; onClose: () => void }) {
  const channels = useQuery({ queryKey: ["channels"], queryFn: () => ok(api.GET("/api/v1/channels")) });
  const [channel, setChannel] = useState("");
  const { say } = useSay();
  const chosen = channel || channels.data?.items[0]?.name || "";
  const send = useMutation({
    mutationFn: () => ok(api.POST("/api/v1/feedback/report", { body: { channel: chosen, days, ...(deployment ? { deployment } : {}) } })),
    onSuccess: () => {
      say(`The report is on its way to ${chosen}.`);
      onClose();
    },
  });
  return (
    <Dialog title={`Send the report of ${days} days`} open onClose={onClose} footer={<><Button onClick={onClose}>Cancel</Button><Button kind="primary" disabled={send.isPending || !chosen} onClick={() => send.mutate()}>{send.isPending ? "Sending…" : "Send"}</Button></>}>
      {send.isError && <Problem error={send.error} />}
      {channels.data?.items.length === 0 ? <Callout tone="warn">No channel is configured: name one under <code>channels</code> in llmops.yaml.</Callout> : <Field label="Channel">{(props) => <select {...props} className="select" value={chosen} onChange={(event) => setChannel(event.target.value)}>{channels.data?.items.map((one) => <option key={one.name}>{one.name}</option>)}</select>}</Field>}
      <p className="muted">What is seen here, as a message. Every Monday by itself: <Link className="link inline" to="/schedules">a schedule</Link> sends it.</p>
    </Dialog>
  );
}
