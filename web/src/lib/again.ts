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
export function exactly(run: Run, manifest: Schemas["Manifest"]): Schemas["CreateRun"] {
  const { prompt, prompt_version: version, model, model_version, parameters, retriever_index_version } = manifest;
  return {
    ...again(run),
    target: {
      name: run.spec.target,
      model,
      ...(prompt ? { prompt: version ? `${prompt}@${version}` : prompt } : {}),
      ...(model_version ? { model_version } : {}),
      ...(parameters ? { parameters } : {}),
      ...(retriever_index_version ? { retriever_index_version } : {}),
    },
  };
}
