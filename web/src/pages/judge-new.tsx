import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, getRouteApi } from "@tanstack/react-router";
import { useEffect, useMemo, useState } from "react";
import type { Run, Schemas } from "../api/client";
import { api, ok } from "../api/client";
import { drawn, readLabels } from "../lib/labels";
import { plural, sentence, short, words } from "../lib/format";
import { useRefusal, useSession } from "../session";
import { Bar, Button, Callout, Card, Empty, Field, PageHead, Problem, Skeleton } from "../ui/base";
import { useCrumb } from "../ui/crumb";
import { typing } from "../ui/table";
import { CalibrationReport } from "./judges";
import { SampleInput } from "./run-samples";

const route = getRouteApi("/judges/new");
type Result = Schemas["SampleResult"];
const MANY = [20, 40, 80];

const JUDGES = ["judge", "debate"];
const judged = (run: Run): string[] => Object.entries(run.spec.scoring.metrics).filter(([name, spec]) => JUDGES.includes(spec.kind) || run.results?.judges?.[name]).map(([name]) => name);

export function NewCalibrationPage() {
  useCrumb("Compare with people");
  const { run: wanted, metric: asked, by = "here" } = route.useSearch();
  const navigate = route.useNavigate();
  const refusal = useRefusal();
  const no = refusal("editor");
  const client = useQueryClient();
  const runs = useQuery({ queryKey: ["runs", "judged"], queryFn: () => ok(api.GET("/api/v1/runs", { params: { query: { status: "completed", limit: 100 } } })), select: (page) => page.items.filter((one) => judged(one).length > 0) });
  const one = useQuery({ queryKey: ["run", wanted], enabled: Boolean(wanted), queryFn: () => ok(api.GET("/api/v1/runs/{run}", { params: { path: { run: wanted ?? "" } } })) });
  const run = wanted ? one.data : runs.data?.[0];
  const metrics = run ? judged(run) : [];
  const metric = asked && metrics.includes(asked) ? asked : (metrics[0] ?? "");
  const set = (part: Record<string, string | undefined>) => void navigate({ search: (old) => ({ ...old, ...part }), replace: true });
  const calibrate = useMutation({
    mutationFn: (labels: Schemas["HumanLabel"][]) => ok(api.POST("/api/v1/judges/calibrations", { body: { run: run?.id ?? "", metric, labels } })),
    onSuccess: () => {
      for (const key of ["calibrations", "run", "runs"]) void client.invalidateQueries({ queryKey: [key] });
    },
  });
  if (no) return <><PageHead title="Compare a judge with people" /><Card label="Labels"><Empty title="Only editors do this">{no}</Empty></Card></>;
  if (calibrate.data) {
    return (
      <>
        <PageHead title={`${calibrate.data.judge.model} beside people`} lead="It is kept with the judge and with the run.">
          <Link className="btn" to="/runs/$run" params={{ run: calibrate.data.run }}>To the run</Link>
          <Link className="btn primary" to="/quality" search={{ tab: "judges" }}>All judges</Link>
        </PageHead>
        <CalibrationReport of={calibrate.data} />
      </>
    );
  }
  return (
    <>
      <PageHead title="Compare a judge with people" lead="Label some answers of a run, drawn at random, without seeing what the judge said." />
      {(runs.error ?? one.error) ? <Problem error={runs.error ?? one.error} /> : runs.data?.length === 0 && !wanted ? <Card label="Runs"><Empty title="No run was judged yet" command="llmops eval">A completed run whose scoring has a judge is needed. Then some of its answers can be labelled.</Empty></Card> : (
        <>
          <div className="filters" role="search" aria-label="What is labelled">
            <select className="select" style={{ maxWidth: 360 }} aria-label="Run" value={run?.id ?? ""} onChange={(event) => set({ run: event.target.value, metric: undefined })}>{[...(run && !runs.data?.some((each) => each.id === run.id) ? [run] : []), ...(runs.data ?? [])].map((each) => <option key={each.id} value={each.id}>{each.name}, {each.prompt_version ?? each.model_name}, {short(each.created_at)}</option>)}</select>
            <select className="select" aria-label="Metric" value={metric} onChange={(event) => set({ metric: event.target.value })}>{metrics.map((name) => <option key={name} value={name}>{sentence(words(name))}</option>)}</select>
            <span className="segmented" role="group" aria-label="How">{([["here", "Label here"], ["file", "From a file"]] as const).map(([key, label]) => <button key={key} type="button" aria-pressed={by === key} onClick={() => set({ by: key === "here" ? undefined : key })}>{label}</button>)}</span>
          </div>
          {calibrate.isError && <Problem error={calibrate.error} />}
          {!run ? <Skeleton height={360} /> : by === "file" ? <FromFile busy={calibrate.isPending} onDone={(labels) => calibrate.mutate(labels)} /> : <LabelHere key={`${run.id}/${metric}`} run={run} metric={metric} busy={calibrate.isPending} onDone={(labels) => calibrate.mutate(labels)} />}
        </>
      )}
    </>
  );
}

interface Part {
  busy: boolean;
  onDone: (labels: Schemas["HumanLabel"][]) => void;
}

function LabelHere({ run, metric, busy, onDone }: Part & { run: Run; metric: string }) {
  const session = useSession();
  const [many, setMany] = useState(MANY[0] as number);
  const [labels, setLabels] = useState<Record<string, number>>({});
  const [at, setAt] = useState(0);
  const results = useQuery({ queryKey: ["run", run.id, "results", "to label"], staleTime: Number.POSITIVE_INFINITY, queryFn: () => ok(api.GET("/api/v1/runs/{run}/results", { params: { path: { run: run.id }, query: { limit: 500 } } })) });
  // Drawn once: what was labelled stays in its place when more are asked for.
  const order = useMemo(() => drawn((results.data?.items ?? []).filter((one) => one.trial === 0 && one.outcome.status === "scored" && one.outcome.scores[metric]), 500), [results.data, metric]);
  const items = order.slice(0, many);
  const item = items[at];
  const done = items.filter((one) => labels[one.sample_id] !== undefined).length;
  const say = (score: number) => {
    if (!item) return;
    setLabels((old) => ({ ...old, [item.sample_id]: score }));
    setAt(Math.min(at + 1, items.length - 1));
  };
  useEffect(() => {
    const pressed = (event: KeyboardEvent) => {
      if (typing(event)) return;
      if (event.key === "1") say(1);
      else if (event.key === "0") say(0);
      else if (event.key === "j") setAt(Math.min(at + 1, items.length - 1));
      else if (event.key === "k") setAt(Math.max(at - 1, 0));
    };
    window.addEventListener("keydown", pressed);
    return () => window.removeEventListener("keydown", pressed);
  });
  if (results.isError) return <Problem error={results.error} />;
  if (!results.data) return <Skeleton height={360} />;
  if (!item) return <Card label="Answers"><Empty title="This run has no judged answer">Choose another run or metric.</Empty></Card>;
  const said = labels[item.sample_id];
  return (
    <Card title={`Answer ${at + 1} of ${items.length}`} aside={<select className="select" style={{ height: 26 }} aria-label="How many answers" value={many} onChange={(event) => setMany(Number(event.target.value))}>{MANY.map((n) => <option key={n} value={n}>{Math.min(n, order.length)} answers</option>)}</select>}>
      <div className="stack loose">
        <div className="stack tight"><Bar value={done / items.length} /><span className="faint num small" role="status">{done} of {items.length} labelled. More labels make the interval narrower.</span></div>
        <Answer run={run} result={item} />
        <div className="row wrap">
          <Button kind={said === 1 ? "primary" : undefined} aria-pressed={said === 1} icon="check" onClick={() => say(1)}>Good</Button>
          <Button kind={said === 0 ? "danger primary" : "danger"} aria-pressed={said === 0} icon="close" onClick={() => say(0)}>Bad</Button>
          <Button kind="quiet" disabled={at <= 0} onClick={() => setAt(at - 1)}>Previous</Button>
          <Button kind="quiet" disabled={at >= items.length - 1} onClick={() => setAt(at + 1)}>Skip</Button>
          <span className="faint wide-only"><kbd>1</kbd> good <kbd>0</kbd> bad <kbd>j</kbd> <kbd>k</kbd> move</span>
          <span className="grow" />
          <Button kind="primary" refused={done < 5 && "Label five answers at least."} disabled={busy} onClick={() => onDone(items.flatMap((one) => { const score = labels[one.sample_id]; return score === undefined ? [] : [{ sample_id: one.sample_id, trial: one.trial, score, rater: session?.name ?? "somebody" }]; }))}>{busy ? "Comparing…" : `Compare ${plural(done, "label")}`}</Button>
        </div>
      </div>
    </Card>
  );
}

function Answer({ run, result }: { run: Run; result: Result }) {
  const asked = useQuery({
    queryKey: ["sample", run.spec.dataset, run.spec.dataset_version, result.sample_id],
    queryFn: () => ok(api.GET("/api/v1/datasets/{name}/versions/{version}/samples/{sample}", { params: { path: { name: run.spec.dataset, version: run.spec.dataset_version, sample: result.sample_id } } })),
    staleTime: Number.POSITIVE_INFINITY,
  });
  return (
    <div className="stack" style={{ minHeight: 260 }}>
      {asked.isError ? <Problem error={asked.error} /> : <SampleInput sample={asked.data} />}
      <div className="message"><header>Answer</header><div>{result.output || <span className="faint">empty</span>}</div></div>
      {asked.data?.expected_output?.map((text, i) => <div key={i} className="message"><header>Expected</header><div>{text}</div></div>)}
    </div>
  );
}

function FromFile({ busy, onDone }: Part) {
  const [text, setText] = useState("");
  const { labels, problems } = useMemo(() => readLabels(text), [text]);
  return (
    <Card title="Labels from a file">
      <div className="stack loose">
        <Field label="Lines" help="CSV with the columns sample_id and label (good, bad, or a number from 0 to 1); with several people also rater">{(props) => <textarea {...props} className="textarea" rows={10} value={text} onChange={(event) => setText(event.target.value)} placeholder={"sample_id,label,rater\nshipping-1,good,dana\nreturns-2,bad,dana"} />}</Field>
        <div className="row wrap"><label className="btn"><input type="file" className="sr" accept=".csv,text/csv" onChange={(event) => void event.target.files?.[0]?.text().then(setText)} />Choose a file</label><span className="grow" /><Button kind="primary" disabled={busy || labels.length === 0 || problems.length > 0} onClick={() => onDone(labels)}>{busy ? "Comparing…" : `Compare ${plural(labels.length, "label")}`}</Button></div>
        {problems.length > 0 && <Callout tone="bad"><ul>{problems.slice(0, 5).map((problem) => <li key={problem}>{sentence(problem)}</li>)}{problems.length > 5 && <li>and {problems.length - 5} more</li>}</ul></Callout>}
      </div>
    </Card>
  );
}
