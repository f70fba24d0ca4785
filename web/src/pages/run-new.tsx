import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import type { Schemas } from "../api/client";
import { api, ok } from "../api/client";
import { short } from "../lib/format";
import { Button, Callout, Field, Problem } from "../ui/base";
import { Dialog, useSay } from "../ui/layers";
import { ModelField, PromptField, VersionField, usePrompts } from "./pick";

const BY_WORDS: Schemas["ScoringSpec"] = { metrics: { token_f1: { kind: "token_f1", weight: 0.5, threshold: 0.5 }, rouge_l: { kind: "rouge_l", weight: 0.5, threshold: 0.5 }, latency: { kind: "latency" }, cost: { kind: "cost" } } };

/** Half by words, half by a model that reads question, answer and what was expected. */
const byJudge = (model: string): Schemas["ScoringSpec"] => ({ metrics: { token_f1: { kind: "token_f1", weight: 0.5, threshold: 0.5 }, judge: { kind: "judge", weight: 0.5, model }, latency: { kind: "latency" }, cost: { kind: "cost" } } });

/** Asks a target every question of a dataset, and scores the answers. */
export function NewRun({ onClose }: { onClose: () => void }) {
  const [prompt, setPrompt] = useState("");
  const [version, setVersion] = useState("");
  const [model, setModel] = useState("");
  const [wanted, setDataset] = useState("");
  const [scored, setScored] = useState("");
  const [judge, setJudge] = useState("");
  const prompts = usePrompts();
  const datasets = useQuery({ queryKey: ["datasets", "names"], queryFn: () => ok(api.GET("/api/v1/datasets", { params: { query: { limit: 200 } } })) });
  const runs = useQuery({ queryKey: ["runs", "to repeat"], queryFn: () => ok(api.GET("/api/v1/runs", { params: { query: { status: "completed", limit: 50 } } })) });
  const dataset = wanted || datasets.data?.items[0]?.name || "";
  const like = runs.data?.items.find((run) => run.id === scored);
  const scoring = like ? like.spec.scoring : scored === "judge" ? byJudge(judge) : BY_WORDS;
  const needs = prompts?.find((one) => one.name === prompt)?.model == null;
  const ready = dataset !== "" && (model.includes("/") || (model === "" && !needs)) && (scored !== "judge" || judge.includes("/"));
  const client = useQueryClient();
  const navigate = useNavigate();
  const { say } = useSay();
  const start = useMutation({
    mutationFn: () => ok(api.POST("/api/v1/runs", { body: { target: { name: prompt || model, ...(prompt ? { prompt: version ? `${prompt}@${version}` : prompt } : {}), ...(model ? { model } : {}) }, dataset, scoring, ...(like?.spec.category_weights ? { category_weights: like.spec.category_weights } : {}) } })),
    onSuccess: (run) => {
      void client.invalidateQueries({ queryKey: ["runs"] });
      say("The run has begun.");
      void navigate({ to: "/runs/$run", params: { run: run.id } });
    },
  });
  return (
    <Dialog title="New run" open onClose={onClose} footer={<><Button onClick={onClose}>Cancel</Button><Button kind="primary" disabled={!ready || start.isPending} onClick={() => start.mutate()}>{start.isPending ? "Starting…" : "Start"}</Button></>}>
      {start.isError && <Problem error={start.error} />}
      {datasets.data?.items.length === 0 && <Callout tone="warn">There is no dataset yet: import one first, under Datasets.</Callout>}
      <div className="grid two">
        <PromptField label="Prompt" value={prompt} set={(name) => { setPrompt(name); setVersion(""); }} none="None: the question as it is" />
        <VersionField label="Version" value={version} set={setVersion} prompt={prompt} />
        <ModelField label="Model" help={prompt && !needs ? "Absent: the prompt’s" : undefined} value={model} set={setModel} />
        <Field label="Dataset">{(props) => <select {...props} className="select" value={dataset} onChange={(event) => setDataset(event.target.value)}>{datasets.data?.items.map((one) => <option key={one.name} value={one.name}>{one.name} ({one.sample_count})</option>)}</select>}</Field>
        <Field label="Scored" help={scored === "" ? "Token F1 and ROUGE-L against the expected answers" : scored === "judge" ? "Token F1, and a judge with its built-in rubric" : "By the same metrics, weights and thresholds"}>
          {(props) => (
            <select {...props} className="select" value={scored} onChange={(event) => setScored(event.target.value)}>
              <option value="">By their words</option>
              <option value="judge">By their words and a judge</option>
              {runs.data?.items.map((run) => <option key={run.id} value={run.id}>Like {run.name}, {short(run.created_at)}</option>)}
            </select>
          )}
        </Field>
        {scored === "judge" && <ModelField label="Judge" help="The model that judges" value={judge} set={setJudge} />}
      </div>
    </Dialog>
  );
}
