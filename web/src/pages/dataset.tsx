import { useInfiniteQuery, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, getRouteApi } from "@tanstack/react-router";
import { useMemo, useState } from "react";
import type { Schemas } from "../api/client";
import { Refusal, api, ok } from "../api/client";
import { hash, plural, whole, sentence, words } from "../lib/format";
import { useRefusal } from "../session";
import { Ago, Badge, Bar, Button, Callout, Card, Empty, Field, PageHead, Problem, Skeleton } from "../ui/base";
import { WordDiff } from "../ui/diff";
import { Icon } from "../ui/icons";
import { Confirm, Dialog, useSay } from "../ui/layers";
import { Hash, PART, Unread } from "../ui/parts";
import type { Column } from "../ui/table";
import { ListFoot, Table } from "../ui/table";
import { Import, appendSample, importLines, readLines } from "./datasets";
import { SampleInput } from "./run-samples";

const route = getRouteApi("/datasets/$name");
type Sample = Schemas["SampleAt"];
type Version = Schemas["DatasetVersion"];

export function DatasetPage() {
  const { name } = route.useParams();
  const search = route.useSearch();
  const refusal = useRefusal();
  const [importing, setImporting] = useState(false);
  const dataset = useQuery({ queryKey: ["dataset", name], queryFn: () => ok(api.GET("/api/v1/datasets/{name}", { params: { path: { name } } })) });
  const versions = useQuery({ queryKey: ["dataset", name, "versions"], queryFn: () => ok(api.GET("/api/v1/datasets/{name}/versions", { params: { path: { name } } })) });
  if (dataset.isError && !dataset.data) return <Unread what="dataset" error={dataset.error} retry={dataset.refetch} to="/datasets" list="To the datasets" />;
  const all = versions.data?.items;
  // Samples that were a version before make it the current one again: it is not always the newest.
  const current = all?.find((one) => one.version === dataset.data?.version) ?? all?.[0];
  const linked = all?.find((one) => search.version && one.version.startsWith(search.version));
  const shown = linked ?? current;
  const tab = search.tab ?? "samples";
  return (
    <>
      <PageHead title={name} badge={dataset.data && <Badge>{sentence(dataset.data.type)}</Badge>} lead={dataset.data ? <>{dataset.data.description && `${dataset.data.description} · `}{plural(dataset.data.sample_count, "sample")} · changed <Ago time={dataset.data.updated_at} /></> : <Skeleton width={260} />}>
        <a className="btn" aria-disabled={!shown} {...(shown ? { href: `/api/v1/datasets/${encodeURIComponent(name)}/versions/${shown.version}/export`, download: `${name}-${hash(shown.version)}.jsonl` } : {})}><Icon name="download" />Export</a>
        <Link className="btn" to="/runs" search={{ dataset: name }}>Runs</Link>
        <Button kind="primary" icon="upload" refused={refusal("editor")} onClick={() => setImporting(true)}>New version</Button>
      </PageHead>
      <div className="with-aside">
        <Card title="Versions" flush aside={all && <span className="faint num">{all.length}</span>}>
          <nav className="versions scroll" aria-label="Versions">
            {!all && <div className="card-body"><Skeleton height={86} /></div>}
            {all?.map((version) => (
              <Link key={version.version} to="/datasets/$name" params={{ name }} search={{ ...search, version: version.version, from: undefined, sample: undefined }} replace activeOptions={PART} aria-current={version === shown ? "true" : undefined}>
                <span className="row tight"><span className="mono" style={{ fontWeight: 600 }}>{hash(version.version)}</span>{version === current && <Badge tone="good">Current</Badge>}</span>
                <span className="muted small">{plural(version.sample_count, "sample")} · <Ago time={version.created_at} /></span>
              </Link>
            ))}
          </nav>
        </Card>
        <div className="stack spaced">
          <nav className="tabs" aria-label="Parts of the dataset">
            {(["samples", "categories", "diff"] as const).map((key) => <Link key={key} to="/datasets/$name" params={{ name }} search={{ ...search, tab: key === "samples" ? undefined : key, sample: undefined }} replace activeOptions={PART} aria-current={tab === key ? "page" : undefined}>{key === "diff" ? "Difference" : words(key)[0]?.toUpperCase() + words(key).slice(1)}</Link>)}
          </nav>
          {search.version && shown && !linked && <Callout tone="warn"><strong>{name} has no version {search.version}.</strong> These are the samples of {hash(shown.version)}, the current one.</Callout>}
          {versions.isError && !all ? <Problem error={versions.error} /> : !shown || !all ? <Skeleton height={300} /> : tab === "categories" ? <Categories version={shown} /> : tab === "diff" ? <Difference name={name} version={shown} all={all} /> : <Samples name={name} version={shown} newest={shown === current} />}
        </div>
      </div>
      {importing && <Import name={name} onClose={() => setImporting(false)} />}
    </>
  );
}

function Categories({ version }: { version: Version }) {
  const rows = Object.entries(version.categories).sort((a, b) => b[1] - a[1]);
  const most = Math.max(1, ...rows.map(([, n]) => n));
  return (
    <Card title="Categories" flush>
      <div className="table-wrap"><table className="table compact"><thead><tr><th scope="col">Category</th><th scope="col" className="right">Samples</th><th scope="col" style={{ width: "40%" }}><span className="sr">Share</span></th></tr></thead><tbody>
        {rows.map(([name, n]) => <tr key={name}><td><Link className="hover-link" to="/datasets/$name" params={{ name: version.dataset }} search={{ version: version.version, category: name }}>{name ? sentence(words(name)) : <span className="faint">none</span>}</Link></td><td className="right num">{whole(n)}</td><td><Bar value={n / most} /></td></tr>)}
      </tbody></table></div>
    </Card>
  );
}

function Samples({ name, version, newest }: { name: string; version: Version; newest: boolean }) {
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const { q = "", category = "" } = search;
  const refusal = useRefusal();
  const [adding, setAdding] = useState(false);
  const pages = useInfiniteQuery({
    queryKey: ["dataset", name, "samples", version.version],
    initialPageParam: undefined as string | undefined,
    queryFn: ({ pageParam }) => ok(api.GET("/api/v1/datasets/{name}/versions/{version}/samples", { params: { path: { name, version: version.version }, query: { limit: 200, cursor: pageParam } } })),
    getNextPageParam: (last) => last.next_cursor ?? undefined,
    staleTime: "static",
  });
  const loaded = useMemo(() => pages.data?.pages.flatMap((page) => page.items), [pages.data]);
  const wanted = q.toLowerCase();
  const rows = useMemo(() => loaded?.filter((sample) => (!category || (sample.category ?? "") === category) && (!wanted || JSON.stringify(sample).toLowerCase().includes(wanted))), [loaded, category, wanted]);
  const set = (part: Record<string, string | undefined>) => void navigate({ search: (old) => ({ ...old, ...part }), replace: true });
  const columns: Column<Sample>[] = [
    { head: "Sample", cell: (sample) => <Link className="cover mono truncate" style={{ display: "block", maxWidth: 104 }} to="/datasets/$name" params={{ name }} search={{ ...search, sample: sample.id }} replace>{sample.id}</Link> },
    { head: "Input", block: true, fill: true, cell: (sample) => <div className="truncate" dir="auto">{sample.input || (sample.messages?.length ? plural(sample.messages.length, "message") : JSON.stringify(sample.variables))}</div> },
    { head: "Expected", wide: true, fill: true, cell: (sample) => <div className="truncate muted" dir="auto">{sample.expected_output?.[0] ?? <span className="faint">–</span>}</div> },
    { head: "Category", wide: true, cell: (sample) => <>{sample.category ? <div className="truncate" style={{ maxWidth: 150 }} dir="auto">{sentence(words(sample.category))}</div> : <span className="faint">–</span>}{sample.source && <div className="faint tiny nowrap">from {words(sample.source)}</div>}</> },
  ];
  const complete = !pages.hasNextPage;
  return (
    <>
      <div className="filters" role="search" aria-label="Filter samples">
        <div className="search-field"><Icon name="search" size={14} /><input className="input" type="search" aria-label="Search samples" placeholder="Search" value={q} onChange={(event) => set({ q: event.target.value || undefined })} /></div>
        <select className="select" aria-label="Category" value={category} onChange={(event) => set({ category: event.target.value || undefined })}><option value="">Any category</option>{Object.keys(version.categories).filter(Boolean).map((one) => <option key={one} value={one}>{words(one)}</option>)}</select>
        {!complete && loaded && (q || category) && <Button kind="quiet" disabled={pages.isFetchingNextPage} onClick={() => void pages.fetchNextPage()}>Searched {whole(loaded.length)} of {whole(version.sample_count)}: search further</Button>}
        <span className="grow" />
        <Button icon="plus" refused={newest ? refusal("editor") : "Only the current version is edited."} onClick={() => setAdding(true)}>Add a sample</Button>
      </div>
      <Card label="Samples" flush>
        <Table label="Samples" columns={columns} rows={rows} id={(sample) => sample.id} error={pages.error} retry={() => void pages.refetch()} empty={<Empty title="No sample fits" />} />
        {rows && rows.length > 0 && <ListFoot shown={rows.length} more={pages.hasNextPage} loading={pages.isFetchingNextPage} onMore={() => void pages.fetchNextPage()} what={`of ${whole(version.sample_count)} samples`} />}
      </Card>
      {adding && <Dialog title={`A new sample of ${name}`} shape="drawer" open onClose={() => setAdding(false)}><Edit name={name} version={version} onDone={() => setAdding(false)} /></Dialog>}
      {search.sample && <SampleDialog name={name} version={version} id={search.sample} newest={newest} onClose={() => set({ sample: undefined })} />}
    </>
  );
}

function SampleDialog({ name, version: shown, id, newest, onClose }: { name: string; version: Version; id: string; newest: boolean; onClose: () => void }) {
  // What is edited stays the version that was read, whatever is current by now.
  const [edited, setEdited] = useState<Version | null>(null);
  const version = edited ?? shown;
  const sample = useQuery({ queryKey: ["sample", name, version.version, id], queryFn: () => ok(api.GET("/api/v1/datasets/{name}/versions/{version}/samples/{sample}", { params: { path: { name, version: version.version, sample: id } } })), staleTime: "static" });
  const refusal = useRefusal();
  const no = newest ? refusal("editor") : "Only the current version is edited.";
  return (
    <Dialog title={id} shape="drawer" open onClose={onClose} footer={!edited && <><RemoveSample name={name} version={version} id={id} refused={no} onDone={onClose} /><Button icon="edit" refused={no} onClick={() => setEdited(shown)}>Edit as a new version</Button></>}>
      {sample.isError ? <Problem error={sample.error} /> : !sample.data ? <Skeleton height={200} /> : edited ? <Edit name={name} version={version} sample={sample.data} onDone={onClose} /> : (
        <>
          <SampleInput sample={sample.data} />
          {sample.data.expected_output?.map((text, i) => <div key={i} className="message"><header>Expected{(sample.data.expected_output?.length ?? 0) > 1 && ` ${i + 1}`}</header><div>{text}</div></div>)}
          <dl className="facts"><dt>Position</dt><dd className="num">{sample.data.ordinal + 1}</dd>{Object.entries(sample.data.metadata ?? {}).map(([key, value]) => <div key={key}><dt>{sentence(words(key))}</dt><dd className="mono">{typeof value === "string" ? value : JSON.stringify(value)}</dd></div>)}</dl>
        </>
      )}
    </Dialog>
  );
}

/** The next version of a dataset: with a sample more, or the lines of this one changed, unless another one is current by then. */
function useRewrite(name: string, version: Version, onDone: () => void) {
  const client = useQueryClient();
  const { say } = useSay();
  return useMutation({
    mutationFn: async (change: Record<string, unknown> | ((lines: string[]) => string[])) => {
      if (typeof change !== "function") return appendSample(name, change);
      const lines = await readLines(name, version.version);
      return importLines(name, `${change(lines).join("\n")}\n`, { replaces: version.version });
    },
    // What is current may have changed: the list of versions shows it beside what is written here.
    onError: () => void client.invalidateQueries({ queryKey: ["dataset", name] }),
    onSuccess: ({ version: fresh, created }) => {
      void client.invalidateQueries({ queryKey: ["dataset", name] });
      void client.invalidateQueries({ queryKey: ["datasets"] });
      say(created ? `${name} has the new version ${hash(fresh.version)}.` : `${name} is at the version ${hash(fresh.version)}, which there was before.`);
      onDone();
    },
  });
}

/** Why a version was not saved; where somebody else made one meanwhile, what to do. */
function NotSaved({ error, name, version }: { error: unknown; name: string; version: Version }) {
  if (!(error instanceof Refusal && error.status === 409)) return <Problem error={error} />;
  return (
    <Callout tone="bad">
      <strong>{name} was changed meanwhile: nothing was written.</strong>
      <div>Another person, the review queue or an import made a new version since {hash(version.version)} was read. What is written here would undo that. Copy it, open the current version among the versions, and change that one.</div>
    </Callout>
  );
}

const idOf = (line: string): string | undefined => (JSON.parse(line) as { id?: string }).id;

/** A sample's fields, for one that is there or a new one. */
function Edit({ name, version, sample, onDone }: { name: string; version: Version; sample?: Sample; onDone: () => void }) {
  const [id, setId] = useState("");
  const [input, setInput] = useState(sample?.input ?? "");
  const [expected, setExpected] = useState(sample?.expected_output?.[0] ?? "");
  const [category, setCategory] = useState(sample?.category ?? "");
  const save = useRewrite(name, version, onDone);
  const before = sample?.expected_output?.[0] ?? "";
  // Messages and variables ask as well as an input does.
  const asks = Boolean(input.trim() || sample?.messages?.length || Object.keys(sample?.variables ?? {}).length);
  const changed = (): Record<string, unknown> => {
    const { ordinal: _, ...plain } = sample ?? { id: id.trim(), source: "dashboard", ordinal: 0 };
    return { ...plain, input, expected_output: expected ? [expected, ...(sample?.expected_output ?? []).slice(1)] : [], category: category || undefined };
  };
  return (
    <form
      className="stack loose"
      onSubmit={(event) => {
        event.preventDefault();
        save.mutate(sample ? (lines) => lines.map((line) => (idOf(line) === sample.id ? JSON.stringify(changed()) : line)) : changed());
      }}
    >
      {save.isError && <NotSaved error={save.error} name={name} version={version} />}
      {!sample && <Field label="Id" help="One that no other sample has">{(props) => <input {...props} className="input mono" required value={id} onChange={(event) => setId(event.target.value)} placeholder="shipping-7" />}</Field>}
      <Field label="Input">{(props) => <textarea {...props} className="textarea" rows={5} value={input} onChange={(event) => setInput(event.target.value)} />}</Field>
      <Field label="Expected">{(props) => <textarea {...props} className="textarea" rows={6} value={expected} onChange={(event) => setExpected(event.target.value)} />}</Field>
      <Field label="Category">{(props) => <><input {...props} className="input" list="sample-categories" value={category} onChange={(event) => setCategory(event.target.value)} /><datalist id="sample-categories">{Object.keys(version.categories).filter(Boolean).map((one) => <option key={one} value={one} />)}</datalist></>}</Field>
      {sample && expected !== before && <div className="message"><header>What changes</header><div><WordDiff before={before} after={expected} /></div></div>}
      <div className="row"><Button kind="primary" type="submit" disabled={save.isPending || !asks || (!sample && !id.trim())}>{save.isPending ? "Saving…" : "Save as a new version"}</Button></div>
    </form>
  );
}

function RemoveSample({ name, version, id, refused, onDone }: { name: string; version: Version; id: string; refused: string | false; onDone: () => void }) {
  const [asked, setAsked] = useState(false);
  const remove = useRewrite(name, version, onDone);
  return (
    <>
      <Button kind="danger" icon="trash" refused={refused || (version.sample_count < 2 && "A dataset has one sample at least.")} onClick={() => setAsked(true)}>Remove</Button>
      <Confirm title={`A version without ${id}?`} open={asked} onClose={() => setAsked(false)} onConfirm={() => remove.mutate((lines) => lines.filter((line) => idOf(line) !== id))} action="Save without it" danger busy={remove.isPending}>
        {remove.isError && <NotSaved error={remove.error} name={name} version={version} />}
        <p>{name} gets a new version that does not hold it. Versions before, and runs on them, stay as they are.</p>
      </Confirm>
    </>
  );
}

function Difference({ name, version, all }: { name: string; version: Version; all: Version[] }) {
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const from = all.find((one) => one.version === search.from) ?? all[all.indexOf(version) + 1] ?? all.find((one) => one !== version);
  const diff = useQuery({ queryKey: ["dataset", name, "diff", from?.version, version.version], enabled: Boolean(from), staleTime: "static", queryFn: () => ok(api.GET("/api/v1/datasets/{name}/diff", { params: { path: { name }, query: { from: from?.version ?? "", to: version.version } } })) });
  if (!from) return <Empty title="There is one version only">Samples that were added, changed or removed appear here.</Empty>;
  const lists = diff.data ? ([["Changed", "warn", diff.data.changed, version], ["Added", "good", diff.data.added, version], ["Removed", "bad", diff.data.removed, from]] as const) : [];
  return (
    <>
      <div className="filters"><span className="muted">From</span><select className="select" aria-label="Compare with version" value={from.version} onChange={(event) => void navigate({ search: (old) => ({ ...old, from: event.target.value }), replace: true })}>{all.filter((one) => one !== version).map((one) => <option key={one.version} value={one.version}>{hash(one.version)}</option>)}</select><span className="muted">to <Hash of={version.version} /></span>{diff.data && <span className="faint num">{whole(diff.data.unchanged)} unchanged</span>}</div>
      {diff.isError ? <Problem error={diff.error} /> : !diff.data ? <Skeleton height={160} /> : lists.every(([, , ids]) => ids.length === 0) ? <Empty title="The two versions hold the same samples" /> : lists.filter(([, , ids]) => ids.length > 0).map(([label, tone, ids, of]) => (
        <Card key={label} title={label} aside={<Badge tone={tone}>{ids.length}</Badge>} flush>
          <ul className="feed scroll" tabIndex={0} aria-label={label}>{ids.slice(0, 200).map((id) => <li key={id}>{label === "Changed" ? <ChangedSample name={name} id={id} before={from} after={version} /> : <Link className="mono hover-link" to="/datasets/$name" params={{ name }} search={{ version: of.version, sample: id }}>{id}</Link>}</li>)}</ul>
          {ids.length > 200 && <div className="list-foot">The first 200 of {whole(ids.length)}</div>}
        </Card>
      ))}
    </>
  );
}

function ChangedSample({ name, id, before, after }: { name: string; id: string; before: Version; after: Version }) {
  const [open, setOpen] = useState(false);
  const of = (version: Version) => ({ queryKey: ["sample", name, version.version, id], enabled: open, staleTime: "static" as const, queryFn: () => ok(api.GET("/api/v1/datasets/{name}/versions/{version}/samples/{sample}", { params: { path: { name, version: version.version, sample: id } } })) });
  const [first, second] = [useQuery(of(before)), useQuery(of(after))];
  return (
    <details className="grow" onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary className="mono">{id}</summary>
      {first.data && second.data && (
        <div className="stack" style={{ marginTop: 6 }}>
          {first.data.input !== second.data.input && <div className="message"><header>Input</header><div><WordDiff before={first.data.input ?? ""} after={second.data.input ?? ""} /></div></div>}
          {first.data.expected_output?.[0] !== second.data.expected_output?.[0] && <div className="message"><header>Expected</header><div><WordDiff before={first.data.expected_output?.[0] ?? ""} after={second.data.expected_output?.[0] ?? ""} /></div></div>}
          {first.data.category !== second.data.category && <p className="muted">Category: {first.data.category ?? "none"} → {second.data.category ?? "none"}</p>}
        </div>
      )}
    </details>
  );
}
