// Markdown as the server writes it (headings, lists, tables, bold, code), as elements and never as HTML.
import type { ReactNode } from "react";
import { Fragment } from "react";
import type { Block } from "../lib/markdown";
import { blocks, spans } from "../lib/markdown";

function Text({ of }: { of: string }) {
  return <>{spans(of).map((span, i): ReactNode => (span.kind === "bold" ? <strong key={i}>{span.text}</strong> : span.kind === "code" ? <code key={i}>{span.text}</code> : <Fragment key={i}>{span.text}</Fragment>))}</>;
}

function Part({ of }: { of: Block }) {
  switch (of.kind) {
    case "heading":
      return of.level === 1 ? <h3 className="lead">{<Text of={of.text} />}</h3> : <h3>{<Text of={of.text} />}</h3>;
    case "list":
      return <ul>{of.items.map((item, i) => <li key={i}>{item.done !== null && <span className="faint" aria-label={item.done ? "done" : "to do"}>{item.done ? "☑ " : "☐ "}</span>}<Text of={item.text} /></li>)}</ul>;
    case "table":
      return (
        <div className="table-wrap">
          <table className="table compact">
            <thead><tr>{of.head.map((cell, i) => <th key={i} scope="col"><Text of={cell} /></th>)}</tr></thead>
            <tbody>{of.rows.map((row, i) => <tr key={i}>{row.map((cell, j) => <td key={j} className={j === 0 ? "nowrap" : "wrap-any"}><Text of={cell} /></td>)}</tr>)}</tbody>
          </table>
        </div>
      );
    default:
      return <p><Text of={of.text} /></p>;
  }
}

export function Markdown({ text }: { text: string }) {
  return <div className="prose">{blocks(text).map((block, i) => <Part key={i} of={block} />)}</div>;
}
