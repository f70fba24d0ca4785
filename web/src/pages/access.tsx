import { useInfiniteQuery, useMutation, useQueryClient } from "@tanstack/react-query";
import { Link, getRouteApi } from "@tanstack/react-router";
import { useState } from "react";
import type { Role, Schemas } from "../api/client";
import { api, ok } from "../api/client";
import { moment, sentence } from "../lib/format";
import { wrongNumber } from "../lib/numbers";
import { isOwn, useRefusal, useSession } from "../session";
import { Ago, Badge, Button, Callout, Card, Command, Empty, Field, PageHead, Problem } from "../ui/base";
import { WordDiff } from "../ui/diff";
import { Confirm, Dialog, useSay } from "../ui/layers";
import type { Column } from "../ui/table";
import { ListFoot, Table } from "../ui/table";
import { PART } from "../ui/parts";
import { KeyLimits, limitsTold } from "./key-limits";
import { Filter } from "./runs";

const route = getRouteApi("/access");
type Key = Schemas["ApiKey"];
type Entry = Schemas["AuditRecord"];

export function AccessPage() {
  const { tab = "keys" } = route.useSearch();
  const refusal = useRefusal();
  const no = refusal("admin");
  return (
    <>
      <PageHead title="Keys and audit" lead="Who may do what, and who changed what." />
      <nav className="tabs" aria-label="Parts of access">{(["keys", "audit"] as const).map((key) => <Link key={key} to="/access" search={{ tab: key === "keys" ? undefined : key }} replace activeOptions={PART} aria-current={tab === key ? "page" : undefined}>{key === "keys" ? "Keys" : "Record of changes"}</Link>)}</nav>
      {no ? <Card label="Access"><Empty title="Only admins see this">{no}</Empty></Card> : tab === "audit" ? <Audit /> : <Keys />}
    </>
  );
}

const ROLES: [Role, string][] = [
  ["caller", "calls deployments and sends feedback, and reads nothing: for applications"],
  ["viewer", "also reads everything"],
  ["editor", "also changes prompts, datasets and runs"],
  ["operator", "also moves live traffic and schedules"],
  ["admin", "also manages keys"],
];

function Keys() {
  const keys = useInfiniteQuery({
    queryKey: ["keys"],
    initialPageParam: undefined as string | undefined,
    queryFn: ({ pageParam }) => ok(api.GET("/api/v1/keys", { params: { query: { limit: 100, cursor: pageParam } } })),
    getNextPageParam: (last) => last.next_cursor ?? undefined,
  });
  const client = useQueryClient();
  const session = useSession();
  const { say, refused } = useSay();
  const [making, setMaking] = useState(false);
  const [ending, setEnding] = useState<Key | null>(null);
  const [limiting, setLimiting] = useState<Key | null>(null);
  const revoke = useMutation({ mutationFn: (key: string) => ok(api.DELETE("/api/v1/keys/{key}", { params: { path: { key } } })), onSuccess: () => { setEnding(null); void client.invalidateQueries({ queryKey: ["keys"] }); say("The key is revoked, on every replica."); }, onError: refused });
  const rows = keys.data?.pages.flatMap((page) => page.items);
  const columns: Column<Key>[] = [
    { head: "Name", cell: (key) => <span className="row tight wrap"><strong style={{ fontWeight: 550 }}>{key.name}</strong><code className="faint">{key.prefix}…</code></span> },
    { head: "Role", cell: (key) => <Badge tone={key.role === "admin" ? "accent" : "plain"}>{sentence(key.role)}</Badge> },
    { head: "State", cell: (key) => (key.revoked_at ? <Badge tone="bad">Revoked</Badge> : key.expires_at && new Date(key.expires_at) < new Date() ? <Badge tone="warn">Expired</Badge> : <Badge tone="good">Works</Badge>) },
    ...(rows?.some((key) => limitsTold(key.limits).length > 0) ? [{ head: "May spend", wide: true, cell: (key: Key) => <span className="muted small">{limitsTold(key.limits).slice(0, 2).join(", ") || "no limit"}{limitsTold(key.limits).length > 2 && " …"}</span> }] : []),
    { head: "Last used", wide: true, cell: (key) => (key.last_used_at ? <Ago time={key.last_used_at} /> : <span className="faint">never</span>) },
    { head: "Ends", wide: true, cell: (key) => (key.expires_at ? <Ago time={key.expires_at} /> : <span className="faint">never</span>) },
    { head: "Made", right: true, wide: true, cell: (key) => <><Ago time={key.created_at} /><div className="faint tiny">{key.created_by}</div></> },
    { head: <span className="sr">Actions</span>, right: true, cell: (key) => !key.revoked_at && <span className="row tight" style={{ justifyContent: "flex-end" }}><Button small kind="quiet" aria-label={`Limits of ${key.name}`} onClick={() => setLimiting(key)}>Limits</Button><Button small kind="danger" refused={isOwn(session, key.name, key.id) && "A key cannot revoke itself."} onClick={() => setEnding(key)}>Revoke</Button></span> },
  ];
  return (
    <>
      <Card title="Keys" flush aside={<Button small kind="primary" icon="plus" onClick={() => setMaking(true)}>New key</Button>}>
        <Table label="Keys" columns={columns} rows={rows} id={(key) => key.id} error={keys.error} retry={() => void keys.refetch()} empty={<Empty title="No keys" action={<Button kind="primary" icon="plus" onClick={() => setMaking(true)}>Make one</Button>} command="llmops key create ci --role editor">Programs and people that come over the network need one.</Empty>} />
        {rows && rows.length > 0 && <ListFoot shown={rows.length} more={keys.hasNextPage} loading={keys.isFetchingNextPage} onMore={() => void keys.fetchNextPage()} what={rows.length === 1 ? "key" : "keys"} />}
      </Card>
      {limiting && <KeyLimits of={limiting} onClose={() => setLimiting(null)} />}
      {making && <NewKey onClose={() => setMaking(false)} />}
      <Confirm title={`Revoke ${ending?.name}?`} open={ending !== null} onClose={() => setEnding(null)} onConfirm={() => ending && revoke.mutate(ending.id)} action="Revoke" danger busy={revoke.isPending}><p>Whoever uses it is refused within a second, on every replica. It cannot be taken back.</p></Confirm>
    </>
  );
}

function NewKey({ onClose }: { onClose: () => void }) {
  const [name, setName] = useState("");
  const [role, setRole] = useState<Role>("viewer");
  const [days, setDays] = useState("90");
  const client = useQueryClient();
  // Only a 0 that was typed is for ever.
  const wrong = wrongNumber(days, { needed: true, least: 0, most: 36_500 });
  const make = useMutation({
    mutationFn: () => ok(api.POST("/api/v1/keys", { body: { name, role, expires_at: Number(days) === 0 ? null : new Date(Date.now() + Number(days) * 86_400_000).toISOString() } })),
    onSuccess: () => void client.invalidateQueries({ queryKey: ["keys"] }),
  });
  return (
    <Dialog title={make.data ? "The new key" : "New key"} open onClose={onClose} loses={make.data && "The key is not shown again."} footer={make.data ? <Button kind="primary" onClick={onClose}>Done</Button> : <><Button onClick={onClose}>Cancel</Button><Button kind="primary" disabled={!name || wrong !== null || make.isPending} onClick={() => make.mutate()}>Create</Button></>}>
      {make.isError && <Problem error={make.error} />}
      {make.data ? (
        <><Callout tone="warn"><strong>This is the only time that it is shown.</strong> The store keeps its SHA-256.</Callout><Command>{make.data.secret}</Command></>
      ) : (
        <>
          <Field label="Name" help="What or who uses it">{(props) => <input {...props} className="input" value={name} onChange={(event) => setName(event.target.value)} placeholder="ci" autoFocus />}</Field>
          <Field label="Role" help={ROLES.find(([one]) => one === role)?.[1]}>{(props) => <select {...props} className="select" value={role} onChange={(event) => setRole(event.target.value as Role)}>{ROLES.map(([one]) => <option key={one} value={one}>{sentence(one)}</option>)}</select>}</Field>
          <Field label="Days until it ends" help="0: never" error={wrong}>{(props) => <input {...props} className="input num" inputMode="numeric" value={days} onChange={(event) => setDays(event.target.value)} />}</Field>
        </>
      )}
    </Dialog>
  );
}

/** What was changed, by its name where the record has one. */
function named({ target, before, after }: Entry): string {
  for (const side of [after, before] as unknown[]) {
    const name = side && typeof side === "object" && "name" in side ? side.name : null;
    if (/^[a-z]+_[0-9a-z]{10,}$/.test(target) && typeof name === "string") return name;
  }
  return target;
}

function Target({ of }: { of: Entry }) {
  const name = named(of);
  return <span className="wrap-any">{name}{name !== of.target && <span className="faint mono tiny"> {of.target}</span>}</span>;
}

function Audit() {
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const { actor, action, target, record } = search;
  const set = (part: Record<string, string | undefined>) => void navigate({ search: (old) => ({ ...old, ...part }), replace: true });
  const audit = useInfiniteQuery({
    queryKey: ["audit", actor, action, target],
    initialPageParam: undefined as string | undefined,
    queryFn: ({ pageParam }) => ok(api.GET("/api/v1/audit", { params: { query: { actor, action, target, limit: 50, cursor: pageParam } } })),
    getNextPageParam: (last) => last.next_cursor ?? undefined,
    placeholderData: (old) => old,
  });
  const rows = audit.data?.pages.flatMap((page) => page.items);
  const shown = rows?.find((entry) => String(entry.id) === record);
  const columns: Column<Entry>[] = [
    { head: "What", cell: (entry) => <Link className="cover mono" to="/access" search={{ ...search, record: String(entry.id) }} replace>{entry.action}</Link> },
    { head: "To", cell: (entry) => <Target of={entry} /> },
    { head: "Who", cell: (entry) => entry.actor },
    { head: "Request", wide: true, cell: (entry) => <span className="mono faint">{entry.request_id?.slice(0, 18) ?? "–"}</span> },
    { head: "When", right: true, cell: (entry) => <Ago time={entry.at} /> },
  ];
  return (
    <>
      <div className="filters" role="search" aria-label="Filter changes"><Filter name="actor" placeholder="Who" value={actor ?? ""} onChange={(value) => set({ actor: value || undefined })} /><Filter name="action" placeholder="What: prompt" value={action ?? ""} onChange={(value) => set({ action: value || undefined })} /><Filter name="target" placeholder="To what" value={target ?? ""} onChange={(value) => set({ target: value || undefined })} /></div>
      <Card label="Record of changes" flush>
        <Table label="Record of changes" columns={columns} rows={rows} id={(entry) => String(entry.id)} error={audit.error} retry={() => void audit.refetch()} empty={<Empty title="No change fits">Every change of configuration is recorded in the transaction that makes it.</Empty>} />
        {rows && rows.length > 0 && <ListFoot shown={rows.length} more={audit.hasNextPage} loading={audit.isFetchingNextPage} onMore={() => void audit.fetchNextPage()} what={rows.length === 1 ? "change" : "changes"} />}
      </Card>
      {shown && (
        <Dialog title={`${shown.action} · ${named(shown)}`} shape="wide" open onClose={() => set({ record: undefined })}>
          <dl className="facts"><dt>Who</dt><dd>{shown.actor}</dd><dt>When</dt><dd>{moment(shown.at)}</dd><dt>Request</dt><dd className="mono">{shown.request_id ?? "–"}</dd></dl>
          <div className="code" tabIndex={0}><WordDiff before={shown.before == null ? "" : JSON.stringify(shown.before, null, 2)} after={shown.after == null ? "" : JSON.stringify(shown.after, null, 2)} /></div>
        </Dialog>
      )}
    </>
  );
}

