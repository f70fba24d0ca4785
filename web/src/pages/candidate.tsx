// What shall answer: a prompt's version and a model, beginning with what is live.
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { api, ok } from "../api/client";
import { Field } from "../ui/base";
import { manifestQuery } from "../ui/manifest";

/** The choice of a prompt and a model, beside the manifest that is live. */
export function useCandidate(live: string | undefined) {
  const now = useQuery(manifestQuery(live));
  const [prompt, setPrompt] = useState<string | null>(null);
  const [model, setModel] = useState<string | null>(null);
  const current = now.data?.prompt ? `${now.data.prompt}@${now.data.prompt_version}` : "";
  const chosen = { prompt: prompt ?? current, model: model ?? now.data?.model ?? "" };
  return { ...chosen, setPrompt, setModel, name: now.data?.prompt ?? null, current, changed: now.data !== undefined && (chosen.prompt !== current || chosen.model !== now.data.model) };
}

export function CandidateFields({ of }: { of: ReturnType<typeof useCandidate> }) {
  const { name, current } = of;
  const versions = useQuery({ queryKey: ["prompt", name, "versions"], enabled: Boolean(name), queryFn: () => ok(api.GET("/api/v1/prompts/{name}/versions", { params: { path: { name: name ?? "" } } })) });
  const models = useQuery({ queryKey: ["providers"], queryFn: () => ok(api.GET("/api/v1/providers")) });
  return (
    <>
      <Field label="Prompt" help={versions.data ? undefined : "NAME@VERSION"}>
        {(props) => (versions.data ? <select {...props} className="select" value={of.prompt} onChange={(event) => of.setPrompt(event.target.value)}>{versions.data.items.map((one) => <option key={one.version} value={`${one.name}@${one.version}`}>{one.name}@{one.version}{`${one.name}@${one.version}` === current ? ", live now" : one.is_active ? ", active" : ""}</option>)}</select> : <input {...props} className="input" value={of.prompt} onChange={(event) => of.setPrompt(event.target.value)} />)}
      </Field>
      <Field label="Model">{(props) => <><input {...props} className="input mono" list="candidate-models" value={of.model} onChange={(event) => of.setModel(event.target.value)} placeholder="provider/model" /><datalist id="candidate-models">{models.data?.items.map((one) => <option key={one.model} value={one.model} />)}</datalist></>}</Field>
    </>
  );
}
