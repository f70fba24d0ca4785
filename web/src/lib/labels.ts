// Labels of people, as they stand in a CSV file.
import type { Schemas } from "../api/client";

type Label = Schemas["HumanLabel"];

const WORDS: Record<string, number> = { good: 1, pass: 1, passed: 1, yes: 1, true: 1, bad: 0, fail: 0, failed: 0, no: 0, false: 0 };

/** The cells of a line; quotes may hold commas. */
function cells(line: string): string[] {
  return [...line.matchAll(/(?:^|,)(?:"((?:[^"]|"")*)"|([^,]*))/g)].map((match) => (match[1]?.replaceAll('""', '"') ?? match[2] ?? "").trim());
}

/** Reads `sample_id,label[,rater]`; everything that is wrong is told with its line. */
export function readLabels(text: string): { labels: Label[]; problems: string[] } {
  const lines = text.split(/\r?\n/).map((line, i) => ({ line: line.trim(), number: i + 1 })).filter(({ line }) => line !== "");
  const head = cells(lines[0]?.line ?? "").map((name) => name.toLowerCase());
  const [sample, label] = [head.indexOf("sample_id"), ["label", "score"].map((name) => head.indexOf(name)).find((at) => at >= 0) ?? -1];
  const rater = head.indexOf("rater");
  if (lines.length === 0) return { labels: [], problems: [] };
  if (sample < 0 || label < 0) return { labels: [], problems: ["line 1: the first line names the columns: sample_id,label and, with several people, rater"] };
  const labels: Label[] = [];
  const problems: string[] = [];
  for (const { line, number } of lines.slice(1)) {
    const row = cells(line);
    const said = row[label]?.toLowerCase() ?? "";
    const value = WORDS[said] ?? (said === "" ? Number.NaN : Number(said));
    if (!row[sample]) problems.push(`line ${number}: no sample_id`);
    else if (!(value >= 0 && value <= 1)) problems.push(`line ${number}: “${row[label] ?? ""}” is no label: good, bad or a number from 0 to 1`);
    else labels.push({ sample_id: row[sample], score: value, ...(rater >= 0 && row[rater] ? { rater: row[rater] } : {}) });
  }
  return { labels, problems };
}

/** The first `n` of a shuffled list. */
export function drawn<T>(all: T[], n: number, random: () => number = Math.random): T[] {
  const left = [...all];
  for (let i = left.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [left[i], left[j]] = [left[j] as T, left[i] as T];
  }
  return left.slice(0, n);
}
