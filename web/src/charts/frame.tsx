// Every chart has a name, a legend in words and the same data as a table.
import { Suspense, lazy, useState } from "react";
import { day, sentence } from "../lib/format";
import { Button, Skeleton } from "../ui/base";

export interface Series {
  label: string;
  values: (number | null)[];
  /** Ends of the interval of each value. */
  lower?: (number | null)[];
  upper?: (number | null)[];
  /** How many observations stand behind each value. */
  n?: (number | null)[];
  /** 1 to 6: which colour. */
  colour: number;
  dashed?: boolean;
  points?: boolean;
  /** Points are filled. */
  solid?: boolean;
  /** Hollow points alone, without a line or band. */
  lone?: boolean;
  bars?: boolean;
}

export interface Mark {
  /** Seconds since 1970. */
  x: number;
  label: string;
}

export interface LineData {
  /** Seconds since 1970, ascending. */
  x: number[];
  series: Series[];
  marks?: Mark[];
  limits?: { y: number; label: string; tone?: "bad" | "plain" }[];
  /** How values are written. */
  show: (value: number) => string;
  /** What the x axis counts; absent: time, which needs no name. */
  xLabel?: string;
  /** What the bands are; absent: 95 % intervals. */
  bounds?: string;
  /** Whether places on the x axis are days of UTC, at their beginnings, which have no time of day. */
  days?: boolean;
  /** How places on the x axis are written; absent: as time. */
  showX?: (x: number) => string;
  /** Whether lines break where nothing is known. */
  gaps?: boolean;
  min?: number;
  max?: number;
}

const Plot = lazy(() => import("./plot"));

export function LineChart({ label, data, height = 240, onPick }: { label: string; data: LineData; height?: number; onPick?: (index: number) => void }) {
  const [table, setTable] = useState(false);
  return (
    <figure className="stack" aria-label={label}>
      <div className="row between">
        <Legend data={data} />
        <Button kind="quiet" small icon="table" aria-pressed={table} onClick={() => setTable(!table)}>{table ? "Chart" : "Table"}</Button>
      </div>
      {table ? (
        <DataTable label={label} data={data} height={height} />
      ) : (
        <Suspense fallback={<Skeleton height={height} />}>
          <Plot label={label} data={data} height={height} {...(onPick ? { onPick } : {})} />
        </Suspense>
      )}
    </figure>
  );
}

function Legend({ data }: { data: LineData }) {
  return (
    <div className="chart-legend">
      {data.series.map((series) => (
        <span key={series.label}>
          <i className={series.dashed ? "dash" : series.lone ? "ring" : ""} style={series.dashed || series.lone ? { color: `var(--series-${series.colour})` } : { background: `var(--series-${series.colour})` }} aria-hidden="true" />
          {series.label}
        </span>
      ))}
      {data.limits?.filter((limit) => limit.label).map((limit) => <span key={limit.label}><i className="dash" style={{ color: `var(${limit.tone === "bad" ? "--bad" : "--text-3"})` }} aria-hidden="true" />{limit.label}</span>)}
      {data.series.some((series) => series.lower) && <span><i className="band" style={{ background: "var(--series-1)", opacity: 0.25 }} aria-hidden="true" />{data.bounds ?? "95 % interval"}</span>}
    </div>
  );
}

function DataTable({ label, data, height }: { label: string; data: LineData; height: number }) {
  const place = data.showX ?? (data.days ? day : (x: number) => new Date(x * 1000).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" }));
  return (
    <div className="table-wrap" style={{ maxHeight: height, overflow: "auto" }} tabIndex={0} role="region" aria-label={`${label}, as a table`}>
      <table className="table compact">
        <thead>
          <tr>
            <th scope="col">{data.xLabel ? sentence(data.xLabel) : data.showX ? "At" : data.days ? "Day" : "Time"}</th>
            {data.series.map((series) => <th key={series.label} scope="col" className="right">{series.label}</th>)}
          </tr>
        </thead>
        <tbody>
          {data.x.map((x, i) => (
            <tr key={i}>
              <td className="nowrap">{place(x)}</td>
              {data.series.map((series) => <td key={series.label} className="right num">{describe(series, i, data.show)}</td>)}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** A value with its interval and n, where they are known. */
export function describe(series: Series, i: number, show: (value: number) => string): string {
  const value = series.values[i];
  if (value == null) return "–";
  const [low, high, n] = [series.lower?.[i], series.upper?.[i], series.n?.[i]];
  const interval = low != null && high != null && high > low ? ` (${show(low)}–${show(high)})` : "";
  return `${show(value)}${interval}${n != null ? ` · n ${n}` : ""}`;
}

export function Sparkline({ values, width = 84, height = 26, label }: { values: number[]; width?: number; height?: number; label: string }) {
  if (values.length < 2) return null;
  const low = Math.min(...values);
  const span = Math.max(...values) - low || 1;
  const points = values.map((v, i) => `${(2 + (i / (values.length - 1)) * (width - 4)).toFixed(1)},${(height - 3 - ((v - low) / span) * (height - 6)).toFixed(1)}`);
  const last = points[points.length - 1]?.split(",") ?? [];
  return (
    <svg width={width} height={height} role="img" aria-label={label}>
      <polyline points={points.join(" ")} fill="none" stroke="var(--series-1)" strokeWidth="1.5" strokeLinejoin="round" />
      <circle cx={last[0]} cy={last[1]} r="2.2" fill="var(--series-1)" />
    </svg>
  );
}

/** An estimate on a scale: the interval as a line, the value as a dot, limits as ticks. */
export function Interval({ value, lower, upper, from = 0, to = 1, limit, tone }: { value: number; lower: number; upper: number; from?: number; to?: number; limit?: number | null | undefined; tone?: string }) {
  const x = (v: number) => `${Math.max(0, Math.min(1, (v - from) / (to - from || 1))) * 100}%`;
  const colour = tone ?? "var(--series-1)";
  return (
    <svg className="ci" aria-hidden="true">
      <line x1="0" x2="100%" y1="7" y2="7" stroke="var(--line)" strokeWidth="1" />
      {limit != null && <line x1={x(limit)} x2={x(limit)} y1="1" y2="13" stroke="var(--text-3)" strokeDasharray="2 2" />}
      <line x1={x(lower)} x2={x(upper)} y1="7" y2="7" stroke={colour} strokeWidth="3" strokeLinecap="round" opacity="0.45" />
      <circle cx={x(value)} cy="7" r="3.500" fill={colour} />
    </svg>
  );
}

/** Bars of a distribution, stacked; hover tells the numbers, and so does the table beneath. */
export function Histogram({ bins, label, height = 120 }: { bins: { low: number; high: number; passed: number; failed: number }[]; label: string; height?: number }) {
  const most = Math.max(1, ...bins.map((bin) => bin.passed + bin.failed));
  return (
    <figure className="stack tight" aria-label={label}>
      <svg width="100%" height={height} role="img" aria-label={`${label}: ${bins.filter((b) => b.passed + b.failed > 0).map((b) => `${b.low.toFixed(2)} to ${b.high.toFixed(2)}: ${b.passed + b.failed}`).join("; ")}`}>
        {bins.map((bin, i) => {
          const width = 100 / bins.length;
          const passed = (bin.passed / most) * (height - 18);
          const failed = (bin.failed / most) * (height - 18);
          return (
            <g key={bin.low}>
              <title>{`${bin.low.toFixed(2)}–${bin.high.toFixed(2)}: ${bin.passed} passed, ${bin.failed} failed`}</title>
              <rect x={`${i * width}%`} width={`${width}%`} y={0} height={height - 16} fill="transparent" />
              <rect x={`${i * width + 0.4}%`} width={`${width - 0.8}%`} y={height - 16 - passed} height={passed} fill="var(--good)" opacity="0.8" rx="1.500" />
              <rect x={`${i * width + 0.4}%`} width={`${width - 0.8}%`} y={height - 16 - passed - failed} height={failed} fill="var(--bad)" opacity="0.85" rx="1.500" />
            </g>
          );
        })}
        <line x1="0" x2="100%" y1={height - 16} y2={height - 16} stroke="var(--line-strong)" />
        {[0, 0.25, 0.5, 0.75, 1].map((v) => (
          <text key={v} className="axis" x={`${v * 100}%`} y={height - 3} textAnchor={v === 0 ? "start" : v === 1 ? "end" : "middle"}>{v.toFixed(2)}</text>
        ))}
      </svg>
    </figure>
  );
}

/** A colour between bad and good for a score on [low, high]. */
export function heat(value: number, low: number, high: number): { background: string; color: string } {
  const share = high > low ? Math.max(0, Math.min(1, (value - low) / (high - low))) : 1;
  const [colour, strength] = share >= 0.5 ? ["--good", (share - 0.5) * 60 + 4] : ["--bad", (0.5 - share) * 76 + 4];
  return { background: `color-mix(in oklab, var(${colour}) ${Math.round(strength)}%, var(--panel))`, color: "var(--text)" };
}
