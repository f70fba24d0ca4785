import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { Link, getRouteApi } from "@tanstack/react-router";
import { useEffect } from "react";
import type { Run, Schemas } from "../api/client";
import { api, ok } from "../api/client";
import { Interval } from "../charts/frame";
import { costOf } from "../lib/cost";
import { latency, money, ms, plural, score, sentence, words } from "../lib/format";
import { Badge, Button, Card, Copy, Empty, Problem, Skeleton } from "../ui/base";
import { Legend, WordDiff } from "../ui/diff";
import { Judgement } from "../ui/judgement";
import { Dialog } from "../ui/layers";
import { MessageText } from "../ui/parts";
import type { Column } from "../ui/table";
import { ListFoot, Table, typing } from "../ui/table";

const route = getRouteApi("/runs/$run");
type Result = Schemas["SampleResult"];

export const composite = (result: Result) => (result.outcome.status === "scored" ? result.outcome.composite : null);
export const passed = (result: Result) => result.outcome.status === "scored" && result.outcome.passed;

export function Outcome({ of }: { of: Result }) {
  if (of.outcome.status === "errored") return <Badge tone="warn">Errored</Badge>;
  return of.outcome.passed ? <Badge tone="good">Passed</Badge> : <Badge tone="bad">Failed</Badge>;
}

/** Why an answer did not pass: each reason stays whole. */
function Why({ of: { outcome } }: { of: Result }) {
  const reasons = outcome.status === "errored" ? [outcome.reason] : (outcome.failures ?? []);
  if (reasons.length === 0) return <span className="faint wide-only">–</span>;
  return <span className="muted reasons">{reasons.map((reason, i) => <span key={reason}>{i > 0 && ", "}<span className="nowrap">{words(reason)}</span></span>)}</span>;
}

/** So many pages of questions are read at most; a list shows the worst answers first, and they are anywhere. */
const MOST_PAGES = 6;

/** What was asked, by sample. */
function useQuestions({ spec: { dataset, dataset_version: version } }: Run): Map<string, string> | undefined {
  const read = useQuery({
    queryKey: ["dataset", dataset, "questions", version],
    staleTime: "static",
    queryFn: async () => {
      const asked = new Map<string, string>();
      let cursor: string | undefined;
      for (let page = 0; page < MOST_PAGES; page++) {
        const { items, next_cursor } = await ok(api.GET("/api/v1/datasets/{name}/versions/{version}/samples", { params: { path: { name: dataset, version }, query: { limit: 500, cursor } } }));
        for (const sample of items) asked.set(sample.id, sample.input || lastOf(sample.messages) || JSON.stringify(sample.variables ?? {}));
        if (!next_cursor) break;
        cursor = next_cursor;
      }
      return asked;
    },
  });
  return read.data;
}

/** The last message of a conversation, as text. */
function lastOf(messages: Schemas["Message"][] | undefined): string {
  const content = messages?.[messages.length - 1]?.content;
  return typeof content === "string" ? content : "";
}

export function Samples({ run }: { run: Run }) {
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const { category, status } = search;
  const results = useInfiniteQuery({
    queryKey: ["run", run.id, "results", category, status],
    initialPageParam: undefined as string | undefined,
    queryFn: ({ pageParam }) => ok(api.GET("/api/v1/runs/{run}/results", { params: { path: { run: run.id }, query: { category, status: status as "passed" | "failed" | "errored" | undefined, limit: 50, cursor: pageParam } } })),
    getNextPageParam: (last) => last.next_cursor ?? undefined,
    refetchInterval: run.status === "running" ? 4_000 : false,
    placeholderData: (old) => old,
  });
  const rows = results.data?.pages.flatMap((page) => page.items);
  const set = (part: Record<string, string | undefined>) => void navigate({ search: (old) => ({ ...old, ...part }), replace: true });
  const questions = useQuestions(run);
  const columns: Column<Result>[] = [
    { head: "Sample", cell: (row) => <Link className="cover mono truncate" style={{ display: "block", maxWidth: 160 }} title={row.sample_id} to="/runs/$run" params={{ run: run.id }} search={{ ...search, sample: row.sample_id }} replace>{row.sample_id}{row.trial > 0 && <span className="faint"> #{row.trial + 1}</span>}</Link> },
    { head: "Outcome", cell: (row) => <Outcome of={row} /> },
    { head: "Composite", right: true, cell: (row) => score(composite(row)) },
    { head: "Category", wide: true, cell: (row) => <div className="truncate" style={{ maxWidth: 180 }} dir="auto">{row.category ? sentence(words(row.category)) : <span className="faint">–</span>}</div> },
    { head: "Why", cell: (row) => <Why of={row} /> },
    { head: "Question", block: true, fill: true, cell: (row) => <div className="truncate" dir="auto">{questions?.get(row.sample_id) ?? <span className="faint wide-only">–</span>}</div> },
    { head: "Answer", wide: true, fill: true, cell: (row) => <div className="truncate muted" dir="auto">{row.output || <span className="faint">empty</span>}</div> },
    { head: "Latency", right: true, wide: true, cell: (row) => (row.cached ? <span className="faint">cached</span> : latency(row.latency_ms)) },
  ];
  const categories = Object.keys(run.results?.categories ?? {}).filter(Boolean);
  return (
    <>
      <div className="filters" role="search" aria-label="Filter samples">
        <select className="select" aria-label="Outcome" value={status ?? ""} onChange={(event) => set({ status: event.target.value || undefined })}>
          <option value="">Any outcome</option>
          <option value="failed">Failed</option>
          <option value="errored">Errored</option>
          <option value="passed">Passed</option>
        </select>
        <select className="select" aria-label="Category" value={category ?? ""} onChange={(event) => set({ category: event.target.value || undefined })}>
          <option value="">Any category</option>
          {categories.map((name) => <option key={name} value={name}>{words(name)}</option>)}
        </select>
        {(status || category) && <Button kind="quiet" onClick={() => set({ status: undefined, category: undefined })}>Clear</Button>}
      </div>
      <Card label="Samples" flush>
        <Table label="Samples, worst first" columns={columns} rows={rows} id={(row) => `${row.ordinal}/${row.trial}`} error={results.error} retry={() => void results.refetch()} empty={<Empty title={status || category ? "No sample fits" : "No answers yet"}>{run.status === "running" ? "They appear as they are scored." : "Worst answers stand first."}</Empty>} />
        {rows && rows.length > 0 && <ListFoot shown={rows.length} more={results.hasNextPage} loading={results.isFetchingNextPage} onMore={() => void results.fetchNextPage()} what="answers, worst first" />}
      </Card>
      {search.sample && <SampleDrawer run={run} sample={search.sample} order={[...new Set(rows?.map((row) => row.sample_id))]} go={(sample) => set({ sample })} />}
    </>
  );
}

function SampleDrawer({ run, sample, order, go }: { run: Run; sample: string; order: string[]; go: (sample: string | undefined) => void }) {
  const trials = useQuery({ queryKey: ["run", run.id, "sample", sample], queryFn: () => ok(api.GET("/api/v1/runs/{run}/results/{sample}", { params: { path: { run: run.id, sample } } })) });
  const asked = useQuery({
    queryKey: ["sample", run.spec.dataset, run.spec.dataset_version, sample],
    queryFn: () => ok(api.GET("/api/v1/datasets/{name}/versions/{version}/samples/{sample}", { params: { path: { name: run.spec.dataset, version: run.spec.dataset_version, sample } } })),
    staleTime: "static",
  });
  const at = order.indexOf(sample);
  useEffect(() => {
    const pressed = (event: KeyboardEvent) => {
      const step = event.key === "j" || event.key === "ArrowRight" ? 1 : event.key === "k" || event.key === "ArrowLeft" ? -1 : 0;
      const next = order[at + step];
      if (step && next && at >= 0 && !(event.target as HTMLElement).closest("input, textarea, select") && (!typing(event) || (event.target as HTMLElement).closest("dialog"))) go(next);
    };
    window.addEventListener("keydown", pressed);
    return () => window.removeEventListener("keydown", pressed);
  });
  const expected = asked.data?.expected_output ?? [];
  return (
    <Dialog
      title={sample}
      shape="drawer"
      open
      onClose={() => go(undefined)}
      footer={
        <>
          <span className="faint grow row tight"><kbd>j</kbd> <kbd>k</kbd> next and previous</span>
          <Button disabled={at <= 0} onClick={() => go(order[at - 1])}>Previous</Button>
          <Button disabled={at < 0 || at >= order.length - 1} onClick={() => go(order[at + 1])}>Next</Button>
        </>
      }
    >
      {asked.isError && <Problem error={asked.error} />}
      <SampleInput sample={asked.data} />
      {trials.isError && <Problem error={trials.error} />}
      {!trials.data && !trials.isError && <Skeleton height={160} />}
      {trials.data?.items.map((result) => (
        <Trial key={result.trial} result={result} expected={expected} several={trials.data.items.length > 1} run={run} />
      ))}
    </Dialog>
  );
}

export function SampleInput({ sample }: { sample: Schemas["SampleAt"] | undefined }) {
  if (!sample) return <Skeleton height={60} />;
  return (
    <>
      <div className="row wrap">{sample.category && <Badge>{sentence(words(sample.category))}</Badge>}{sample.source && <Badge outline>From {sample.source}</Badge>}</div>
      {sample.messages?.map((message, i) => <MessageText key={i} of={message} />)}
      {sample.input && <div className="message"><header>Question <span className="grow" /><Copy text={sample.input} /></header><div>{sample.input}</div></div>}
      {(sample.context ?? []).map((context, i) => <div key={i} className="message"><header>Context</header><div>{context}</div></div>)}
      {sample.variables && Object.keys(sample.variables).length > 0 && <pre className="code" tabIndex={0}>{JSON.stringify(sample.variables, null, 2)}</pre>}
    </>
  );
}

function Trial({ result, expected, several, run }: { result: Result; expected: string[]; several: boolean; run: Run }) {
  const { outcome } = result;
  return (
    <section className="stack" aria-label={several ? `Trial ${result.trial + 1}` : "Answer"}>
      <div className="row wrap">
        {several && <h3>Trial {result.trial + 1}</h3>}
        <Outcome of={result} />
        {outcome.status === "scored" && outcome.composite != null && <span className="num">composite {score(outcome.composite)}</span>}
        <span className="faint num">{result.cached ? "from the cache" : ms(result.latency_ms)} · {plural((result.usage.prompt_tokens ?? 0) + (result.usage.completion_tokens ?? 0), "token")} · {costOf(result, run)}{result.finish_reason && ` · ${result.finish_reason}`}</span>
      </div>
      {outcome.status === "errored" && <div className="callout warn">{outcome.message}</div>}
      <div className="message">
        <header>Answer{expected[0] != null && ", against the expected one"}<span className="grow" />{expected[0] != null && <Legend answer="only in the answer" right="only in what was expected" />}<Copy text={result.output} /></header>
        <div>{expected[0] != null ? <WordDiff before={result.output} after={expected[0]} /> : result.output || <span className="faint">empty</span>}</div>
      </div>
      {expected[0] != null && (
        <details>
          <summary className="muted">Both in full</summary>
          <div className="split" style={{ marginTop: 6 }}>
            <div className="message"><header>Answer</header><div>{result.output || <span className="faint">empty</span>}</div></div>
            <div className="stack">{expected.map((text, i) => <div key={i} className="message"><header>Expected{expected.length > 1 && ` ${i + 1}`}</header><div>{text}</div></div>)}</div>
          </div>
        </details>
      )}
      {(result.tool_calls ?? []).length > 0 && <pre className="code" tabIndex={0}>{JSON.stringify(result.tool_calls, null, 2)}</pre>}
      {outcome.status === "scored" && (
        <div className="stack">
          {Object.entries(outcome.scores).map(([name, metric]) => {
            const spec = run.spec.scoring.metrics[name];
            const threshold = spec?.threshold ?? (spec?.weight != null ? run.spec.scoring.pass_threshold : null);
            const scale = spec?.kind !== "latency" && spec?.kind !== "cost";
            return (
              <div key={name} className="message">
                <header>
                  <span style={{ color: "var(--text)" }}>{sentence(words(name))}</span>
                  {spec?.weight != null && <span>weight {spec.weight}</span>}
                  <span className="grow" />
                  <span className={`num small ${threshold != null && scale ? (metric.score < threshold ? "bad" : "good") : ""}`}>{spec?.kind === "latency" ? ms(metric.score) : spec?.kind === "cost" ? (run.results?.spend.target_unpriced && metric.score === 0 && !result.cached ? "unknown: no price" : money(metric.score)) : score(metric.score)}{threshold != null && scale && <span className="faint"> · needs {threshold}</span>}</span>
                </header>
                {(metric.reason || metric.detail != null) && <div style={{ whiteSpace: "normal" }}><Judgement metric={metric} /></div>}
                {!metric.reason && metric.detail == null && scale && <div style={{ padding: "4px 12px" }}><Interval value={metric.score} lower={metric.score} upper={metric.score} limit={threshold} /></div>}
              </div>
            );
          })}
          {Object.entries(outcome.unscored ?? {}).map(([name, why]) => (
            <div key={name} className="message">
              <header><span style={{ color: "var(--text)" }}>{sentence(words(name))}</span><span className="grow" /><Badge tone="warn">No score</Badge></header>
              <div style={{ whiteSpace: "normal" }}><span className="muted">{sentence(words(why.reason))}</span>{why.message && why.message !== why.reason && <div>{why.message}</div>}</div>
            </div>
          ))}
        </div>
      )}
    </section>
  );
}
