import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { api, ok } from "../api/client";
import { Button, Field, Problem } from "../ui/base";
import { Dialog, useSay } from "../ui/layers";
import { ModelField, PromptField, VersionField, usePrompts } from "./pick";

/** Gives a name to a prompt with a model: from then on live traffic may call it. */
export function NewDeployment({ onClose }: { onClose: () => void }) {
  const [name, setName] = useState("");
  const [environment, setEnvironment] = useState("production");
  const [prompt, setPrompt] = useState("");
  const [version, setVersion] = useState("");
  const [model, setModel] = useState("");
  const needs = usePrompts()?.find((one) => one.name === prompt)?.model == null;
  const client = useQueryClient();
  const navigate = useNavigate();
  const { say } = useSay();
  const called = name.trim() || prompt;
  const deploy = useMutation({
    mutationFn: () => ok(api.POST("/api/v1/deployments/{name}/deploy", { params: { path: { name: called } }, body: { environment: environment.trim(), ...(prompt ? { prompt: version ? `${prompt}@${version}` : prompt } : {}), ...(model ? { model } : {}) } })),
    onSuccess: () => {
      for (const key of ["deployments", "overview"]) void client.invalidateQueries({ queryKey: [key] });
      say(`${called} is deployed: clients name it as their model.`);
      void navigate({ to: "/deployments/$name", params: { name: called }, search: { environment: environment.trim() } });
    },
  });
  const ready = called !== "" && environment.trim() !== "" && (model.includes("/") || (model === "" && !needs));
  return (
    <Dialog title="New deployment" open onClose={onClose} footer={<><Button onClick={onClose}>Cancel</Button><Button kind="primary" disabled={!ready || deploy.isPending} onClick={() => deploy.mutate()}>{deploy.isPending ? "Deploying…" : "Deploy"}</Button></>}>
      {deploy.isError && <Problem error={deploy.error} />}
      <div className="grid two">
        <Field label="Name" help="What clients write as their model">{(props) => <input {...props} className="input" value={name} onChange={(event) => setName(event.target.value)} placeholder={prompt || "support-bot"} />}</Field>
        <Field label="Environment">{(props) => <><input {...props} className="input" list="environments" value={environment} onChange={(event) => setEnvironment(event.target.value)} /><datalist id="environments"><option value="production" /><option value="staging" /></datalist></>}</Field>
        <PromptField label="Prompt" value={prompt} set={(one) => { setPrompt(one); setVersion(""); }} none="None: messages as they come" />
        <VersionField label="Version" help="It stays this one, whatever is activated later" value={version} set={setVersion} prompt={prompt} />
        <ModelField label="Model" help={prompt && !needs ? "Absent: the prompt’s" : undefined} value={model} set={setModel} />
      </div>
    </Dialog>
  );
}
