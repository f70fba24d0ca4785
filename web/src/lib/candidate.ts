// A candidate beside what is live.
import type { Schemas } from "../api/client";

type Manifest = Schemas["Manifest"];
type Parameters = Schemas["Parameters"];

export interface Chosen {
  /** `NAME@VERSION`; empty: no prompt. */
  prompt: string;
  model: string;
  /** Whether the live parameters stay where the prompt changes, laid over those of its new version. */
  keep: boolean;
}

export const labelOf = (manifest: Manifest | undefined): string => (manifest?.prompt ? `${manifest.prompt}@${manifest.prompt_version ?? ""}` : "");

/**
 * What is live, with the prompt and the model that were chosen. What belongs to a prompt's version comes with it: the server
 * adds it to a manifest that names the version and no hash. The retriever's index stays, and the model's pinned version does
 * where the model stays.
 */
export function candidateOf(live: Manifest, { prompt, model, keep }: Chosen): Manifest {
  const { model_version, ...others } = live;
  const pinned = model === live.model && model_version ? { model_version } : {};
  if (prompt === labelOf(live)) return { ...others, model, ...pinned };
  const at = prompt.lastIndexOf("@");
  const [name, version] = at < 0 ? [prompt, null] : [prompt.slice(0, at), prompt.slice(at + 1)];
  return {
    model,
    ...pinned,
    ...(name ? { prompt: name } : {}),
    ...(name && version ? { prompt_version: version } : {}),
    ...(keep && live.parameters ? { parameters: live.parameters } : {}),
    ...(live.retriever_index_version ? { retriever_index_version: live.retriever_index_version } : {}),
  };
}

/** The parameters that a candidate answers with, where those of its prompt's version are known. */
export function parametersOf(live: Manifest, own: Parameters | undefined, { prompt, keep }: Chosen): Parameters {
  if (prompt === labelOf(live)) return live.parameters ?? {};
  const { stop: _, ...rest } = own ?? {};
  return { temperature: 0, ...given(rest), ...(keep ? given(live.parameters ?? {}) : {}) };
}

const given = (parameters: Parameters): Parameters => Object.fromEntries(Object.entries(parameters).filter(([, value]) => value != null));
