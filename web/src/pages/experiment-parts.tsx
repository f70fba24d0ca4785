// What results and answers to questions have in common.
import type { Schemas } from "../api/client";
import { change, digits, percent, points, score, sentence, signed, whole, words } from "../lib/format";
import { Badge, Card } from "../ui/base";
import { PromptLink } from "../ui/parts";
import type { Column } from "../ui/table";
import { Table } from "../ui/table";
import type { Experiment } from "./experiments";

type Result = Schemas["ExperimentResult"];

/** What a variant is called. */
export const nameOf = ({ variants }: Experiment, id: string): string => variants.find((variant) => variant.id === id)?.name || id;

/** How a metric's numbers are written. */
export function shown(comparison: Pick<Schemas["Comparison"], "kind">): (value: number) => string {
  return comparison.kind === "binary" ? percent : digits;
}

/** How differences of its numbers are written: those of shares in percentage points. */
export function between(comparison: Pick<Schemas["Comparison"], "kind">): (value: number) => string {
  return comparison.kind === "binary" ? points : digits;
}

/** The mean of a variant, or the quantile that is compared. */
function Level({ of, show }: { of: Schemas["MetricSummary"] | undefined; show: (value: number) => string }) {
  const value = of?.quantile?.value ?? of?.mean;
  const interval = of?.quantile ? of.quantile.interval : of?.interval;
  if (!of || value == null) return <span className="faint">–</span>;
  return <span className="est"><span>{show(value)}</span><small>{of.quantile && `${Math.round(of.quantile.q * 100)} % quantile · `}{interval ? `${show(interval.low)}–${show(interval.high)}` : "no interval"} · n {whole(of.units)}</small></span>;
}

export function Variants({ experiment, result, metric }: { experiment: Experiment; result: Result; metric: string }) {
  const first = result.comparisons.find((one) => one.metric === metric) ?? result.comparisons[0];
  const rows = experiment.variants.map((variant) => {
    const id = variant.id ?? "";
    const own = result.variant_results[id];
    const comparison = result.comparisons.find((one) => one.metric === metric && one.variant === id);
    return { id, variant, own, summary: own?.metrics[metric], comparison, show: comparison ? shown(comparison) : first ? shown(first) : score, apart: comparison ? between(comparison) : score };
  });
  const none = <span className="faint">–</span>;
  const columns: Column<(typeof rows)[number]>[] = [
    { head: "Variant", cell: ({ id, variant, own }) => <><span className="row tight"><strong>{variant.name || id}</strong>{own?.is_control && <Badge>Control</Badge>}{(experiment.winner ?? result.winner) === id && <Badge tone="good">Winner</Badge>}</span><span className="faint small">{variant.prompt_name && <PromptLink name={variant.prompt_name} version={variant.prompt_version} />} {variant.model_name}</span></> },
    { head: "Units", right: true, cell: ({ summary, own }) => whole(summary?.units ?? own?.units ?? 0) },
    { head: sentence(words(metric)), cell: ({ summary, show }) => <Level of={summary} show={show} /> },
    { head: "Difference", right: true, cell: ({ comparison, apart }) => (comparison?.difference != null ? <><span className={comparison.significant ? (comparison.better ? "good" : "bad") : ""}>{change(comparison.difference, apart)}</span>{comparison.lift && <div className="faint tiny">{signed(comparison.lift.value * 100, 1)} % relative</div>}</> : none) },
    { head: "Interval", right: true, cell: ({ comparison, apart }) => (comparison?.interval ? `${apart(comparison.interval.low)} to ${apart(comparison.interval.high)}` : none) },
    { head: "p", right: true, cell: ({ comparison }) => (comparison?.p_value_corrected != null ? (comparison.p_value_corrected < 0.001 ? "< 0.001" : comparison.p_value_corrected.toFixed(3)) : none) },
    { head: "Chance to win", right: true, cell: ({ comparison }) => (comparison?.bayes ? percent(comparison.bayes.chance_to_win) : none) },
  ];
  return (
    <Card title="Variants" flush>
      <Table label="Variants" columns={columns} rows={rows} id={(row) => row.id} />
    </Card>
  );
}
