// How the things of the product are shown, the same way everywhere.
import { Link } from "@tanstack/react-router";
import type { Run, Schemas } from "../api/client";
import { Refusal } from "../api/client";
import { hash, sentence, signed, words } from "../lib/format";
import type { Tone } from "./base";
import { Badge, Button, Dot, PageHead, Problem, Tip } from "./base";

/** Links that differ in the query only: the router must not call all of them current. */
export const PART = { includeSearch: true, explicitUndefined: true } as const;

/** A page of one thing that cannot be read: with a heading, and the way back to the list that it would stand in. */
export function Unread({ what, error, retry, to, list }: { what: string; error: unknown; retry: () => unknown; to: string; list: string }) {
  const gone = error instanceof Refusal && error.status === 404;
  return (
    <>
      <PageHead title={gone ? `There is no such ${what}` : `The ${what} cannot be read`} />
      <Problem error={error} action={<span className="row">{!gone && <Button small onClick={() => void retry()}>Try again</Button>}<Link className="btn small" to={to}>{list}</Link></span>} />
    </>
  );
}

/** The part of an id that tells it from others. */
export const shortId = (id: string): string => id.replace(/^[a-z]+_/, "").slice(0, 11);

const RUN: Record<Run["status"], [Tone, string]> = {
  pending: ["plain", "Waiting"],
  running: ["info", "Running"],
  completed: ["good", "Completed"],
  failed: ["bad", "Failed"],
  cancelled: ["plain", "Cancelled"],
};

export function RunStatus({ run }: { run: Pick<Run, "status" | "progress" | "interrupted"> }) {
  const [tone, text]: [Tone, string] = run.interrupted ? ["warn", "Interrupted"] : RUN[run.status];
  const { done, total } = run.progress;
  return (
    <span className="row tight nowrap" style={{ gap: 6 }}>
      <Dot tone={tone} pulse={run.status === "running" && !run.interrupted} />
      <span>{text}</span>
      {run.status === "running" && <span className="faint num">{done}/{total}</span>}
    </span>
  );
}

/** Whether a run evaluated a part of the samples only: its scores are not the dataset's. */
export const isPart = ({ spec }: Pick<Run, "spec">): boolean => spec.limit != null || spec.only != null;

/** That a run is of a part of the samples; nothing of a whole one. */
export function Part({ of }: { of: Run }) {
  if (!isPart(of)) return null;
  const { limit, only } = of.spec;
  const chosen = [only?.categories?.length ? `category ${only.categories.map(words).join(", ")}` : "", only?.pattern ? `matching ${only.pattern}` : "", only?.failing || only?.ids ? "chosen ones" : "", limit != null ? `the first ${limit}` : ""].filter(Boolean).join(", ");
  return <Tip text={`Not all samples were evaluated: ${chosen || "a choice"}. Gates and means go by whole runs.`}><span tabIndex={0}><Badge outline>Part</Badge></span></Tip>;
}

const VERDICT: Record<Schemas["Verdict"], [Tone, string]> = { pass: ["good", "Passed"], fail: ["bad", "Failed"], inconclusive: ["warn", "Inconclusive"] };

export function Verdict({ of }: { of: string | null | undefined }) {
  const known = VERDICT[of as Schemas["Verdict"]];
  if (!known) return <span className="faint">–</span>;
  return <Badge tone={known[0]}>{known[1]}</Badge>;
}

export function SeverityBadge({ of }: { of: Schemas["Severity"] }) {
  return <Badge tone={of === "critical" ? "bad" : of === "warning" ? "warn" : "info"}>{sentence(of)}</Badge>;
}

export const severityTone = (of: Schemas["Severity"]): Tone => (of === "critical" ? "bad" : of === "warning" ? "warn" : "info");

export function Hash({ of }: { of: string | null | undefined }) {
  if (!of) return <span className="faint">–</span>;
  return <Tip text={<span className="mono wrap-any">{of}</span>}><span className="mono muted" tabIndex={0}>{hash(of)}</span></Tip>;
}

export function PromptLink({ name, version }: { name: string | null | undefined; version?: string | null | undefined }) {
  if (!name) return <span className="faint">no prompt</span>;
  return (
    <Link className={`hover-link ${name.length > 40 ? "wrap-any" : "nowrap"}`} to="/prompts/$name" params={{ name }} search={version ? { version } : {}}>
      {name}
      {version && <span className="faint">@{version}</span>}
    </Link>
  );
}

export function RunLink({ run, children }: { run: string; children?: React.ReactNode }) {
  return <Link className="hover-link" to="/runs/$run" params={{ run }}>{children ?? <span className="mono">{shortId(run)}</span>}</Link>;
}

/** A message of a conversation. */
export function MessageText({ of }: { of: Schemas["Message"] }) {
  const { content } = of;
  return <div className="message"><header>{sentence(of.role)}</header><div>{typeof content === "string" ? content : JSON.stringify(content)}</div></div>;
}

/** A difference in score, coloured by its direction only where its interval excludes zero. */
export function Delta({ value, interval, digits = 3, lowerIsBetter }: { value: number | null | undefined; interval?: number[] | null | undefined; digits?: number; lowerIsBetter?: boolean }) {
  if (value == null) return <span className="faint">–</span>;
  const sure = !interval || interval.length < 2 ? false : (interval[0] ?? 0) > 0 || (interval[1] ?? 0) < 0;
  const better = lowerIsBetter ? value < 0 : value > 0;
  return <span className={`num ${sure ? (better ? "good" : "bad") : "muted"}`}>{signed(value, digits)}</span>;
}
