// Differences with their intervals, one below the other, around no difference.
import type { Schemas } from "../api/client";
import { change, whole } from "../lib/format";

type Row = Schemas["Comparison"] & { slice?: string };

export function Forest({ name, comparisons, segments, show }: { name: (variant: string) => string; comparisons: Row[]; segments: Row[]; show: (value: number) => string }) {
  const rows = [...comparisons, ...segments].filter((row) => row.interval && row.difference != null);
  if (rows.length === 0) return <p className="muted" style={{ padding: 12 }}>Too few units for an interval.</p>;
  const reach = Math.max(...rows.flatMap((row) => [Math.abs(row.interval?.low ?? 0), Math.abs(row.interval?.high ?? 0)]), 1e-9) * 1.08;
  const x = (value: number) => `${Math.max(0, Math.min(100, 50 + (value / reach) * 50))}%`;
  return (
    <div className="table-wrap">
      <table aria-label="Differences and intervals" style={{ borderSpacing: 0 }}>
        <thead className="sr"><tr><th>Variant</th><th>Chart</th><th>Difference</th></tr></thead>
        <tbody>
          {rows.map((row) => {
            const colour = row.significant ? (row.better ? "var(--good)" : "var(--bad)") : "var(--series-1)";
            return (
              <tr key={`${row.slice ?? ""}/${row.variant}`}>
                <td className="nowrap" style={{ paddingRight: 12, width: 1 }}><div style={{ fontWeight: row.slice ? 400 : 550 }}>{row.slice ?? name(row.variant)}</div><div className="faint tiny">{row.slice ? `${name(row.variant)} · ` : ""}n {whole(row.units)}</div></td>
                <td style={{ minWidth: 120 }}>
                  <svg width="100%" height="34" aria-hidden="true" style={{ display: "block" }}>
                    <line x1="50%" x2="50%" y1="0" y2="34" stroke="var(--line-strong)" />
                    <line x1={x(row.interval?.low ?? 0)} x2={x(row.interval?.high ?? 0)} y1="17" y2="17" stroke={colour} strokeWidth={row.slice ? 1.5 : 2.5} />
                    {[row.interval?.low ?? 0, row.interval?.high ?? 0].map((end, i) => <line key={i} x1={x(end)} x2={x(end)} y1="12" y2="22" stroke={colour} strokeWidth="1.500" />)}
                    <rect x={x(row.difference ?? 0)} y={row.slice ? 14 : 12.5} width={row.slice ? 6 : 9} height={row.slice ? 6 : 9} transform={`translate(${row.slice ? -3 : -4.5} 0)`} fill={colour} rx="1" />
                  </svg>
                </td>
                <td className="nowrap num right" style={{ paddingLeft: 12, width: 1 }}><div>{change(row.difference ?? 0, show)}</div><div className="faint tiny">{show(row.interval?.low ?? 0)} to {show(row.interval?.high ?? 0)}</div></td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </div>
  );
}
