// Lines with bands over time, drawn by uPlot. Loaded when a chart is shown.
import { useEffect, useRef, useState } from "react";
import uPlot from "uplot";
import { day, moment } from "../lib/format";
import type { LineData, Series } from "./frame";
import { describe } from "./frame";

const variable = (name: string) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** Counts up whenever the theme changes: colours are drawn, not styled. */
function useThemeCount(): number {
  const [count, setCount] = useState(0);
  useEffect(() => {
    const observer = new MutationObserver(() => setCount((n) => n + 1));
    observer.observe(document.documentElement, { attributeFilter: ["data-theme"] });
    return () => observer.disconnect();
  }, []);
  return count;
}

export default function Plot({ label, data, height, onPick }: { label: string; data: LineData; height: number; onPick?: (index: number) => void }) {
  const box = useRef<HTMLDivElement>(null);
  const [at, setAt] = useState<{ i: number; left: number } | null>(null);
  const theme = useThemeCount();
  const pick = useRef(onPick);
  pick.current = onPick;
  useEffect(() => {
    const element = box.current;
    if (!element) return;
    const chart = new uPlot(options(data, element.clientWidth, height, setAt), columns(data), element);
    const resize = new ResizeObserver(() => chart.setSize({ width: element.clientWidth, height }));
    resize.observe(element);
    const click = () => {
      if (chart.cursor.idx != null) pick.current?.(chart.cursor.idx);
    };
    chart.over.addEventListener("click", click);
    chart.over.style.cursor = pick.current ? "pointer" : "crosshair";
    return () => {
      resize.disconnect();
      chart.destroy();
    };
    // eslint-disable-next-line
  }, [data, height, theme]);
  const width = box.current?.clientWidth ?? 600;
  return (
    <div className="chart" style={{ height }}>
      <div ref={box} role="img" aria-label={summary(label, data)} style={{ height }} />
      {at && (
        <div className="chart-tip" style={{ top: 4, ...(at.left > width / 2 ? { right: width - at.left + 12 } : { left: at.left + 64 }) }}>
          <div className="faint">{data.xLabel && `${data.xLabel} `}{(data.showX ?? (data.days ? day : (x: number) => moment(x * 1000)))(data.x[at.i] ?? 0)}</div>
          {data.series.map((series) => (
            <div key={series.label} className="row tight">
              <i className="dot" style={{ background: `var(--series-${series.colour})` }} />
              <span className="muted">{series.label}</span>
              <span className="num" style={{ marginLeft: "auto" }}>{describe(series, at.i, data.show)}</span>
            </div>
          ))}
          {(data.marks ?? []).filter((mark) => mark.x === data.x[at.i]).map((mark) => <div key={mark.label} className="warn">{mark.label}</div>)}
        </div>
      )}
    </div>
  );
}

/** The chart in a sentence, for those who do not see it. */
function summary(label: string, data: LineData): string {
  const told = data.series.map((series) => {
    const known = series.values.map((v, i) => [v, i] as const).filter(([v]) => v != null);
    const last = known[known.length - 1];
    return last ? `${series.label} is ${describe(series, last[1], data.show)} at the end` : `${series.label} has no values`;
  });
  return `${label}: ${told.join(", ")}. The table has all values.`;
}

function columns(data: LineData): uPlot.AlignedData {
  const all: (number | null)[][] = [data.x];
  for (const series of data.series) {
    all.push(series.values);
    if (series.lower && series.upper && !series.lone) all.push(series.upper, series.lower);
  }
  return all as uPlot.AlignedData;
}

/** Values are points where they are few; of many, those that no line reaches. */
function pointsOf({ values, points, bars }: Series, { gaps }: LineData): Pick<uPlot.Series.Points, "show" | "filter"> {
  if (bars) return { show: false };
  const few = values.filter((value) => value != null).length < 60;
  if (points ?? few) return { show: true };
  const alone = gaps ? values.flatMap((value, i) => (value != null && values[i - 1] == null && values[i + 1] == null ? [i] : [])) : [];
  return alone.length > 0 ? { show: true, filter: () => alone } : { show: false };
}

function options(data: LineData, width: number, height: number, hover: (at: { i: number; left: number } | null) => void): uPlot.Options {
  const axis = { stroke: variable("--text-2"), font: '11px "Inter Variable", system-ui, sans-serif', grid: { stroke: variable("--line"), width: 1 }, ticks: { show: false } };
  const series: uPlot.Series[] = [{}];
  const bands: uPlot.Band[] = [];
  for (const one of data.series) {
    const stroke = variable(`--series-${one.colour}`);
    series.push({
      label: one.label,
      stroke,
      width: one.bars ? 1 : 1.75,
      spanGaps: !data.gaps,
      ...(one.dashed ? { dash: [5, 4] } : {}),
      ...(one.bars ? { paths: uPlot.paths.bars?.({ size: [0.7, 40] }) ?? (() => null), fill: stroke } : {}),
      ...(one.lone ? { paths: () => null } : {}),
      points: { ...pointsOf(one, data), size: one.lone ? 7 : 5, fill: one.solid ? stroke : variable("--panel") },
    });
    if (one.lower && one.upper && !one.lone) {
      const at = series.length;
      const quiet = { stroke: "transparent", width: 0, points: { show: false }, spanGaps: !data.gaps };
      series.push({ ...quiet, label: `${one.label} upper` }, { ...quiet, label: `${one.label} lower` });
      bands.push({ series: [at, at + 1], fill: `${stroke}24` });
    }
  }
  const bars = data.series.some((one) => one.bars);
  // A bar stands around its place: at the ends there must be room for half of it.
  const half = bars && data.x.length > 1 ? ((data.x[1] ?? 0) - (data.x[0] ?? 0)) * 0.6 : 0;
  // A single place stands in the middle of two hours, or of two places.
  const alone = data.showX ? 1 : data.days ? 86_400 : 3_600;
  const fixed: uPlot.Scale = { range: (_, low, high) => bounds(data, low, high) };
  return {
    width,
    height,
    series,
    bands,
    // Room for half of the last place's name.
    padding: [8, 24, 0, 0],
    legend: { show: false },
    cursor: { y: false, points: { size: 7 }, drag: { x: false, y: false } },
    ...(data.days ? { tzDate: (time: number) => uPlot.tzDate(new Date(time * 1000), "Etc/UTC") } : {}),
    scales: { x: { time: !data.showX, range: (_: uPlot, low: number, high: number): [number, number] => (data.x.length === 1 ? [low - alone, low + alone] : [low - half, high + half]) }, y: fixed },
    axes: [
      { ...axis, grid: { show: false }, size: 30, space: 80, ...(data.xLabel ? { label: data.xLabel, labelSize: 18, labelGap: 2, labelFont: axis.font } : {}), ...ticksOf(data) },
      { ...axis, size: (_, shown) => Math.max(54, 14 + 6.5 * Math.max(0, ...(shown ?? []).map((text) => text.length))), values: (_, ticks) => ticks.map((tick) => data.show(tick)) },
    ],
    hooks: {
      setCursor: [(chart) => hover(chart.cursor.idx == null || (chart.cursor.left ?? -1) < 0 ? null : { i: chart.cursor.idx, left: chart.cursor.left ?? 0 })],
      drawClear: [(chart) => under(chart, data)],
    },
  };
}

/** Steps of a time axis, in seconds: none is less than one, which is the least that is written. */
const SECONDS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 14_400, 21_600, 43_200, ...[1, 2, 3, 4, 7, 14, 28, 56, 91, 182, 364].map((days) => days * 86_400)];

/** How the x axis is divided and written. */
function ticksOf({ showX, days }: LineData): Pick<uPlot.Axis, "values" | "incrs"> {
  if (showX) return { values: (_, ticks) => ticks.map(showX) };
  return days ? { values: (_, ticks) => ticks.map(day), incrs: [1, 2, 4, 7, 14, 28, 91, 364].map((n) => n * 86_400) } : { values: timeTicks, incrs: SECONDS };
}

/** Day and month on days, hours in between, in the reader's zone. */
function timeTicks(_: uPlot, ticks: number[]): string[] {
  const step = (ticks[1] ?? 0) - (ticks[0] ?? 0);
  return ticks.map((tick) => {
    const time = new Date(tick * 1000);
    const midnight = time.getHours() === 0 && time.getMinutes() === 0;
    return step >= 86_400 || midnight ? time.toLocaleDateString("en-GB", { day: "numeric", month: "short" }) : time.toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit", ...(step < 60 ? { second: "2-digit" as const } : {}) });
  });
}

function bounds(data: LineData, low: number, high: number): [number, number] {
  const limits = (data.limits ?? []).map((limit) => limit.y);
  const min = data.min ?? Math.min(low ?? 0, ...limits);
  const max = data.max ?? Math.max(high ?? 1, ...limits);
  const room = (max - min || Math.abs(max) || 1) * 0.06;
  return [data.min ?? min - room, data.max ?? max + room];
}

/** What lies beneath the lines: limits and marks. */
function under(chart: uPlot, data: LineData) {
  const { ctx, bbox } = chart;
  const scale = devicePixelRatio;
  ctx.save();
  ctx.font = `${10.5 * scale}px "Inter Variable", system-ui, sans-serif`;
  ctx.lineWidth = scale;
  for (const limit of data.limits ?? []) {
    const y = Math.round(chart.valToPos(limit.y, "y", true));
    ctx.strokeStyle = ctx.fillStyle = variable(limit.tone === "bad" ? "--bad" : "--text-3");
    ctx.setLineDash([4 * scale, 4 * scale]);
    ctx.beginPath();
    ctx.moveTo(bbox.left, y);
    ctx.lineTo(bbox.left + bbox.width, y);
    ctx.stroke();
  }
  ctx.strokeStyle = ctx.fillStyle = variable("--warn");
  ctx.setLineDash([2 * scale, 3 * scale]);
  // The newest mark has its label first; those that would lie over another are left to the tip.
  let free = bbox.left + bbox.width;
  for (const mark of [...(data.marks ?? [])].sort((a, b) => b.x - a.x)) {
    const x = Math.round(chart.valToPos(mark.x, "x", true));
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
    const wide = ctx.measureText(mark.label).width + 8 * scale;
    const right = x + wide <= free;
    if (!right && (x > free || x - wide < bbox.left)) continue;
    ctx.textAlign = right ? "left" : "right";
    ctx.fillText(mark.label, x + (right ? 4 : -4) * scale, bbox.top + 10 * scale);
    free = right ? x : x - wide;
  }
  ctx.restore();
}
