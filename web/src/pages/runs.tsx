import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { Link, getRouteApi } from "@tanstack/react-router";
import { useMemo, useState } from "react";
import type { Run } from "../api/client";
import { api, ok } from "../api/client";
import { isUnpriced } from "../lib/cost";
import { moneyLike, sentence } from "../lib/format";
import { useRefusal } from "../session";
import { Ago, Badge, Bar, Button, Card, Empty, Est, Long, PageHead } from "../ui/base";
import { Part, RunStatus, Verdict, shortId } from "../ui/parts";
import type { Column } from "../ui/table";
import { ListFoot, Table } from "../ui/table";
import { NewRun } from "./run-new";

const route = getRouteApi("/runs");
const FIELDS = ["prompt", "dataset", "model", "suite", "tag"] as const;
const STATUSES = ["pending", "running", "completed", "failed", "cancelled"] as const;

export function RunsPage() {
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const [chosen, setChosen] = useState<string[]>([]);
  const refusal = useRefusal();
  const [making, setMaking] = useState(false);
  const filtered = Object.keys(search).length > 0;
  const runs = useInfiniteQuery({
    queryKey: ["runs", search],
    initialPageParam: undefined as string | undefined,
    queryFn: ({ pageParam }) => {
      const { prompt, dataset, model, suite, tag, status } = search;
      return ok(api.GET("/api/v1/runs", { params: { query: { prompt, dataset, model, suite, tag, status: status as Run["status"] | undefined, limit: 40, cursor: pageParam } } }));
    },
    getNextPageParam: (last) => last.next_cursor ?? undefined,
    placeholderData: (old) => old,
  });
  const baselines = useBaselines();
  const rows = runs.data?.pages.flatMap((page) => page.items);
  const cost = moneyLike(rows?.map((run) => run.progress.cost) ?? []);
  const set = (name: string, value: string) => void navigate({ search: (old) => ({ ...old, [name]: value || undefined }), replace: true });
  const toggle = (id: string) => setChosen((old) => (old.includes(id) ? old.filter((one) => one !== id) : [...old.slice(-1), id]));
  const pair = [...chosen].sort();
  const columns: Column<Run>[] = [
    {
      head: <span className="sr">Compare</span>,
      width: 34,
      corner: true,
      cell: (run) => <input type="checkbox" aria-label={`Compare ${run.name}`} checked={chosen.includes(run.id)} onChange={() => toggle(run.id)} style={{ accentColor: "var(--accent)" }} />,
    },
    {
      head: "Run",
      cell: (run) => (
        <div className="stack tight names" style={{ gap: 0 }}>
          <span className="row tight">
            <Link className="cover truncate" title={run.name} to="/runs/$run" params={{ run: run.id }}>{run.name}</Link>
            {baselines.has(run.id) && <Badge tone="accent">Baseline</Badge>}
            <Part of={run} />
          </span>
          <span className="faint row" style={{ fontSize: 12, lineHeight: "16px", gap: 4 }}><Long>{`${run.dataset}${run.spec.suite ? ` · ${run.spec.suite}` : ""}${run.metadata?.simulated === true ? " · simulated" : ""}`}</Long>· <span className="mono tiny nowrap">{shortId(run.id)}</span></span>
        </div>
      ),
    },
    { head: "Status", cell: (run) => (run.status === "running" ? <div className="stack tight"><RunStatus run={run} /><Bar value={run.progress.total ? run.progress.done / run.progress.total : 0} /></div> : <RunStatus run={run} />) },
    { head: "Overall", cell: (run) => <Est of={run.results?.overall} /> },
    { head: "Passed", wide: true, cell: (run) => <Est of={run.results?.pass_rate} show={(v) => `${(v * 100).toFixed(1)} %`} hideN /> },
    { head: "Gate", cell: (run) => <Verdict of={run.tags?.gate} /> },
    { head: "Prompt and model", wide: true, cell: (run) => <div className="stack tight names less" style={{ gap: 0 }}><span className="row" style={{ gap: 0 }}>{run.prompt_name ? <><Long>{run.prompt_name}</Long><span className="faint nowrap">@{run.prompt_version}</span></> : <span className="faint nowrap">no prompt</span>}</span><span className="mono muted row" style={{ fontSize: 11, lineHeight: "16px" }}><Long>{run.model_name}</Long></span></div> },
    { head: "Cost", right: true, wide: true, cell: (run) => (isUnpriced(run) ? (run.progress.cost > 0 ? <>{cost(run.progress.cost)} <span className="faint" title="What has no price is not in it">+ ?</span></> : <span className="faint">unknown</span>) : cost(run.progress.cost)) },
    { head: "Created", right: true, cell: (run) => <Ago time={run.created_at} /> },
  ];
  return (
    <>
      <PageHead title="Runs" lead="Every evaluation: one target, one dataset version, one set of scorers.">
        {chosen.length === 2 ? (
          <Link to="/compare" search={{ a: pair[0] ?? "", b: pair[1] ?? "" }} className="btn primary">Compare the two</Link>
        ) : (
          <Button refused="Choose two runs with their boxes.">Compare{chosen.length === 1 ? " (one more)" : ""}</Button>
        )}
        <Button kind={chosen.length === 2 ? undefined : "primary"} icon="plus" refused={refusal("editor")} onClick={() => setMaking(true)}>New run</Button>
      </PageHead>
      <div className="filters" role="search" aria-label="Filter runs">
        <select className="select" aria-label="Status" value={search.status ?? ""} onChange={(event) => set("status", event.target.value)}>
          <option value="">Any status</option>
          {STATUSES.map((status) => <option key={status} value={status}>{sentence(status)}</option>)}
        </select>
        {FIELDS.map((name) => <Filter key={name} name={name} value={search[name] ?? ""} onChange={(value) => set(name, value)} placeholder={name === "tag" ? "Tag, branch=main" : sentence(name)} />)}
        {filtered && <Button kind="quiet" onClick={() => void navigate({ search: {} })}>Clear</Button>}
      </div>
      <Card label="Runs" flush>
        <Table
          label="Runs"
          columns={columns}
          rows={rows}
          id={(run) => run.id}
          error={runs.error}
          retry={() => void runs.refetch()}
          empty={filtered ? <Empty title="No run fits" action={<Button onClick={() => void navigate({ search: {} })}>Clear the filters</Button>}>Names must be whole: a model is <code>provider/model</code>, a tag <code>name=value</code>.</Empty> : <Empty title="No runs yet" action={<Button kind="primary" icon="plus" refused={refusal("editor")} onClick={() => setMaking(true)}>Start one</Button>} command="llmops eval">A run asks a target every question of a dataset and scores the answers.</Empty>}
        />
        {rows && rows.length > 0 && <ListFoot shown={rows.length} more={runs.hasNextPage} loading={runs.isFetchingNextPage} onMore={() => void runs.fetchNextPage()} what={rows.length === 1 ? "run" : "runs"} />}
      </Card>
      {making && <NewRun onClose={() => setMaking(false)} />}
    </>
  );
}

const baselinesQuery = { queryKey: ["baselines"], queryFn: () => ok(api.GET("/api/v1/baselines")), staleTime: 30_000 };

/** The run that gates of a dataset compare with now. */
export function useBaselineOf(dataset: string): Run | undefined {
  return useQuery(baselinesQuery).data?.items.find((one) => one.dataset === dataset)?.run;
}

/** The runs that gates compare with now. The tag `env=production` stays on those before. */
export function useBaselines(): Set<string> {
  const baselines = useQuery(baselinesQuery);
  return useMemo(() => new Set(baselines.data?.items.map((one) => one.run.id)), [baselines.data]);
}

/** A filter that is in the address once the reader leaves it or presses Enter. */
export function Filter({ name, value, onChange, placeholder }: { name: string; value: string; onChange: (value: string) => void; placeholder: string }) {
  return (
    <input
      key={value}
      className="input"
      aria-label={placeholder}
      name={name}
      placeholder={placeholder}
      defaultValue={value}
      onKeyDown={(event) => {
        if (event.key === "Enter") onChange(event.currentTarget.value.trim());
        if (event.key === "Escape") event.currentTarget.blur();
      }}
      onBlur={(event) => event.currentTarget.value.trim() !== value && onChange(event.currentTarget.value.trim())}
    />
  );
}
