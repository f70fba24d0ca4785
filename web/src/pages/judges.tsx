import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { Link, getRouteApi } from "@tanstack/react-router";
import type { Estimate, Schemas } from "../api/client";
import { api, ok } from "../api/client";
import { Interval } from "../charts/frame";
import { moment, percent, plural, score, sentence, signed, whole, words } from "../lib/format";
import { useRefusal } from "../session";
import { Ago, Badge, Button, Callout, Card, Empty, Est, Long, Problem, Skeleton, Told } from "../ui/base";
import type { Tone } from "../ui/base";
import { Dialog } from "../ui/layers";
import { Hash, RunLink } from "../ui/parts";
import type { Column } from "../ui/table";
import { ListFoot, Table } from "../ui/table";

const route = getRouteApi("/quality");
export type Calibration = Schemas["JudgeCalibration"];

/** How much a judge can be trusted, by its agreement beyond chance. */
function trust(kappa: Estimate | null | undefined): [Tone, string] {
  if (!kappa) return ["plain", "Not measured"];
  return kappa.value >= 0.6 ? ["good", "Useful"] : kappa.value >= 0.4 ? ["warn", "Doubtful"] : ["bad", "Says little"];
}

export function Trust({ of }: { of: Calibration }) {
  const [tone, text] = trust(of.agreement.cohen_kappa);
  return <Badge tone={tone}>{text}</Badge>;
}

/** A difference with its interval: too generous or too strict. */
function Bias({ of }: { of: Estimate }) {
  const sure = of.n > 1 && (of.lower > 0 || of.upper < 0);
  return <span className="est"><span className={sure ? "warn" : ""}>{signed(of.value)}</span><small>{of.n > 1 ? `${signed(of.lower)} to ${signed(of.upper)}` : "no interval"} · n {whole(of.n)}</small></span>;
}

/** Judges beside people: how far their scores can be believed. */
export function Judges() {
  const { calibration: shown } = route.useSearch();
  const navigate = route.useNavigate();
  const refusal = useRefusal();
  const no = refusal("editor");
  const calibrations = useInfiniteQuery({
    queryKey: ["calibrations"],
    initialPageParam: undefined as string | undefined,
    queryFn: ({ pageParam }) => ok(api.GET("/api/v1/judges/calibrations", { params: { query: { limit: 50, cursor: pageParam } } })),
    getNextPageParam: (last) => last.next_cursor ?? undefined,
  });
  const rows = calibrations.data?.pages.flatMap((page) => page.items);
  const columns: Column<Calibration>[] = [
    { head: "Judge", cell: (one) => <div className="stack tight" style={{ gap: 0 }}><Link className="cover" to="/quality" search={(old) => ({ ...old, tab: "judges", calibration: one.id })} replace><span className="mono">{one.judge.model}</span></Link><span className="faint small names row"><Long>{`${words(one.metric)} on ${one.dataset}`}</Long></span></div> },
    { head: "Trust", cell: (one) => <Trust of={one} /> },
    { head: "Kappa", right: true, cell: (one) => <Est of={one.agreement.cohen_kappa} hideN /> },
    { head: "Agree", right: true, cell: (one) => <Est of={one.agreement.accuracy} show={percent} hideN /> },
    { head: "Bias", right: true, wide: true, cell: (one) => <Bias of={one.bias} /> },
    { head: "Labels", right: true, wide: true, cell: (one) => <>{whole(one.labels)}<div className="faint tiny">{plural(one.raters, "person", "people")}</div></> },
    { head: "Made", right: true, cell: (one) => <Ago time={one.created_at} /> },
  ];
  const begin = no ? <Button small refused={no}>Compare with people</Button> : <Link className="btn small primary" to="/judges/new">Compare with people</Link>;
  return (
    <>
      <Callout tone="plain">A judge is a measuring device with an error of its own. People label some of its answers, and what comes out says how far its scores can be believed: below a kappa of 0.4 it says little, from 0.6 on it is useful.</Callout>
      <Card title="Judges beside people" flush aside={begin}>
        <Table label="Calibrations" columns={columns} rows={rows} id={(one) => one.id} error={calibrations.error} expected={3} retry={() => void calibrations.refetch()} empty={<Empty title="No judge was compared with people yet" command="llmops judge calibrate --labels labels.csv">Twenty answers of a run, labelled good or bad, are enough to begin with. Gates can ask for it: <code>require_judge_kappa: 0.6</code>.</Empty>} />
        {rows && rows.length > 0 && <ListFoot shown={rows.length} more={calibrations.hasNextPage} loading={calibrations.isFetchingNextPage} onMore={() => void calibrations.fetchNextPage()} what={rows.length === 1 ? "comparison" : "comparisons"} />}
      </Card>
      {shown && <CalibrationDrawer id={shown} onClose={() => void navigate({ search: (old) => ({ ...old, calibration: undefined }), replace: true })} />}
    </>
  );
}

function CalibrationDrawer({ id, onClose }: { id: string; onClose: () => void }) {
  const found = useQuery({ queryKey: ["calibrations", id], staleTime: "static", queryFn: () => ok(api.GET("/api/v1/judges/calibrations/{id}", { params: { path: { id } } })) });
  return (
    <Dialog title={found.data ? `${found.data.judge.model} beside people` : "Judge beside people"} shape="drawer" open onClose={onClose}>
      {found.isError ? <Problem error={found.error} /> : found.data ? <CalibrationReport of={found.data} /> : <Skeleton height={320} />}
    </Dialog>
  );
}

const AGREEMENT: [keyof Schemas["Agreement"], string, string][] = [
  ["cohen_kappa", "Cohen’s kappa", "Judge and the people’s majority, beyond chance"],
  ["accuracy", "Same verdict", "Share of samples on which both say pass or both say fail"],
  ["spearman", "Spearman’s rank correlation", "Whether higher scores of the judge are higher scores of people"],
  ["fleiss_kappa", "Fleiss’ kappa", "The judge as one rater among others"],
  ["fleiss_kappa_people", "Fleiss’ kappa, people alone", "No judge can be expected to agree more than they do"],
  ["krippendorff_alpha", "Krippendorff’s alpha", "Judge and people, by distance of their scores"],
  ["krippendorff_alpha_people", "Krippendorff’s alpha, people alone", ""],
];

/** Everything that a comparison found. */
export function CalibrationReport({ of }: { of: Calibration }) {
  const kappa = of.agreement.cohen_kappa;
  const [tone, text] = trust(kappa);
  const rows = AGREEMENT.flatMap(([key, name, help]) => (of.agreement[key] ? [{ key, name, help, estimate: of.agreement[key] as Estimate }] : []));
  const categories = Object.entries(of.category_bias).map(([name, estimate]) => ({ name, estimate }));
  const widest = Math.max(0.1, ...categories.flatMap(({ estimate }) => [Math.abs(estimate.lower), Math.abs(estimate.upper)]).filter((v) => v <= 1));
  const generous = of.bias.n > 1 && of.bias.lower > 0 ? "It is too generous." : of.bias.n > 1 && of.bias.upper < 0 ? "It is too strict." : "No bias is proved.";
  return (
    <>
      <Callout tone={tone}>
        <strong>{text}{kappa && `: kappa ${score(kappa.value)}`}.</strong> {kappa && kappa.n > 1 && `${score(kappa.lower)} to ${score(kappa.upper)}, n ${whole(kappa.n)}. `}{generous}
        {kappa && kappa.lower < 0.4 && kappa.value >= 0.4 && " The interval is wide: more labels would tell."}
      </Callout>
      {of.notices?.map((notice) => <Callout key={notice} tone="warn"><Told text={sentence(notice)} /></Callout>)}
      <dl className="facts">
        <dt>Judge</dt><dd><span className="mono">{of.judge.model}</span> <Hash of={of.judge.hash} /></dd>
        <dt>Scores</dt><dd>{sentence(words(of.metric))}, passes from {score(of.threshold)}</dd>
        <dt>Answers</dt><dd><RunLink run={of.run}>Run on {of.dataset}</RunLink> · {plural(of.labels, "label")} by {plural(of.raters, "person", "people")} on {plural(of.samples, "sample")}</dd>
        <dt>Made</dt><dd>{moment(of.created_at)}</dd>
      </dl>
      <Confusion of={of.confusion} />
      <Card title="Agreement" flush aside={<span className="faint">95 % intervals</span>}>
        <Table label="Agreement" compact rows={rows} id={(row) => row.key} columns={[
          { head: "Measure", cell: (row) => <>{row.name}{row.help && <div className="faint tiny">{row.help}</div>}</> },
          { head: <span className="sr">Interval</span>, wide: true, width: "28%", cell: (row) => <Interval {...row.estimate} from={row.key === "accuracy" ? 0 : -0.2} limit={row.key === "cohen_kappa" ? 0.6 : null} /> },
          { head: "Value", right: true, cell: (row) => <Est of={row.estimate} show={row.key === "accuracy" ? percent : score} /> },
        ]} empty={<p className="card-body muted">Nothing could be computed.</p>} />
      </Card>
      {categories.length > 0 && (
        <Card title="Bias by category" flush aside={<span className="faint">judge − people</span>}>
          <Table label="Bias by category" compact rows={categories} id={(row) => row.name} columns={[
            { head: "Category", cell: (row) => (row.name ? sentence(words(row.name)) : "No category") },
            { head: <span className="sr">Interval</span>, wide: true, width: "34%", cell: (row) => <Interval {...row.estimate} from={-widest} to={widest} limit={0} /> },
            { head: "Bias", right: true, cell: (row) => <Bias of={row.estimate} /> },
          ]} />
        </Card>
      )}
      <Card title="Corrected by people" flush>
        <Table label="Corrected scores" compact id={(row) => row.name} rows={[...(of.overall ? [{ name: "Overall score of the run", of: of.overall }] : []), { name: `Mean of ${words(of.metric)}`, of: of.metric_mean }]} columns={[
          { head: "Score", cell: (row) => row.name },
          { head: "As the judge says", cell: (row) => <Est of={row.of.raw} /> },
          { head: "As people would", cell: (row) => <Est of={row.of.corrected} /> },
        ]} />
        <p className="card-note">By the judge’s error on the labelled answers, where these were drawn at random.</p>
      </Card>
    </>
  );
}

function Confusion({ of }: { of: Schemas["Confusion"] }) {
  const all = of.both_pass + of.both_fail + of.judge_passes_only + of.people_pass_only;
  const cell = (n: number, good: boolean) => <td className={good ? "agree" : n > 0 ? "differ" : ""}><strong className="num">{whole(n)}</strong><span className="faint num"> {all > 0 ? percent(n / all) : "–"}</span></td>;
  return (
    <div className="table-wrap">
      <table className="confusion" aria-label="Who passes what">
        <thead><tr><td /><th scope="col">People pass</th><th scope="col">People fail</th></tr></thead>
        <tbody>
          <tr><th scope="row">Judge passes</th>{cell(of.both_pass, true)}{cell(of.judge_passes_only, false)}</tr>
          <tr><th scope="row">Judge fails</th>{cell(of.people_pass_only, false)}{cell(of.both_fail, true)}</tr>
        </tbody>
      </table>
    </div>
  );
}
