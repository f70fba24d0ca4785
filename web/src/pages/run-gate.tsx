import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useState } from "react";
import type { Run, Schemas } from "../api/client";
import { api, ok } from "../api/client";
import { Interval } from "../charts/frame";
import { percent, score, sentence, words } from "../lib/format";
import { wrongNumber } from "../lib/numbers";
import { useRefusal } from "../session";
import { Ago, Badge, Button, Callout, Card, Empty, Field, Problem, Told } from "../ui/base";
import { Legend, WordDiff } from "../ui/diff";
import { Delta, RunLink, Verdict } from "../ui/parts";
import type { Column } from "../ui/table";
import { Table } from "../ui/table";

const LIMITS = ["max_drop", "overall_min", "category_min"] as const;
type Limit = (typeof LIMITS)[number];

/** The gate's decision on a run. It is asked for: an editor's becomes the run's tag, a viewer's is only read. */
export function Gate({ run }: { run: Run }) {
  const client = useQueryClient();
  const keeps = !useRefusal()("editor");
  // The rules of the server's configuration; what is changed here lies over them.
  const rules = useQuery({ queryKey: ["gate", "rules"], staleTime: 60_000, queryFn: () => ok(api.GET("/api/v1/gate")) });
  const [own, setOwn] = useState<Partial<Record<Limit, string>> & { mode?: Schemas["GateMode"] }>({});
  const mode = own.mode ?? rules.data?.mode ?? "strict";
  const limit = (name: Limit): string => own[name] ?? String(rules.data?.[name] ?? "");
  const wrong = (name: Limit) => wrongNumber(limit(name), { needed: true, least: 0, most: 1 });
  const gate = useMutation({
    mutationFn: () =>
      ok(
        api.POST("/api/v1/runs/{run}/gate", {
          params: { path: { run: run.id } },
          body: { config: { ...rules.data, mode, ...Object.fromEntries(LIMITS.map((name) => [name, Number(limit(name))])) } },
        }),
      ),
    onSuccess: (report) => {
      if (!keeps) return;
      client.setQueryData(["run", run.id], { ...run, tags: { ...run.tags, gate: report.verdict } });
      void client.invalidateQueries({ queryKey: ["run", run.id], exact: true });
      void client.invalidateQueries({ queryKey: ["runs"] });
    },
  });
  const final = run.status === "completed" || run.status === "failed" || run.status === "cancelled";
  const unread = !rules.data || LIMITS.some((name) => wrong(name));
  const number = (name: Limit, label: string, help: string) => (
    <Field label={label} help={help} error={rules.data && wrong(name)}>{(props) => <input {...props} className="input num" inputMode="decimal" disabled={!rules.data} value={limit(name)} onChange={(event) => setOwn({ ...own, [name]: event.target.value })} />}</Field>
  );
  return (
    <>
      <Card title="Ask the gate" aside={run.tags?.gate ? <span className="row">Last verdict <Verdict of={run.tags.gate} /></span> : <span className="faint">Not asked yet</span>}>
        <form
          className="stack loose"
          onSubmit={(event) => {
            event.preventDefault();
            if (!unread) gate.mutate();
          }}
        >
          <div className="grid cards">
            <Field label="Mode" help="Noise-aware: a drop must also be significant">
              {(props) => <select {...props} className="select" disabled={!rules.data} value={mode} onChange={(event) => setOwn({ ...own, mode: event.target.value as Schemas["GateMode"] })}><option value="strict">Strict</option><option value="noise_aware">Noise-aware</option></select>}
            </Field>
            {number("max_drop", "Largest drop", "Of any category, against the baseline")}
            {number("overall_min", "Least overall", "What the whole must reach")}
            {number("category_min", "Least category", "Without a baseline")}
          </div>
          <div className="row wrap"><Button kind="primary" type="submit" disabled={!final || unread || gate.isPending}>{gate.isPending ? "Deciding…" : keeps ? "Decide" : "Show the verdict"}</Button><span className="faint grow" style={{ minWidth: 220 }}>{final ? <>In CI: <code>llmops gate {run.id}</code> with the rules of llmops.yaml. {keeps ? "The verdict becomes the run’s tag, and is recorded with its rules." : "Your key reads only: the verdict is not kept."}</> : "The run must be finished first."}</span></div>
        </form>
      </Card>
      {rules.isError && !rules.data && <Problem error={rules.error} retry={() => void rules.refetch()} />}
      {gate.isError && <Problem error={gate.error} />}
      {gate.data ? <Report report={gate.data} /> : run.gate ? <Kept verdict={run.gate} /> : <Empty title="Checks and evidence appear here">Every check is shown with the baseline’s number, this run’s, the limit and the interval of the difference.</Empty>}
    </>
  );
}

/** The columns of checks; `reach` is the largest difference that an interval holds, on either side. */
const checks = (reach: number): Column<Schemas["Check"]>[] => [
  { head: "Check", block: true, cell: (check) => <><div className="strong">{check.name.split("/").map((part) => sentence(words(part))).join(" · ")}</div><div className="muted wrap-any small">{sentence(words(check.message))}</div></> },
  { head: "Verdict", cell: (check) => <Verdict of={check.status} /> },
  { head: "Baseline", right: true, cell: (check) => score(check.baseline) },
  { head: "Now", right: true, cell: (check) => score(check.current) },
  { head: "Difference", right: true, cell: (check) => (check.baseline != null && check.current != null ? <Delta value={check.change ?? check.current - check.baseline} interval={check.interval} /> : "–") },
  {
    head: "95 % interval",
    wide: true,
    width: 150,
    cell: (check) => (check.interval?.length === 2 && check.baseline != null && check.current != null ? (
      <><Interval value={check.change ?? check.current - check.baseline} lower={check.interval[0] ?? 0} upper={check.interval[1] ?? 0} from={-reach} to={reach} limit={0} tone={check.status === "fail" ? "var(--bad)" : "var(--series-1)"} /><span className="faint num tiny nowrap">{check.interval[0] === check.interval[1] ? "the same in all" : `${score(check.interval[0])} to ${score(check.interval[1])}`}{check.n != null && ` · n ${check.n}`}</span></>
    ) : <span className="faint">–</span>),
  },
  { head: "Limit", right: true, cell: (check) => check.limit ?? "–" },
];

const SAYS: Record<Schemas["Verdict"], ["good" | "bad" | "warn", string, string]> = { pass: ["good", "The gate passes.", "The gate passed."], fail: ["bad", "The gate says no.", "The gate said no."], inconclusive: ["warn", "The gate cannot decide.", "The gate could not decide."] };

function Checks({ of, notices }: { of: Schemas["Check"][]; notices: string[] }) {
  const reach = Math.max(0.02, ...of.flatMap(({ interval, baseline, current, change }) => [...(interval ?? []), change ?? (current ?? 0) - (baseline ?? current ?? 0)]).map(Math.abs).filter((size) => size <= 1)) * 1.05;
  return (
    <>
      {notices.map((notice) => <Callout key={notice} tone="warn"><Told text={notice} /></Callout>)}
      <Card title="Checks" flush>
        <Table label="Checks of the gate" columns={checks(reach)} rows={of} id={(check) => check.name} />
      </Card>
    </>
  );
}

/** What the gate said last, as it is kept with the run: by the rules and the baseline of that time. */
function Kept({ verdict: { verdict, at, by, baseline, config, checks: found, notices } }: { verdict: Schemas["KeptVerdict"] }) {
  const [tone, , said] = SAYS[verdict];
  return (
    <>
      <Callout tone={tone}>
        <strong>{said}</strong> Asked by {by} <Ago time={at} />, with the rules of then: {words(config.mode ?? "strict")}, overall {config.overall_min} at least, no category down by more than {config.max_drop}.{" "}
        {baseline ? <>Compared with <RunLink run={baseline}>the baseline of then</RunLink>.</> : "There was no baseline: only the absolute limits decided."}
      </Callout>
      <Checks of={found} notices={notices} />
    </>
  );
}

function Report({ report }: { report: Schemas["GateReport"] }) {
  const [tone, says] = SAYS[report.verdict];
  return (
    <>
      <Callout tone={tone}>
        <strong>{says}</strong>{" "}
        {report.baseline ? <>Compared with <RunLink run={report.baseline.id}>the baseline</RunLink> ({report.baseline.prompt_name}@{report.baseline.prompt_version}).</> : "There is no baseline: only the absolute limits decide."}
      </Callout>
      <Checks of={report.checks} notices={report.notices} />
      {report.samples.length > 0 && (
        <Card title="Samples that explain it" aside={<span className="faint">the answer now, against the expected one</span>} flush>
          <ul className="feed">
            {report.samples.map((sample) => (
              <li key={sample.sample_id} style={{ display: "block" }}>
                <div className="row wrap" style={{ marginBottom: 4 }}>
                  <Link className="link mono" to="/runs/$run" params={{ run: report.run.id }} search={{ tab: "samples", sample: sample.sample_id }}>{sample.sample_id}</Link>
                  <Badge>{sentence(words(sample.category))}</Badge>
                  {sample.composite != null && <span className="num">{score(sample.baseline_composite)} → {score(sample.composite)}</span>}
                  {sample.reasons.map((reason) => <Badge key={reason} tone="bad">{words(reason)}</Badge>)}
                </div>
                <div className="muted wrap-any">{sample.input}</div>
                <div className="split" style={{ marginTop: 6 }}>
                  <div className="message"><header>Now{sample.expected && <>, against expected<span className="grow" /><Legend answer="only in the answer" right="only in what was expected" /></>}</header><div>{sample.expected ? <WordDiff before={sample.output} after={sample.expected} /> : sample.output}</div></div>
                  {sample.baseline_output != null && <div className="message"><header>Baseline’s answer</header><div>{sample.baseline_output}</div></div>}
                </div>
              </li>
            ))}
          </ul>
        </Card>
      )}
      {report.comparison?.paired && <p className="faint">Paired over {report.comparison.paired.difference.n} samples: {score(report.comparison.paired.difference.value)} ({score(report.comparison.paired.difference.lower)} to {score(report.comparison.paired.difference.upper)}){report.comparison.paired.p_value != null && `, p ${report.comparison.paired.p_value.toPrecision(2)}`} · {report.comparison.paired.method}{report.comparison.paired.minimum_detectable_effect != null && ` · a difference of ${percent(report.comparison.paired.minimum_detectable_effect)} would be seen`}</p>}
    </>
  );
}
