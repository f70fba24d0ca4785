import { useInfiniteQuery, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, getRouteApi } from "@tanstack/react-router";
import { useState } from "react";
import type { Schemas } from "../api/client";
import { api, ok } from "../api/client";
import { figure, moment, sentence, words } from "../lib/format";
import { wrongNumber } from "../lib/numbers";
import { useRefusal } from "../session";
import { Ago, Badge, Button, Card, Dot, Empty, Field, PageHead, Problem, Skeleton } from "../ui/base";
import { Dialog, useSay } from "../ui/layers";
import { Hash, SeverityBadge, severityTone, shortId, PART } from "../ui/parts";
import type { Column } from "../ui/table";
import { ListFoot, Table } from "../ui/table";
import { TestAlert } from "./quality";

const route = getRouteApi("/alerts");
type Alert = Schemas["Alert"];

export function AlertsPage() {
  const search = route.useSearch();
  const { tab = "alerts" } = search;
  return (
    <>
      <PageHead title="Alerts" lead="One open alert for each cause. Channels are told once, and again when it grows worse."><TestAlert /></PageHead>
      <nav className="tabs" aria-label="Parts of alerting">
        {(["alerts", "channels", "silences"] as const).map((key) => <Link key={key} to="/alerts" search={{ tab: key === "alerts" ? undefined : key }} replace activeOptions={PART} aria-current={tab === key ? "page" : undefined}>{sentence(key)}</Link>)}
      </nav>
      {tab === "channels" ? <Channels /> : tab === "silences" ? <Silences /> : <List />}
    </>
  );
}

function AlertState({ of }: { of: Alert }) {
  return of.resolved_at ? <Badge tone="good">Resolved</Badge> : of.acked_at ? <Badge>Acknowledged</Badge> : <Badge tone="info">Open</Badge>;
}

/** Where an alert comes from: a link where there is a page of it. */
function Source({ of: { source, source_id: id, metadata } }: { of: Alert }) {
  const place = typeof metadata?.deployment === "string" ? metadata.deployment : null;
  if (id && (source === "evaluation" || source === "run")) return <Link className="hover-link" to="/runs/$run" params={{ run: id }}>Run {shortId(id)}</Link>;
  if (id && source === "canary") return <Link className="hover-link" to="/canaries/$id" params={{ id }}>Canary{place && ` of ${place}`}</Link>;
  if (id && source === "experiment") return <Link className="hover-link" to="/experiments/$id" params={{ id }}>Experiment</Link>;
  if (id && source === "gateway") return <Link className="hover-link" to="/deployments/$name" params={{ name: id }}>{id}</Link>;
  return <>{sentence(source)}{id && ` ${id}`}</>;
}

function List() {
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const { status, severity, type, source } = search;
  const set = (part: Record<string, string | undefined>) => void navigate({ search: (old) => ({ ...old, ...part }), replace: true });
  const alerts = useInfiniteQuery({
    queryKey: ["alerts", "list", status, severity, type, source],
    initialPageParam: undefined as string | undefined,
    queryFn: ({ pageParam }) => ok(api.GET("/api/v1/alerts", { params: { query: { status: status as "open" | "resolved" | undefined, severities: severity, types: type, source, limit: 50, cursor: pageParam } } })),
    getNextPageParam: (last) => last.next_cursor ?? undefined,
    placeholderData: (old) => old,
  });
  const rows = alerts.data?.pages.flatMap((page) => page.items);
  const act = useAct();
  const refusal = useRefusal();
  const columns: Column<Alert>[] = [
    { head: "Alert", cell: (alert) => <div className="row top" style={{ gap: 10 }}><span style={{ marginTop: 6 }}><Dot tone={alert.resolved_at ? "plain" : severityTone(alert.severity)} /></span><div className="wrap-any" style={{ minWidth: 180 }}><Link className="cover" to="/alerts" search={{ ...search, alert: alert.id }} replace>{sentence(words(alert.message))}</Link><div className="faint small"><Source of={alert} />{alert.count > 1 && ` · ${alert.count} times`}</div></div></div> },
    { head: "Severity", cell: (alert) => <SeverityBadge of={alert.severity} /> },
    { head: "Type", wide: true, cell: (alert) => sentence(alert.type) },
    { head: "State", cell: (alert) => <AlertState of={alert} /> },
    { head: "Last seen", right: true, cell: (alert) => <Ago time={alert.last_seen_at} /> },
    { head: <span className="sr">Acknowledge</span>, right: true, cell: (alert) => !alert.resolved_at && !alert.acked_at && <Button small refused={refusal("editor")} disabled={act.isPending} onClick={() => act.mutate({ alert: alert.id, what: "acknowledge" })}>Acknowledge</Button> },
  ];
  const filtered = status || severity || type || source;
  return (
    <>
      <div className="filters" role="search" aria-label="Filter alerts">
        <span className="segmented" role="group" aria-label="State">{([undefined, "open", "resolved"] as const).map((one) => <button key={one ?? "all"} type="button" aria-pressed={status === one} onClick={() => set({ status: one })}>{one ? sentence(one) : "All"}</button>)}</span>
        <select className="select" aria-label="Severity" value={severity ?? ""} onChange={(event) => set({ severity: event.target.value || undefined })}><option value="">Any severity</option>{["critical", "warning", "info"].map((one) => <option key={one} value={one}>{sentence(one)}</option>)}</select>
        <select className="select" aria-label="Type" value={type ?? ""} onChange={(event) => set({ type: event.target.value || undefined })}><option value="">Any type</option>{["regression", "threshold", "anomaly", "experiment"].map((one) => <option key={one} value={one}>{sentence(one)}</option>)}</select>
        {filtered && <Button kind="quiet" onClick={() => void navigate({ search: {} })}>Clear</Button>}
      </div>
      <Card label="Alerts" flush>
        <Table label="Alerts" columns={columns} rows={rows} id={(alert) => alert.id} error={alerts.error} retry={() => void alerts.refetch()} empty={filtered ? <Empty title="No alert fits" /> : <Empty title="No alerts">A regression against the run before, a threshold, a drift or an experiment raises one. Thresholds stand in llmops.yaml under <code>operations.alert_thresholds</code>.</Empty>} />
        {rows && rows.length > 0 && <ListFoot shown={rows.length} more={alerts.hasNextPage} loading={alerts.isFetchingNextPage} onMore={() => void alerts.fetchNextPage()} what={rows.length === 1 ? "alert" : "alerts"} />}
      </Card>
      {search.alert && <AlertDialog id={search.alert} onClose={() => set({ alert: undefined })} />}
    </>
  );
}

function useAct() {
  const client = useQueryClient();
  const { say, refused } = useSay();
  return useMutation({
    mutationFn: ({ alert, what }: { alert: string; what: "acknowledge" | "resolve" }) => (what === "resolve" ? ok(api.POST("/api/v1/alerts/{alert}/resolve", { params: { path: { alert } } })) : ok(api.POST("/api/v1/alerts/{alert}/acknowledge", { params: { path: { alert } } }))),
    onSuccess: (_, { what }) => {
      void client.invalidateQueries({ queryKey: ["alerts"] });
      void client.invalidateQueries({ queryKey: ["overview"] });
      say(what === "resolve" ? "Resolved." : "Acknowledged: channels stay quiet about it.");
    },
    onError: refused,
  });
}

function AlertDialog({ id, onClose }: { id: string; onClose: () => void }) {
  const found = useQuery({ queryKey: ["alerts", "one", id], queryFn: () => ok(api.GET("/api/v1/alerts/{alert}", { params: { path: { alert: id } } })) });
  const alert = found.data;
  const act = useAct();
  const refusal = useRefusal();
  const facts = Object.entries(alert?.metadata ?? {});
  return (
    <Dialog title={alert ? sentence(words(alert.message)) : "Alert"} open onClose={onClose} footer={alert && !alert.resolved_at && <>{!alert.acked_at && <Button refused={refusal("editor")} disabled={act.isPending} onClick={() => act.mutate({ alert: id, what: "acknowledge" })}>Acknowledge</Button>}<Button kind="primary" refused={refusal("editor")} disabled={act.isPending} onClick={() => act.mutate({ alert: id, what: "resolve" })}>Resolve</Button></>}>
      {found.isError ? <Problem error={found.error} /> : !alert ? <Skeleton height={160} /> : (
        <>
          <div className="row wrap"><SeverityBadge of={alert.severity} /><Badge>{sentence(alert.type)}</Badge><AlertState of={alert} />{alert.count > 1 && <Badge outline>{alert.count} times</Badge>}</div>
          <dl className="facts">
            {alert.metric && <><dt>Metric</dt><dd>{sentence(words(alert.metric))}</dd></>}
            {alert.actual_value != null && <><dt>Value</dt><dd className="num">{figure(alert.actual_value)}{alert.threshold != null && <span className="muted"> against {figure(alert.threshold)}</span>}</dd></>}
            <dt>From</dt><dd><Source of={alert} /></dd>
            <dt>Raised</dt><dd>{moment(alert.created_at)}</dd>
            <dt>Last seen</dt><dd>{moment(alert.last_seen_at)}</dd>
            {alert.notified_at && <><dt>Told</dt><dd>{moment(alert.notified_at)}</dd></>}
            {alert.acked_at && <><dt>Acknowledged</dt><dd>{moment(alert.acked_at)}</dd></>}
            {alert.resolved_at && <><dt>Resolved</dt><dd>{moment(alert.resolved_at)}</dd></>}
            {facts.map(([key, value]) => <div key={key}><dt>{sentence(words(key))}</dt><dd className="wrap-any">{typeof value === "string" ? (/^[0-9a-f]{64}$/.test(value) ? <Hash of={value} /> : value) : typeof value === "boolean" ? (value ? "yes" : "no") : JSON.stringify(value)}</dd></div>)}
          </dl>
        </>
      )}
    </Dialog>
  );
}

function Channels() {
  const channels = useQuery({ queryKey: ["channels"], queryFn: () => ok(api.GET("/api/v1/channels")) });
  const deliveries = useQuery({ queryKey: ["deliveries"], queryFn: () => ok(api.GET("/api/v1/deliveries", { params: { query: { limit: 50 } } })) });
  const client = useQueryClient();
  const refusal = useRefusal();
  const { say, refused } = useSay();
  const replay = useMutation({ mutationFn: (delivery: string) => ok(api.POST("/api/v1/deliveries/{delivery}/replay", { params: { path: { delivery } } })), onSuccess: () => { void client.invalidateQueries({ queryKey: ["deliveries"] }); say("It is sent again."); }, onError: refused });
  return (
    <>
      <Card title="Channels" flush>
        <Table label="Channels" rows={channels.data?.items} id={(one) => one.name} error={channels.error} expected={2} columns={[
          { head: "Channel", cell: (one) => <strong>{one.name}</strong> },
          { head: "Kind", cell: (one) => <Badge>{one.kind}</Badge> },
          { head: "Hears of", cell: (one) => <span className="row wrap tight">{[...one.severities, ...one.types].map((each) => <Badge key={each} outline>{sentence(each)}</Badge>)}{one.severities.length + one.types.length === 0 && <span className="muted">everything</span>}</span> },
          { head: "Ready", cell: (one) => (one.unset.length > 0 ? <Badge tone="bad">Not set: {one.unset.join(", ")}</Badge> : <Badge tone="good">Yes</Badge>) },
        ]} empty={<Empty title="No channel is configured">Name one under <code>channels</code> in llmops.yaml: <code>slack</code>, <code>webhook</code>, <code>pagerduty</code> or <code>command</code>, a program of yours. Alerts appear here and in the event stream without one.</Empty>} />
      </Card>
      <Card title="Messages" flush>
        <Table label="Messages to channels" compact rows={deliveries.data?.items} id={(one) => one.id} error={deliveries.error} expected={3} columns={[
          { head: "Channel", cell: (one) => one.channel },
          { head: "State", cell: (one) => <Badge tone={one.status === "delivered" ? "good" : one.status === "dead" ? "bad" : "info"}>{sentence(one.status)}</Badge> },
          { head: "About", cell: (one) => <span className="truncate" style={{ display: "block", maxWidth: 380 }}>{one.notice.alerts[0]?.message ?? one.notice.type}{one.notice.count > 1 && ` and ${one.notice.count - 1} more`}</span> },
          { head: "Attempts", right: true, wide: true, cell: (one) => one.attempt },
          { head: "Error", wide: true, cell: (one) => <span className="muted truncate" style={{ display: "block", maxWidth: 260 }}>{one.error ?? "–"}</span> },
          { head: "When", right: true, cell: (one) => <Ago time={one.updated_at} /> },
          { head: <span className="sr">Send again</span>, right: true, cell: (one) => one.status === "dead" && <Button small refused={refusal("editor")} onClick={() => replay.mutate(one.id)}>Send again</Button> },
        ]} empty={<Empty title="No message was sent yet" />} />
      </Card>
    </>
  );
}

/** What a silence is about. */
function Matched({ of }: { of: Schemas["Matcher"] }) {
  const told = Object.entries(of).flatMap(([key, value]): string[] => (value == null ? [] : Array.isArray(value) ? value.map(String) : typeof value === "object" ? Object.entries(value).map(([name, one]) => `${name} ${String(one)}`) : [`${words(key)} ${String(value)}`]));
  return <span className="row wrap tight">{told.length === 0 ? "All" : told.map((one) => <Badge key={one} outline>{sentence(one)}</Badge>)}</span>;
}

/** The hours of a year: what should be silent for longer is better left out of the channel. */
const YEAR = 8760;

function Silences() {
  const silences = useQuery({ queryKey: ["silences"], queryFn: () => ok(api.GET("/api/v1/silences")) });
  const client = useQueryClient();
  const refusal = useRefusal();
  const { say, refused } = useSay();
  const [making, setMaking] = useState(false);
  const [form, setForm] = useState({ hours: "4", comment: "", severity: "", metric: "", dataset: "" });
  const again = () => void client.invalidateQueries({ queryKey: ["silences"] });
  const remove = useMutation({ mutationFn: (silence: string) => ok(api.DELETE("/api/v1/silences/{silence}", { params: { path: { silence } } })), onSuccess: () => { again(); say("The silence is over."); }, onError: refused });
  const hours = Number(form.hours);
  const make = useMutation({
    mutationFn: () => ok(api.POST("/api/v1/silences", { body: { ends_at: new Date(Date.now() + hours * 3_600_000).toISOString(), comment: form.comment, matcher: { ...(form.severity ? { severities: [form.severity as Schemas["Severity"]] } : {}), ...(form.metric ? { metric: form.metric } : {}), ...(form.dataset ? { dataset: form.dataset } : {}) } } })),
    onSuccess: () => { setMaking(false); again(); say("Silenced."); },
  });
  const wrong = wrongNumber(form.hours, { needed: true, above: 0, most: YEAR });
  const text = (name: keyof typeof form, label: string, help?: string, error?: string | null) => <Field label={label} help={help} error={error}>{(props) => <input {...props} className="input" value={form[name]} onChange={(event) => setForm({ ...form, [name]: event.target.value })} />}</Field>;
  return (
    <Card title="Silences" flush aside={<Button small refused={refusal("editor")} onClick={() => setMaking(true)}>New silence</Button>}>
      <Table label="Silences" rows={silences.data?.items} id={(one) => one.id} error={silences.error} expected={2} columns={[
        { head: "Alerts", cell: (one) => <Matched of={one.matcher} /> },
        { head: "Why", cell: (one) => one.comment || <span className="faint">–</span> },
        { head: "Until", right: true, cell: (one) => <Ago time={one.ends_at} /> },
        { head: <span className="sr">End</span>, right: true, cell: (one) => <Button small refused={refusal("editor")} onClick={() => remove.mutate(one.id)}>End</Button> },
      ]} empty={<Empty title="Nothing is silenced">A silence keeps channels quiet about alerts that fit, for a time. The alerts are raised all the same.</Empty>} />
      <Dialog title="New silence" open={making} onClose={() => setMaking(false)} footer={<><Button onClick={() => setMaking(false)}>Cancel</Button><Button kind="primary" disabled={make.isPending || wrong !== null} onClick={() => make.mutate()}>Silence</Button></>}>
        {make.isError && <Problem error={make.error} />}
        <div className="grid two">
          {text("hours", "Hours", "Such as 1.5; a year at most", wrong)}
          <Field label="Severity">{(props) => <select {...props} className="select" value={form.severity} onChange={(event) => setForm({ ...form, severity: event.target.value })}><option value="">Any</option>{["critical", "warning", "info"].map((one) => <option key={one} value={one}>{sentence(one)}</option>)}</select>}</Field>
          {text("metric", "Metric or category", "Absent: any")}
          {text("dataset", "Dataset", "Absent: any")}
        </div>
        {text("comment", "Why")}
      </Dialog>
    </Card>
  );
}
