// Dense lists. The first cell of a row holds its link (class `cover`); j and k walk through them, Enter opens.
import type { ReactNode } from "react";
import { useEffect, useRef } from "react";
import { Button, Problem, Skeleton } from "./base";

export interface Column<T> {
  head: ReactNode;
  cell: (row: T) => ReactNode;
  /** Numbers stand right. */
  right?: boolean;
  /** Left out on narrow screens; `cards`: only where a table is narrow, not where its rows are cards. */
  wide?: boolean | "cards";
  /** Stands in the upper right corner of its row on narrow screens: a box, a button. */
  corner?: boolean;
  /** A line of its own on narrow screens. */
  block?: boolean;
  width?: number | string;
  /** Takes what the other columns leave, and no more: texts are cut at its end. */
  fill?: boolean;
}

interface TableProps<T> {
  label: string;
  columns: Column<T>[];
  rows: T[] | undefined;
  id: (row: T) => string;
  error?: unknown;
  retry?: () => void;
  empty?: ReactNode;
  compact?: boolean;
  /** Rows of the placeholder while loading. */
  expected?: number;
}

const wide = <T,>(column: Column<T>): string => (column.wide === "cards" ? "not-between" : column.wide ? "wide-only" : "");

export function Table<T>({ label, columns, rows, id, error, retry, empty, compact, expected = 8 }: TableProps<T>) {
  const ref = useRef<HTMLTableElement>(null);
  useRowKeys(ref);
  if (error && !rows) return <div className="card-body"><Problem error={error} {...(retry ? { retry } : {})} /></div>;
  if (rows?.length === 0 && empty) return <>{empty}</>;
  return (
    <div className="table-wrap" tabIndex={-1}>
      <table ref={ref} role="table" className={`table list ${compact ? "compact" : ""}`} aria-label={label} aria-busy={!rows}>
        <thead role="rowgroup">
          <tr role="row">
            {columns.map((column, i) => (
              <th key={i} role="columnheader" scope="col" className={`${column.right ? "right" : ""} ${wide(column)}`} style={{ width: column.width }}>
                {column.head}
              </th>
            ))}
          </tr>
        </thead>
        <tbody role="rowgroup">
          {rows
            ? rows.map((row) => (
                <tr key={id(row)} role="row" onClick={openRow}>
                  {columns.map((column, i) => (
                    <td key={i} role="cell" data-head={typeof column.head === "string" ? column.head : undefined} className={`${column.right ? "right" : ""} ${wide(column)} ${column.block ? "block" : ""} ${column.corner ? "corner" : ""} ${column.fill ? "fill" : ""}`}>{column.cell(row)}</td>
                  ))}
                </tr>
              ))
            : Array.from({ length: expected }, (_, row) => (
                <tr key={`loading-${row}`} role="row">
                  {columns.map((column, i) => (
                    <td key={i} role="cell" className={wide(column)}><Skeleton width={i === 0 ? "70%" : "50%"} /></td>
                  ))}
                </tr>
              ))}
        </tbody>
      </table>
    </div>
  );
}

/** A click anywhere in a row is one on its link, unless it meant something else. */
function openRow(event: React.MouseEvent<HTMLTableRowElement>) {
  const target = event.target as HTMLElement;
  if (target.closest("a, button, input, select, label, [role^=menu]") || window.getSelection()?.toString()) return;
  event.currentTarget.querySelector<HTMLElement>(".cover")?.click();
}

/** Whether the keys belong to what the reader is typing into. */
export function typing(event: KeyboardEvent): boolean {
  const target = event.target as HTMLElement | null;
  return !!target?.closest("input, textarea, select, [contenteditable], dialog, [role=menu]") || event.metaKey || event.ctrlKey || event.altKey;
}

function useRowKeys(ref: React.RefObject<HTMLTableElement | null>) {
  useEffect(() => {
    const pressed = (event: KeyboardEvent) => {
      if (typing(event) || (event.key !== "j" && event.key !== "k") || !ref.current) return;
      // The first list of a page has the keys.
      if (document.querySelector("main .table:has(.cover)") !== ref.current) return;
      const links = [...ref.current.querySelectorAll<HTMLElement>("tbody .cover")];
      const at = links.findIndex((link) => link === document.activeElement);
      const next = links[event.key === "j" ? Math.min(at + 1, links.length - 1) : Math.max(at - 1, 0)];
      if (!next) return;
      event.preventDefault();
      next.focus();
      next.scrollIntoView({ block: "nearest" });
    };
    window.addEventListener("keydown", pressed);
    return () => window.removeEventListener("keydown", pressed);
  }, [ref]);
}

interface Paged {
  hasNextPage: boolean;
  isFetching: boolean;
  isFetchNextPageError: boolean;
  fetchNextPage: () => unknown;
}

/** Reads the pages that are left, one after the other, as long as they are wanted: a filter must have seen everything. */
export function useReadOn({ hasNextPage, isFetching, isFetchNextPageError, fetchNextPage }: Paged, wanted: boolean) {
  useEffect(() => {
    if (wanted && hasNextPage && !isFetching && !isFetchNextPageError) void fetchNextPage();
  }, [wanted, hasNextPage, isFetching, isFetchNextPageError, fetchNextPage]);
}

export function ListFoot({ shown, more, loading, onMore, what }: { shown: number; more: boolean; loading: boolean; onMore: () => void; what: string }) {
  return (
    <div className="list-foot">
      <span className="num">{shown} {what}{more ? ", newest first" : ""}</span>
      {more && <Button small disabled={loading} onClick={onMore}>{loading ? "Loading…" : "Load more"}</Button>}
      <span className="keys" aria-hidden="true"><span><kbd>j</kbd> <kbd>k</kbd> move</span><span><kbd>↵</kbd> open</span></span>
    </div>
  );
}
