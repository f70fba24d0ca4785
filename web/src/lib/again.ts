import type { Run, Schemas } from "../api/client";

/** What a run was made of, to be made again: with the active prompt, or the version that is named, and the newest samples. */
export function again({ spec }: Run, version?: string): Schemas["CreateRun"] {
  const { manifest } = spec;
  return {
    target: { name: spec.target, ...(manifest.prompt ? { prompt: version ? `${manifest.prompt}@${version}` : manifest.prompt } : {}), model: manifest.model, ...(manifest.parameters ? { parameters: manifest.parameters } : {}) },
    dataset: spec.dataset,
    scoring: spec.scoring,
    repeat: spec.repeat,
    ...(spec.suite ? { suite: spec.suite } : {}),
    ...(spec.category_weights ? { category_weights: spec.category_weights } : {}),
  };
}

/** The same questions and scorers, asked of another manifest, exactly as it is. */
export function exactly(run: Run, manifest_hash: string): Schemas["CreateRun"] {
  return { ...again(run), target: { name: run.spec.target, manifest_hash } };
}
