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

function Text({ line }: { line: Line }) {
  return <>{line.parts.map((part, i) => (part.changed && line.kind !== "same" ? <mark key={i}>{part.text}</mark> : <span key={i}>{part.text}</span>))}</>;
}

/** The difference of two prompt versions as the server found it. */
export function Hunks({ hunks, unified, labels }: { hunks: Schemas["Hunk"][]; unified: boolean; labels: [string, string] }) {
  return (
    <div className="diff">
      {hunks.map((hunk, h) => (
        <div key={h}>
          <div className="hunk">{hunk.header}</div>
          <table aria-label={`From ${labels[0]} to ${labels[1]}`}>
            <tbody>
              {unified
                ? hunk.lines.map((line, i) => (
                    <tr key={i}>
                      <td className={line.kind === "same" ? "" : line.kind} style={{ width: "100%" }}>
                        <span aria-hidden="true">{line.kind === "added" ? "+ " : line.kind === "removed" ? "− " : "  "}</span>
                        <Text line={line} />
                      </td>
                    </tr>
                  ))
                : pairs(hunk.lines).map(([before, after], i) => (
                    <tr key={i}>
                      <td className={before ? (before.kind === "removed" ? "removed" : "") : "blank"}>{before && <Text line={before} />}</td>
                      <td className={after ? (after.kind === "added" ? "added" : "") : "blank"}>{after && <Text line={after} />}</td>
                    </tr>
                  ))}
            </tbody>
          </table>
        </div>
      ))}
    </div>
  );
}
