import type { Schemas } from "../api/client";
import { wordDiff } from "../lib/diff";

/** One text with what was removed and added, by word. */
export function WordDiff({ before, after }: { before: string; after: string }) {
  return (
    <div className="pre">
      {wordDiff(before, after).map((part, i) => (part.kind === "same" ? <span key={i}>{part.text}</span> : part.kind === "added" ? <ins key={i}>{part.text}</ins> : <del key={i}>{part.text}</del>))}
    </div>
  );
}

/** What the colours mean where an answer stands beside what would be right: the right one is green everywhere. */
export function Legend({ answer, right }: { answer: string; right: string }) {
  return <span className="small" style={{ fontWeight: 400 }}><del>{answer}</del> <ins>{right}</ins></span>;
}

type Line = Schemas["DiffLine"];

/** Lines side by side: a run of removed lines beside the run of added ones that follows it. */
function pairs(lines: Line[]): [Line | null, Line | null][] {
  const rows: [Line | null, Line | null][] = [];
  let removed: Line[] = [];
  let added: Line[] = [];
  const flush = () => {
    for (let i = 0; i < Math.max(removed.length, added.length); i++) rows.push([removed[i] ?? null, added[i] ?? null]);
    removed = [];
    added = [];
  };
  for (const line of lines) {
    if (line.kind === "removed") {
      if (added.length) flush();
      removed.push(line);
    } else if (line.kind === "added") added.push(line);
    else {
      flush();
      rows.push([line, line]);
    }
  }
  flush();
  return rows;
}

type Parts = Line["parts"];

const textOf = (line: Line): string => line.parts.map((part) => part.text).join("");

/** Least part of two lines that must be the same for their words to be compared: below it, another line stands there. */
const ALIKE = 0.2;

/** The parts of lines that stand beside each other: by word also where the server compared them as one block. */
function marked([before, after]: [Line | null, Line | null]): [Parts, Parts] {
  const own: [Parts, Parts] = [before?.parts ?? [], after?.parts ?? []];
  if (!before || !after || before.kind === "same" || [...before.parts, ...after.parts].some((part) => part.changed)) return own;
  const parts = wordDiff(textOf(before), textOf(after));
  const same = parts.filter((part) => part.kind === "same").reduce((sum, part) => sum + part.text.trim().length, 0);
  if (same < ALIKE * Math.max(textOf(before).length, textOf(after).length)) return own;
  const side = (kind: "removed" | "added"): Parts => parts.filter((part) => part.kind === "same" || part.kind === kind).map((part) => ({ text: part.text, changed: part.kind === kind }));
  return [side("removed"), side("added")];
}

/** Lines with the parts that changed, in the order in which they are shown: side by side, or one below the other. */
function rowsOf(lines: Line[]): { rows: { before: Line | null; after: Line | null; parts: [Parts, Parts] }[]; partsOf: Map<Line, Parts> } {
  const partsOf = new Map<Line, Parts>();
  const rows = pairs(lines).map(([before, after]) => {
    const parts = marked([before, after]);
    if (before) partsOf.set(before, parts[0]);
    if (after) partsOf.set(after, parts[1]);
    return { before, after, parts };
  });
  return { rows, partsOf };
}

function Text({ line, parts }: { line: Line; parts: Parts }) {
  return <>{parts.map((part, i) => (part.changed && line.kind !== "same" ? <mark key={i}>{part.text}</mark> : <span key={i}>{part.text}</span>))}</>;
}

/** The difference of two prompt versions as the server found it. */
export function Hunks({ hunks, unified, labels }: { hunks: Schemas["Hunk"][]; unified: boolean; labels: [string, string] }) {
  return (
    <div className="diff">
      {hunks.map((hunk) => ({ ...hunk, ...rowsOf(hunk.lines) })).map((hunk, h) => (
        <div key={h}>
          <div className="hunk">{hunk.header}</div>
          <table aria-label={`From ${labels[0]} to ${labels[1]}`}>
            <tbody>
              {unified
                ? hunk.lines.map((line, i) => (
                    <tr key={i}>
                      <td className={line.kind === "same" ? "" : line.kind} style={{ width: "100%" }}>
                        <span aria-hidden="true">{line.kind === "added" ? "+ " : line.kind === "removed" ? "− " : "  "}</span>
                        <Text line={line} parts={hunk.partsOf.get(line) ?? line.parts} />
                      </td>
                    </tr>
                  ))
                : hunk.rows.map(({ before, after, parts }, i) => (
                    <tr key={i}>
                      <td className={before ? (before.kind === "removed" ? "removed" : "") : "blank"}>{before && <Text line={before} parts={parts[0]} />}</td>
                      <td className={after ? (after.kind === "added" ? "added" : "") : "blank"}>{after && <Text line={after} parts={parts[1]} />}</td>
                    </tr>
                  ))}
            </tbody>
          </table>
        </div>
      ))}
    </div>
  );
}
