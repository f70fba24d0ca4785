// Word-level difference of two texts.

interface Part {
  text: string;
  kind: "same" | "added" | "removed";
}

const LONGEST = 4000;

/** The parts of `after` and `before` in reading order. Texts too long to compare by word stand one after the other. */
export function wordDiff(before: string, after: string): Part[] {
  const a = tokens(before);
  const b = tokens(after);
  if (a.length > LONGEST || b.length > LONGEST) return join([{ text: before, kind: "removed" }, { text: after, kind: "added" }]);
  let start = 0;
  while (start < a.length && start < b.length && a[start] === b[start]) start++;
  let end = 0;
  while (end < a.length - start && end < b.length - start && a[a.length - 1 - end] === b[b.length - 1 - end]) end++;
  const middle = grouped(lcs(a.slice(start, a.length - end), b.slice(start, b.length - end)));
  return join([
    ...a.slice(0, start).map((text): Part => ({ text, kind: "same" })),
    ...middle,
    ...a.slice(a.length - end).map((text): Part => ({ text, kind: "same" })),
  ]);
}

/** Changes that only blanks part are one change: first what went, then what came, each readable by itself. */
function grouped(parts: Part[]): Part[] {
  const out: Part[] = [];
  let [removed, added, blank] = ["", "", ""];
  const flush = () => {
    out.push({ text: removed, kind: "removed" }, { text: added, kind: "added" }, { text: blank, kind: "same" });
    [removed, added, blank] = ["", "", ""];
  };
  for (const part of parts) {
    if (part.kind === "same" && (part.text.trim() !== "" || (removed === "" && added === ""))) {
      flush();
      out.push(part);
    } else if (part.kind === "same") blank += part.text;
    else {
      removed += blank + (part.kind === "removed" ? part.text : "");
      added += blank + (part.kind === "added" ? part.text : "");
      blank = "";
    }
  }
  flush();
  return out;
}

const tokens = (text: string): string[] => text.match(/\s+|[\p{L}\p{N}_]+|[^\s\p{L}\p{N}_]/gu) ?? [];

function lcs(a: string[], b: string[]): Part[] {
  const width = b.length + 1;
  const table = new Uint16Array((a.length + 1) * width);
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      table[i * width + j] =
        a[i] === b[j] ? (table[(i + 1) * width + j + 1] ?? 0) + 1 : Math.max(table[(i + 1) * width + j] ?? 0, table[i * width + j + 1] ?? 0);
    }
  }
  const parts: Part[] = [];
  let i = 0;
  let j = 0;
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) {
      parts.push({ text: a[i] ?? "", kind: "same" });
      i++;
      j++;
    } else if (j >= b.length || (i < a.length && (table[(i + 1) * width + j] ?? 0) >= (table[i * width + j + 1] ?? 0))) {
      parts.push({ text: a[i++] ?? "", kind: "removed" });
    } else {
      parts.push({ text: b[j++] ?? "", kind: "added" });
    }
  }
  return parts;
}

function join(parts: Part[]): Part[] {
  const joined: Part[] = [];
  for (const part of parts) {
    if (part.text === "") continue;
    const last = joined[joined.length - 1];
    if (last?.kind === part.kind) last.text += part.text;
    else joined.push({ ...part });
  }
  return joined;
}
