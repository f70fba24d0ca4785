// What a scorer says beside its number: a judge's reasons, the axes of a rubric, the transcript of a debate.
import type { Schemas } from "../api/client";
import { money, score, words } from "../lib/format";
import { Badge } from "./base";

interface AxisScore {
  score: number;
  reason?: string;
}

interface Statement {
  judge: string;
  score: number;
  reason?: string;
  axes?: Record<string, AxisScore>;
}

/** `JudgeDetail` of the server; other scorers have details of their own shape. */
interface Detail {
  judge?: string;
  judges?: string[];
  prompt?: string;
  cost?: number;
  axes?: Record<string, AxisScore>;
  claims?: { claim: string; holds: boolean; reason?: string }[];
  items?: { item: string; yes: boolean; reason?: string }[];
  comparison?: { against: string; opponent: string; candidate_first: string; candidate_first_reason?: string; candidate_second: string; candidate_second_reason?: string; flipped: boolean };
  panel?: Statement[];
  debate?: { rounds: Statement[][]; agreed: boolean; first_spread: number; spread: number };
  dropped?: { judge: string; round: number; reason: string; message: string }[];
}

export function Judgement({ metric }: { metric: Schemas["MetricScore"] }) {
  const detail = metric.detail as Detail | null | undefined;
  const judged = detail && typeof detail === "object" && "prompt" in detail;
  return (
    <div className="stack">
      {metric.reason && <p className="pre">{metric.reason}</p>}
      {judged ? <Judged detail={detail} /> : detail != null && <pre className="code" tabIndex={0}>{JSON.stringify(detail, null, 2)}</pre>}
    </div>
  );
}

function Judged({ detail }: { detail: Detail }) {
  return (
    <>
      {detail.axes && <Axes axes={detail.axes} />}
      {detail.claims?.map((claim, i) => <Line key={i} good={claim.holds} text={claim.claim} reason={claim.reason} yes="supported" no="unsupported" />)}
      {detail.items?.map((item, i) => <Line key={i} good={item.yes} text={item.item} reason={item.reason} yes="yes" no="no" />)}
      {detail.comparison && (
        <div className="stack tight">
          <div className="row wrap">Against {detail.comparison.against}: {detail.comparison.candidate_first} when first, {detail.comparison.candidate_second} when second {detail.comparison.flipped && <Badge tone="warn">Changed with the order</Badge>}</div>
          {detail.comparison.candidate_first_reason && <p className="muted">First: {detail.comparison.candidate_first_reason}</p>}
          {detail.comparison.candidate_second_reason && <p className="muted">Second: {detail.comparison.candidate_second_reason}</p>}
        </div>
      )}
      {(detail.panel?.length ?? 0) > 0 && <Round title="Panel" statements={detail.panel ?? []} />}
      {detail.debate && (
        <div className="stack" aria-label="Transcript of the debate">
          <div className="row wrap"><Badge tone={detail.debate.agreed ? "good" : "warn"}>{detail.debate.agreed ? "Agreed" : "Did not agree"}</Badge><span className="muted num">spread {score(detail.debate.first_spread)} → {score(detail.debate.spread)}</span></div>
          {detail.debate.rounds.map((round, i) => <Round key={i} title={`Round ${i + 1}`} statements={round} />)}
        </div>
      )}
      {detail.dropped?.map((dropped, i) => <p key={i} className="warn">{dropped.judge} was dropped in round {dropped.round}: {dropped.reason}</p>)}
      <p className="faint small">{(detail.judges?.length ? detail.judges.join(", ") : detail.judge) ?? ""} · {detail.prompt}{detail.cost ? ` · ${money(detail.cost)}` : ""}</p>
    </>
  );
}

function Axes({ axes }: { axes: Record<string, AxisScore> }) {
  if (Object.keys(axes).length === 0) return null;
  return (
    <dl className="facts">
      {Object.entries(axes).map(([name, axis]) => (
        <div key={name}>
          <dt>{words(name)}</dt>
          <dd><span className="num">{score(axis.score)}</span>{axis.reason && <span className="muted"> · {axis.reason}</span>}</dd>
        </div>
      ))}
    </dl>
  );
}

function Line({ good, text, reason, yes, no }: { good: boolean; text: string; reason?: string | undefined; yes: string; no: string }) {
  return (
    <div className="row top">
      <Badge tone={good ? "good" : "bad"}>{good ? yes : no}</Badge>
      <div>{text}{reason && <div className="muted">{reason}</div>}</div>
    </div>
  );
}

function Round({ title, statements }: { title: string; statements: Statement[] }) {
  return (
    <div className="stack tight">
      <h3>{title}</h3>
      {statements.map((statement, i) => (
        <div key={i} className="message">
          <header><span className="mono">{statement.judge}</span><span className="grow" /><span className="num">{score(statement.score)}</span></header>
          <div>{statement.reason ?? <span className="faint">no reason given</span>}{statement.axes && <Axes axes={statement.axes} />}</div>
        </div>
      ))}
    </div>
  );
}
