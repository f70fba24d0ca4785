import { useQuery } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { useMemo } from "react";
import type { Schemas } from "../api/client";
import { api, ok } from "../api/client";
import type { LineData } from "../charts/frame";
import { LineChart } from "../charts/frame";
import { percent, score, whole } from "../lib/format";
import { rolling } from "../lib/stats";
import { Card, Empty, Skeleton } from "../ui/base";

type Report = Schemas["CanaryReport"];
type Pair = Schemas["ShadowPair"];

/** The bounds of the net win rate as pairs came: from the decisions that were written down, and now. */
export function NetWins({ report: { situation, canary } }: { report: Report }) {
  const log = useQuery({ queryKey: ["canaries", canary.id, "decisions", "all"], queryFn: () => ok(api.GET("/api/v1/canaries/{canary}/decisions", { params: { path: { canary: canary.id }, query: { limit: 500 } } })), staleTime: 30_000 });
  const limit = canary.policy.promote?.net_win;
  const data = useMemo((): LineData | null => {
    const seen = new Map<number, Schemas["CanaryMeasure"]>();
    for (const one of [...(log.data?.items.map((item) => item.situation) ?? []), situation]) {
      const net = one.measures.net_win;
      if (net) seen.set(one.pairs, net);
    }
    const rows = [...seen].sort(([a], [b]) => a - b);
    if (rows.length < 2) return null;
    return {
      x: rows.map(([pairs]) => pairs),
      series: [{ label: "Net wins", colour: 1, values: rows.map(([, net]) => net.value), lower: rows.map(([, net]) => net.low), upper: rows.map(([, net]) => net.high), n: rows.map(([, net]) => net.n) }],
      limits: [{ y: 0, label: "" }, ...(limit != null ? [{ y: limit, label: `promotes beyond ${percent(limit)}` }] : [])],
      show: percent,
      showX: (pairs) => whole(pairs),
      xLabel: "judged pairs",
      bounds: "bounds at every look",
    };
  }, [log.data, situation, limit]);
  return (
    <Card title="Net wins by judged pairs">
      {log.isPending ? <Skeleton height={228} /> : data ? <LineChart label="Net wins by judged pairs" data={data} height={200} /> : <Empty title="Too few judged pairs">Bounds are drawn from the second decision on that has them.</Empty>}
    </Card>
  );
}

const WINDOW = 20;
/** Below so many pairs an interval is wider than the scale. */
const FEW = 5;

/** Scores of both sides over time: means of the last pairs, with their intervals. */
export function Beside({ id, children }: { id: string; children?: ReactNode }) {
  const pairs = useQuery({ queryKey: ["canaries", id, "scores"], queryFn: () => ok(api.GET("/api/v1/canaries/{canary}/pairs", { params: { path: { canary: id }, query: { limit: 500 } } })), staleTime: 30_000 });
  const data = useMemo((): LineData | null => {
    const scored = (pairs.data?.items ?? []).filter((pair) => pair.production_score != null && pair.candidate_score != null).sort((a, b) => (a.number ?? 0) - (b.number ?? 0));
    if (scored.length < 3) return null;
    const side = (label: string, colour: number, of: (pair: Pair) => number | null | undefined) => {
      const bands = rolling(scored.map((pair) => of(pair) ?? null), WINDOW);
      return { label, colour, points: false, values: bands.map((band) => band?.value ?? null), lower: bands.map((band) => (band && band.n >= FEW ? Math.max(0, band.lower) : null)), upper: bands.map((band) => (band && band.n >= FEW ? Math.min(1, band.upper) : null)), n: bands.map((band) => band?.n ?? null) };
    };
    return { x: scored.map((pair, i) => pair.number ?? i + 1), series: [side("Production", 1, (pair) => pair.production_score), side("Candidate", 2, (pair) => pair.candidate_score)], show: score, showX: (pair) => whole(pair), xLabel: "pair" };
  }, [pairs.data]);
  return (
    <Card title="Production against candidate" aside={<><span className="faint">mean score of {WINDOW} pairs</span>{children}</>}>
      {pairs.isPending ? <Skeleton height={228} /> : data ? <LineChart label="Scores of production and candidate" data={data} height={200} /> : <Empty title="Too few judged pairs">From the third on, both sides’ scores are drawn.</Empty>}
    </Card>
  );
}
