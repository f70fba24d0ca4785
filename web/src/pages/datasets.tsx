import { useInfiniteQuery, useMutation, useQueryClient } from "@tanstack/react-query";
import { Link, getRouteApi } from "@tanstack/react-router";
import { useRef, useState } from "react";
import type { Schemas } from "../api/client";
import { Refusal, api, ok } from "../api/client";
import { plural, sentence, whole } from "../lib/format";
import { useRefusal } from "../session";
import { Ago, Badge, Button, Callout, Card, Empty, Field, PageHead, Problem } from "../ui/base";
import { Icon } from "../ui/icons";
import { Dialog, useSay } from "../ui/layers";
import { Hash } from "../ui/parts";
import type { Column } from "../ui/table";
import { ListFoot, Table, useReadOn } from "../ui/table";

const route = getRouteApi("/datasets");
type Dataset = Schemas["Dataset"];

export function DatasetsPage() {
  const { q = "" } = route.useSearch();
  const navigate = route.useNavigate();
  const refusal = useRefusal();
  const [importing, setImporting] = useState(false);
  const datasets = useInfiniteQuery({
    queryKey: ["datasets"],
    initialPageParam: undefined as string | undefined,
    queryFn: ({ pageParam }) => ok(api.GET("/api/v1/datasets", { params: { query: { limit: 100, cursor: pageParam } } })),
    getNextPageParam: (last) => last.next_cursor ?? undefined,
  });
  useReadOn(datasets, q !== "");
  const fitting = datasets.data?.pages.flatMap((page) => page.items).filter((one) => `${one.name} ${one.type} ${one.description ?? ""}`.toLowerCase().includes(q.toLowerCase()));
  // Nothing fits only once everything was read.
  const rows = fitting?.length === 0 && datasets.hasNextPage ? undefined : fitting;
  const columns: Column<Dataset>[] = [
    { head: "Dataset", cell: (one) => <div className="stack tight" style={{ gap: 0 }}><Link className="cover" to="/datasets/$name" params={{ name: one.name }}>{one.name}</Link>{one.description && <span className="muted truncate" style={{ maxWidth: 420, fontSize: 12 }}>{one.description}</span>}</div> },
    { head: "Type", cell: (one) => <Badge>{sentence(one.type)}</Badge> },
    { head: "Samples", right: true, cell: (one) => whole(one.sample_count) },
    { head: "Version", wide: true, cell: (one) => <Hash of={one.version} /> },
    { head: "Changed", right: true, cell: (one) => <Ago time={one.updated_at} /> },
  ];
  return (
    <>
      <PageHead title="Datasets" lead="Questions with expected answers. A version is the hash of its samples and never changes.">
        <Button kind="primary" icon="upload" refused={refusal("editor")} onClick={() => setImporting(true)}>Import</Button>
      </PageHead>
      <div className="filters" role="search"><div className="search-field"><Icon name="search" size={14} /><input className="input" type="search" aria-label="Filter datasets" placeholder="Filter" value={q} onChange={(event) => void navigate({ search: { q: event.target.value || undefined }, replace: true })} /></div></div>
      <Card label="Datasets" flush>
        <Table label="Datasets" columns={columns} rows={rows} id={(one) => one.name} error={datasets.error} retry={() => void datasets.refetch()} empty={q ? <Empty title={`Nothing has “${q}” in its name, type or description`} /> : <Empty title="No datasets yet" action={<Button kind="primary" icon="upload" refused={refusal("editor")} onClick={() => setImporting(true)}>Import one</Button>} command="llmops dataset import golden.jsonl --name golden">One JSON object a line: an id, an input, the expected output, a category.</Empty>} />
        {rows && rows.length > 0 && <ListFoot shown={rows.length} more={datasets.hasNextPage} loading={datasets.isFetchingNextPage} onMore={() => void datasets.fetchNextPage()} what={rows.length === 1 ? "dataset" : "datasets"} />}
      </Card>
      {importing && <Import onClose={() => setImporting(false)} />}
    </>
  );
}

interface ImportOptions {
  type?: string | undefined;
  /** The version that was edited: the server refuses the lines when it is not the current one any more. */
  replaces?: string | undefined;
}

/** Sends lines as the new version of a dataset. The body is a stream of lines, not JSON. */
export async function importLines(name: string, lines: string | Blob, { type, replaces }: ImportOptions = {}): Promise<Schemas["ImportedDataset"]> {
  const query = new URLSearchParams({ ...(type ? { type } : {}), ...(replaces ? { replaces } : {}) });
  const response = await reached(fetch(`/api/v1/datasets/${encodeURIComponent(name)}/versions?${query}`, { method: "POST", headers: { "content-type": "application/x-ndjson" }, body: lines }), lines);
  const body = (await response.json().catch(() => ({}))) as { error?: Schemas["ErrorBody"] };
  if (!response.ok) throw new Refusal(response.status, body.error ?? {});
  return body as Schemas["ImportedDataset"];
}

/** The lines of a version, without their ends. */
export async function readLines(name: string, version: string): Promise<string[]> {
  const response = await reached(fetch(`/api/v1/datasets/${encodeURIComponent(name)}/versions/${version}/export`));
  if (!response.ok) throw new Refusal(response.status, { message: `the version cannot be read: ${response.status}` });
  return (await response.text()).split("\n").filter(Boolean);
}

/** A dataset with one sample more than it has now, also where others change it at the same time. */
export async function appendSample(name: string, sample: Record<string, unknown>): Promise<Schemas["ImportedDataset"]> {
  for (let attempts = 1; ; attempts++) {
    const { version } = await ok(api.GET("/api/v1/datasets/{name}", { params: { path: { name } } }));
    const lines = version ? await readLines(name, version) : [];
    try {
      return await importLines(name, `${[...lines, JSON.stringify(sample)].join("\n")}\n`, { replaces: version ?? undefined });
    } catch (error) {
      if (!(error instanceof Refusal && error.status === 409) || attempts === 4) throw error;
    }
  }
}

/** An answer. Without one, a file that was to be sent is looked at first: browsers refuse those that changed on disk. */
async function reached(answer: Promise<Response>, sent?: string | Blob): Promise<Response> {
  try {
    return await answer;
  } catch {
    if (sent instanceof Blob && !(await sent.slice(0, 1).arrayBuffer().then(() => true, () => false))) {
      throw new Refusal(0, { message: "the file was changed on disk since it was chosen", hint: "choose it again" });
    }
    throw new Refusal(0, { message: "the server cannot be reached", hint: "its process may have stopped, or the network is gone" });
  }
}

export function Import({ name: known, onClose }: { name?: string; onClose: () => void }) {
  const [name, setName] = useState(known ?? "");
  const [type, setType] = useState("golden");
  const [text, setText] = useState("");
  const file = useRef<HTMLInputElement>(null);
  const [chosen, setChosen] = useState<File | null>(null);
  const client = useQueryClient();
  const { say } = useSay();
  const send = useMutation({
    mutationFn: () => importLines(name.trim(), chosen ?? text, { type: known ? undefined : type }),
    onSuccess: ({ version, created, warnings }) => {
      void client.invalidateQueries({ queryKey: ["datasets"] });
      void client.invalidateQueries({ queryKey: ["dataset", version.dataset] });
      say(created ? `${version.dataset} has a new version with ${plural(version.sample_count, "sample")}.` : "These samples are a version that there was before: it is the current one.", "good", warnings?.[0]);
      onClose();
    },
  });
  return (
    <Dialog title={known ? `New version of ${known}` : "Import a dataset"} shape="wide" open onClose={onClose} footer={<><Button onClick={onClose}>Cancel</Button><Button kind="primary" disabled={send.isPending || !name.trim() || (!text.trim() && !chosen)} onClick={() => send.mutate()}>{send.isPending ? "Importing…" : "Import"}</Button></>}>
      {send.isError && <Problem error={send.error} />}
      {!known && (
        <div className="grid two">
          <Field label="Name">{(props) => <input {...props} className="input" value={name} onChange={(event) => setName(event.target.value)} placeholder="golden" autoFocus />}</Field>
          <Field label="Type">{(props) => <select {...props} className="select" value={type} onChange={(event) => setType(event.target.value)}>{["golden", "regression", "benchmark", "user"].map((one) => <option key={one}>{one}</option>)}</select>}</Field>
        </div>
      )}
      <Field label="Lines" help={chosen ? `${chosen.name} is sent instead` : "JSON, one sample a line"}>{(props) => <textarea {...props} className="textarea" rows={9} disabled={Boolean(chosen)} value={text} onChange={(event) => setText(event.target.value)} placeholder={'{"id": "f001", "category": "factual_accuracy", "input": "…", "expected_output": "…"}'} />}</Field>
      <div className="row"><input ref={file} type="file" className="sr" accept=".jsonl,.ndjson,.json" tabIndex={-1} aria-label="File with lines" onChange={(event) => { setChosen(event.target.files?.[0] ?? null); event.target.value = ""; }} /><Button icon="upload" onClick={() => file.current?.click()}>Choose a file</Button>{chosen && <Button kind="quiet" onClick={() => setChosen(null)}>Without the file</Button>}</div>
      {known && <Callout tone="plain">The lines are the whole new version. Versions before it stay as they are.</Callout>}
    </Dialog>
  );
}
