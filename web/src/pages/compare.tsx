import { useQuery } from "@tanstack/react-query";
import { Link, getRouteApi } from "@tanstack/react-router";
import type { Run, Schemas } from "../api/client";
import { api, ok } from "../api/client";
import { Interval } from "../charts/frame";
import { change, money, ms, score, sentence, signed, words } from "../lib/format";
import { Badge, Button, Callout, Card, Empty, Est, PageHead, Problem, Skeleton } from "../ui/base";
import { WordDiff } from "../ui/diff";
import { Judgement } from "../ui/judgement";
import { Dialog } from "../ui/layers";
import { Part, Delta, PromptLink, RunLink } from "../ui/parts";
import type { Column } from "../ui/table";
import { Table } from "../ui/table";
import { Outcome, SampleInput, composite } from "./run-samples";

const route = getRouteApi("/compare");
type Flip = Schemas["SampleChange"];

export function ComparePage() {
  const { a, b, show, sample } = route.useSearch();
  const navigate = route.useNavigate();
  const enabled = Boolean(a && b);
  const run = (id: string | undefined) => ({ queryKey: ["run", id], enabled: Boolean(id), queryFn: () => ok(api.GET("/api/v1/runs/{run}", { params: { path: { run: id ?? "" } } })) });
  const after = useQuery(run(b));
  // The baseline is that of the dataset which the other run is on.
  const before = useQuery({
    queryKey: ["run", a, a === "baseline" ? after.data?.dataset : null],
    enabled: Boolean(a) && (a !== "baseline" || Boolean(after.data)),
    queryFn: () => ok(api.GET("/api/v1/runs/{run}", { params: { path: { run: a ?? "" }, query: a === "baseline" ? { dataset: after.data?.dataset } : {} } })),
  });
  const first = before.data?.id;
  const compared = useQuery({ queryKey: ["compare", first, b], enabled: enabled && Boolean(first), queryFn: () => ok(api.GET("/api/v1/runs/{run}/compare/{other}", { params: { path: { run: first ?? "", other: b ?? "" } } })) });
  const error = before.error ?? after.error ?? compared.error;
  if (!enabled) return <><PageHead title="Compare runs" /><Empty title="Choose two runs" action={<Link className="btn" to="/runs">To the runs</Link>} command="llmops compare baseline latest">Mark two runs with their boxes in the list, or open a run and compare it with the baseline.</Empty></>;
  if (error) return <><PageHead title="Compare runs" /><Problem error={error} /></>;
  const data = compared.data;
  const flips = (data?.flips ?? []).filter((flip) => show === "all" || flip.passed_before !== flip.passed_after);
  const set = (part: Record<string, string | undefined>) => void navigate({ search: (old) => ({ ...old, ...part }), replace: true });
  return (
    <>
      <PageHead title="Compare runs" lead={data?.summary ? words(data.summary) : <Skeleton width="min(320px, 100%)" height={56} />}>
        <Button onClick={() => set({ a: b, b: first })} disabled={!first}>Swap</Button>
      </PageHead>
      <div className="grid two">
        <Head label="Before" run={before.data} />
        <Head label="After" run={after.data} />
      </div>
      {!data ? <Skeleton height={220} /> : (
        <>
          {data.paired && <Evidence paired={data.paired} />}
          <div className="grid two">
            <Changes title="Categories" changes={data.category_changes} />
            <Changes title="Metrics" changes={data.metric_changes} kind={(name) => after.data?.spec.scoring.metrics[name]?.kind} />
          </div>
          <Card
            title="Samples"
            flush
            aside={
              <>
                <Badge tone="bad">{data.newly_failed} newly failed</Badge>
                <Badge tone="good">{data.newly_passed} newly passed</Badge>
                <span className="segmented">
                  <button type="button" aria-pressed={show !== "all"} onClick={() => set({ show: undefined })}>Flips</button>
                  <button type="button" aria-pressed={show === "all"} onClick={() => set({ show: "all" })}>All changes</button>
                </span>
              </>
            }
          >
            <Flips flips={flips} search={{ a, b, show }} />
          </Card>
          {sample && before.data && after.data && <SideBySide before={before.data} after={after.data} sample={sample} onClose={() => set({ sample: undefined })} />}
        </>
      )}
    </>
  );
}

function Head({ label, run }: { label: string; run: Run | undefined }) {
  return (
    <Card label={label}>
      <div className="row between top">
        <div className="stack tight">
          <span className="label">{label}</span>
          {run ? <span className="row tight"><RunLink run={run.id}><strong>{run.name}</strong></RunLink><Part of={run} /></span> : <Skeleton width={180} height={62} />}
          {run && <span className="row wrap" style={{ gap: "0 10px" }}><PromptLink name={run.prompt_name} version={run.prompt_version} /><span className="mono muted">{run.model_name}</span></span>}
        </div>
        <div className="right"><Est of={run?.results?.overall} /></div>
      </div>
    </Card>
  );
}

function Evidence({ paired }: { paired: Schemas["PairedEvidence"] }) {
  const { difference, p_value, mcnemar } = paired;
  const sure = difference.lower > 0 || difference.upper < 0;
  return (
    <Callout tone={!sure ? "plain" : difference.value > 0 ? "good" : "bad"} icon="quality">
      <strong>Composite of a sample {signed(difference.value)}</strong> ({signed(difference.lower)} to {signed(difference.upper)}, n {difference.n} paired samples{p_value != null && `, p ${p_value < 0.0001 ? "< 0.0001" : p_value.toPrecision(2)}`}).{" "}
      {sure ? "The interval excludes no change." : "The interval includes no change: this may be noise."}
      {mcnemar && ` Pass and fail: ${mcnemar.newly_failed} newly failed, ${mcnemar.newly_passed} newly passed, p ${mcnemar.p_value.toPrecision(2)} (${mcnemar.method}).`}
      {!sure && paired.minimum_detectable_effect != null && ` With so many samples a difference of ${score(paired.minimum_detectable_effect)} would be seen.`}
    </Callout>
  );
}

function Changes({ title, changes, kind }: { title: string; changes: Record<string, Schemas["Change"]>; kind?: (name: string) => string | undefined }) {
  const shown = (name: string) => (kind?.(name) === "latency" ? ms : kind?.(name) === "cost" ? money : score);
  const rows = Object.entries(changes).map(([name, one]) => ({ name, ...one })).sort((x, y) => x.change - y.change);
  const widest = Math.max(0.02, ...rows.filter((c) => shown(c.name) === score).flatMap((c) => [Math.abs(c.change), ...(c.interval ?? []).map(Math.abs)]).filter((v) => v <= 1));
  const columns: Column<(typeof rows)[number]>[] = [
    { head: "Name", cell: ({ name }) => <div className="wrap-any" style={{ minWidth: 80 }} dir="auto">{name ? sentence(words(name)) : "No category"}</div> },
    { head: "Before", right: true, cell: (one) => shown(one.name)(one.before) },
    { head: "After", right: true, cell: (one) => shown(one.name)(one.after) },
    { head: "Change", right: true, cell: (one) => (shown(one.name) !== score ? <span className="num muted">{change(one.change, shown(one.name))}</span> : <Delta value={one.change} interval={one.interval} />) },
    {
      head: "Interval",
      block: true,
      cell: (one) => <Between of={one} show={shown(one.name)} widest={widest} />,
    },
  ];
  return (
    <Card title={title} flush aside={<span className="faint">95 % intervals, paired</span>}>
      <Table label={`${title}, what changed`} columns={columns} rows={rows} id={(one) => one.name} />
    </Card>
  );
}

/** The interval of a difference, in the unit of its numbers; drawn where all of the card are scores. */
function Between({ of: { change: value, interval, n }, show, widest }: { of: Schemas["Change"]; show: (value: number) => string; widest: number }) {
  const [low, high] = interval ?? [];
  if (low == null || high == null) return <span className="faint wide-only">–</span>;
  return (
    <>
      {show === score && Math.abs(value) <= 1 && <Interval value={value} lower={low} upper={high} from={-widest} to={widest} limit={0} />}
      <span className="faint num tiny">{low === high ? "the same in all" : <><span className="nowrap">{change(low, show)}</span> to <span className="nowrap">{change(high, show)}</span></>}{n != null && <> <span className="nowrap">· n {n}</span></>}</span>
    </>
  );
}

function Flips({ flips, search }: { flips: Flip[]; search: { a?: string | undefined; b?: string | undefined; show?: string | undefined } }) {
  const columns: Column<Flip>[] = [
    { head: "Sample", cell: (flip) => <Link className="cover mono truncate" style={{ display: "block", maxWidth: 200 }} title={flip.sample_id} to="/compare" search={{ ...search, sample: flip.sample_id }} replace>{flip.sample_id}</Link> },
    { head: "Flip", cell: (flip) => (flip.passed_before === flip.passed_after ? <span className="faint">–</span> : flip.passed_after ? <Badge tone="good">Now passes</Badge> : flip.passed_after === false ? <Badge tone="bad">Now fails</Badge> : <Badge tone="warn">Errored</Badge>) },
    { head: "Category", wide: true, cell: (flip) => sentence(words(flip.category)) },
    { head: "Before", right: true, cell: (flip) => score(flip.before) },
    { head: "After", right: true, cell: (flip) => score(flip.after) },
    { head: "Change", right: true, cell: (flip) => (flip.before != null && flip.after != null ? signed(flip.after - flip.before) : "–") },
  ];
  // The worst first: what fell, then what rose.
  const rows = [...flips].sort((x, y) => Number(x.passed_after ?? 0) - Number(y.passed_after ?? 0) || (x.after ?? 0) - (x.before ?? 0) - ((y.after ?? 0) - (y.before ?? 0)));
  return <Table label="Samples that changed" columns={columns} rows={rows} id={(flip) => flip.sample_id} empty={<Empty title="No sample flipped">Every sample that passed still passes, and none came to pass that failed.</Empty>} />;
}

function SideBySide({ before, after, sample, onClose }: { before: Run; after: Run; sample: string; onClose: () => void }) {
  const of = (run: Run) => ({ queryKey: ["run", run.id, "sample", sample], queryFn: () => ok(api.GET("/api/v1/runs/{run}/results/{sample}", { params: { path: { run: run.id, sample } } })) });
  const first = useQuery(of(before));
  const second = useQuery(of(after));
  const asked = useQuery({
    queryKey: ["sample", after.spec.dataset, after.spec.dataset_version, sample],
    queryFn: () => ok(api.GET("/api/v1/datasets/{name}/versions/{version}/samples/{sample}", { params: { path: { name: after.spec.dataset, version: after.spec.dataset_version, sample } } })),
  });
  const [x, y] = [first.data?.items[0], second.data?.items[0]];
  return (
    <Dialog title={sample} shape="drawer" open onClose={onClose}>
      {(first.error ?? second.error) && <Problem error={first.error ?? second.error} />}
      <SampleInput sample={asked.data} />
      {asked.data?.expected_output?.map((text, i) => <div key={i} className="message"><header>Expected</header><div>{text}</div></div>)}
      {x && y ? (
        <>
          <div className="message"><header>What changed in the answer</header><div><WordDiff before={x.output} after={y.output} /></div></div>
          <div className="split">
            {([["Before", x], ["After", y]] as const).map(([label, result]) => (
              <div key={label} className="stack">
                <div className="row"><h3>{label}</h3><Outcome of={result} /><span className="num">{score(composite(result))}</span></div>
                {result.outcome.status === "scored" ? Object.entries(result.outcome.scores).filter(([, metric]) => metric.score <= 1).map(([name, metric]) => (
                  <div key={name} className="message"><header>{words(name)}<span className="grow" /><span className="num">{score(metric.score)}</span></header>{metric.reason && <div style={{ whiteSpace: "normal" }}><Judgement metric={metric} /></div>}</div>
                )) : <div className="callout warn">{result.outcome.message}</div>}
              </div>
            ))}
          </div>
        </>
      ) : <Skeleton height={200} />}
    </Dialog>
  );
}

