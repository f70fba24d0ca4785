// What is known of costs: a model without a price costs something, and nobody knows how much.
import type { Run, Schemas } from "../api/client";
import { money } from "./format";

/** Whether nobody knows what all of a run's calls cost. */
export const isUnpriced = ({ results }: Pick<Run, "results">): boolean => Boolean(results?.spend.target_unpriced || results?.spend.judges_unpriced);

/** What an answer and its judges cost, as far as their models have prices. */
export function costOf({ cost, judge_cost, cached }: Pick<Schemas["SampleResult"], "cost" | "judge_cost" | "cached">, { results }: Pick<Run, "results">): string {
  const known = cost + (judge_cost ?? 0);
  const unknown = (results?.spend.target_unpriced && !cached) || results?.spend.judges_unpriced;
  return !unknown ? money(known) : known > 0 ? `${money(known)} and what has no price` : "cost unknown: no price";
}
