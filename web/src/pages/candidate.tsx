// What shall answer: a prompt's version, a model and its parameters, beginning with what is live.
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { api, ok } from "../api/client";
import { candidateOf, labelOf, parametersOf } from "../lib/candidate";
import { Field } from "../ui/base";
import { manifestQuery } from "../ui/manifest";
import { told } from "./deployment-settings";

/** The choice of a prompt and a model, beside the manifest that is live. */
export function useCandidate(hash: string | undefined) {
  const found = useQuery(manifestQuery(hash));
  const live = found.data;
  const [prompt, setPrompt] = useState<string | null>(null);
  const [model, setModel] = useState<string | null>(null);
  const [keep, setKeep] = useState(true);
  const name = live?.prompt ?? null;
  const all = useQuery({ queryKey: ["prompt", name, "versions"], enabled: Boolean(name), queryFn: () => ok(api.GET("/api/v1/prompts/{name}/versions", { params: { path: { name: name ?? "" } } })) });
  const versions = all.data?.items;
  const current = labelOf(live);
  const chosen = { prompt: prompt ?? current, model: model ?? live?.model ?? "", keep };
  const own = versions?.find((one) => `${one.name}@${one.version}` === chosen.prompt)?.parameters;
  const parameters = (kept: boolean) => (live ? told(parametersOf(live, own, { ...chosen, keep: kept })) : "");
  const manifest = live && chosen.model ? candidateOf(live, chosen) : null;
  const reset = () => { setPrompt(null); setModel(null); setKeep(true); };
  return { ...chosen, setPrompt, setModel, setKeep, reset, name, versions, coming: found.isLoading || all.isLoading, live, current, manifest, parameters, changed: live !== undefined && (chosen.prompt !== current || chosen.model !== live.model) };
}

export function CandidateFields({ of }: { of: ReturnType<typeof useCandidate> }) {
  const { current, live } = of;
  const models = useQuery({ queryKey: ["providers"], queryFn: () => ok(api.GET("/api/v1/providers")) });
  const before = told(live?.parameters);
  const [kept, own] = [of.parameters(true), of.parameters(false)];
  return (
    <>
      <Field label="Prompt" help={of.versions || of.coming ? undefined : "NAME@VERSION"}>
        {(props) => (of.coming ? <select {...props} className="select" disabled><option>{current}</option></select> : of.versions ? <select {...props} className="select" value={of.prompt} onChange={(event) => of.setPrompt(event.target.value)}>{of.versions.map((one) => <option key={one.version} value={`${one.name}@${one.version}`}>{one.name}@{one.version}{`${one.name}@${one.version}` === current ? ", live now" : one.is_active ? ", active" : ""}</option>)}</select> : <input {...props} className="input" value={of.prompt} onChange={(event) => of.setPrompt(event.target.value)} />)}
      </Field>
      <Field label="Model">{(props) => <><input {...props} className="input mono" list="candidate-models" value={of.model} onChange={(event) => of.setModel(event.target.value)} placeholder="provider/model" /><datalist id="candidate-models">{models.data?.items.map((one) => <option key={one.model} value={one.model} />)}</datalist></>}</Field>
      {of.prompt !== current && of.versions && kept !== own && (
        <Field label="Parameters" help={`Live now: ${before || "none of their own"}`}>
          {(props) => <select {...props} className="select" value={of.keep ? "live" : "own"} onChange={(event) => of.setKeep(event.target.value === "live")}><option value="live">As they are live: {kept}</option><option value="own">Those of {of.prompt}: {own}</option></select>}
        </Field>
      )}
      {of.changed && <Changes of={of} before={before} />}
    </>
  );
}

/** What follows, beside what is. */
function Changes({ of, before }: { of: ReturnType<typeof useCandidate>; before: string }) {
  const after = of.versions || of.prompt === of.current ? of.parameters(of.keep) : null;
  const rows: [string, string, string][] = [
    ["Prompt", of.current || "none", of.prompt || "none"],
    ["Model", of.live?.model ?? "", of.model],
    ["Parameters", before || "none", after ?? (of.keep ? "those that are live, over the prompt’s own" : "the prompt’s own")],
  ];
  return <dl className="facts">{rows.map(([label, from, to]) => <div key={label}><dt>{label}</dt><dd className="wrap-any">{from === to ? <span className="muted">{to}, as now</span> : <>{from} → <strong>{to}</strong></>}</dd></div>)}</dl>;
}
