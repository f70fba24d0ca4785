// The part of Markdown that the server's drafts are written in.

export type Block =
  | { kind: "heading"; level: number; text: string }
  | { kind: "paragraph"; text: string }
  | { kind: "list"; items: { text: string; done: boolean | null }[] }
  | { kind: "table"; head: string[]; rows: string[][] };

export interface Span {
  kind: "plain" | "bold" | "code";
  text: string;
}

/** The cells of a row of a table; an escaped bar is none. */
function cells(line: string): string[] {
  return line.replace(/^\|/, "").replace(/\|\s*$/, "").split(/(?<!\\)\|/).map((cell) => cell.trim());
}

export function blocks(text: string): Block[] {
  const found: Block[] = [];
  let paragraph: string[] = [];
  const end = () => {
    if (paragraph.length > 0) found.push({ kind: "paragraph", text: paragraph.join(" ") });
    paragraph = [];
  };
  for (const line of text.split("\n")) {
    const heading = /^(#{1,6})\s+(.*)$/.exec(line);
    const item = /^[-*]\s+(?:\[([ xX])\]\s+)?(.*)$/.exec(line);
    const last = found[found.length - 1];
    if (heading) {
      end();
      found.push({ kind: "heading", level: heading[1]?.length ?? 1, text: heading[2] ?? "" });
    } else if (item) {
      const one = { text: item[2] ?? "", done: item[1] === undefined ? null : item[1] !== " " };
      if (last?.kind === "list" && paragraph.length === 0) last.items.push(one);
      else {
        end();
        found.push({ kind: "list", items: [one] });
      }
    } else if (line.startsWith("|")) {
      const row = cells(line);
      if (last?.kind === "table" && paragraph.length === 0) {
        if (!row.every((cell) => /^:?-+:?$/.test(cell))) last.rows.push(row);
      } else {
        end();
        found.push({ kind: "table", head: row, rows: [] });
      }
    } else if (line.trim() === "") end();
    else paragraph.push(line.trim());
  }
  end();
  return found;
}

const plain = (text: string): string => text.replace(/\\([\\`*_{}[\]<>#|~])/g, "$1");

/** Bold and code within a line; what is escaped is text. */
export function spans(text: string): Span[] {
  const found: Span[] = [];
  let at = 0;
  for (const match of text.matchAll(/(?<!\\)\*\*(.+?)(?<!\\)\*\*|(?<!\\)`([^`]+)`/g)) {
    if (match.index > at) found.push({ kind: "plain", text: plain(text.slice(at, match.index)) });
    found.push(match[1] !== undefined ? { kind: "bold", text: plain(match[1]) } : { kind: "code", text: match[2] ?? "" });
    at = match.index + match[0].length;
  }
  if (at < text.length) found.push({ kind: "plain", text: plain(text.slice(at)) });
  return found;
}
