import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import type { Prompt, Schemas } from "../api/client";
import { api, ok } from "../api/client";
import { hash, money, ms, whole } from "../lib/format";
import { typed, wrongNumber } from "../lib/numbers";
import { variablesOf } from "../lib/template";
import { useRefusal } from "../session";
import { Badge, Button, Callout, Card, Copy, Field, Problem, Skeleton } from "../ui/base";
import { Dialog, useSay } from "../ui/layers";
import { appendSample } from "./datasets";
import { PromptEditor } from "./prompt-editor";

type Values = Record<string, string>;

/** The value of a field as its variable's type wants it; what cannot be read stays text, and the server says why not. */
export function read(type: Schemas["VariableType"] | undefined, text: string): unknown {
  if (type === undefined || type === "string") return text;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

const templates = (prompt: Prompt): string => [prompt.system, prompt.content, ...(prompt.messages ?? []).map((message) => JSON.stringify(message.content))].join("\n");

/** What the templates put in, and the version does not declare: it can never be rendered. */
export function undeclaredOf(prompt: Prompt): string[] {
  const known = new Set(["input", "context", ...(prompt.variables ?? []).map((variable) => variable.name)]);
  return [...variablesOf(templates(prompt))].filter(([name, use]) => use !== "condition" && !known.has(name)).map(([name]) => name);
}

export function Undeclared({ names }: { names: string[] }) {
  return <Callout tone="bad"><strong>This version cannot be rendered.</strong> Its text uses {names.map((name, i) => <span key={name}>{i > 0 && ", "}<code>{name}</code></span>)} without declaring {names.length === 1 ? "it" : "them"}. “New version” declares what the text uses.</Callout>;
}

function valuesOf(prompt: Prompt, values: Values): Record<string, unknown> {
  const given: Record<string, unknown> = {};
  for (const variable of prompt.variables ?? []) {
    const text = values[variable.name];
    if (text !== undefined && text !== "") given[variable.name] = read(variable.type, text);
  }
  return given;
}

function useLater<T>(value: T, delay: number): T {
  const [later, setLater] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setLater(value), delay);
    return () => clearTimeout(timer);
  }, [value, delay]);
  return later;
}

/** Variables as a form, what they render to as one types, and what a model answers. */
export function TryPrompt({ prompt }: { prompt: Prompt }) {
  const [values, setValues] = useState<Values>({});
  const [typedModel, setModel] = useState<string | null>(prompt.model ?? null);
  const [temperature, setTemperature] = useState("");
  const [tokens, setTokens] = useState("");
  const [saving, setSaving] = useState(false);
  const refusal = useRefusal();
  const wrong = { temperature: wrongNumber(temperature, { least: 0, most: 2 }), tokens: wrongNumber(tokens, { whole: true, least: 1 }) };
  const unread = wrong.temperature !== null || wrong.tokens !== null;
  const parameters: Schemas["Parameters"] = { ...(typed(temperature) != null ? { temperature: typed(temperature) ?? null } : {}), ...(typed(tokens) != null ? { max_tokens: typed(tokens) ?? null } : {}) };
  const set = (name: string, value: string) => setValues((old) => ({ ...old, [name]: value }));
  const wraps = variablesOf(templates(prompt)).has("input");
  const models = useQuery({ queryKey: ["providers"], queryFn: () => ok(api.GET("/api/v1/providers")) });
  // Where the prompt names no model: the one that it was evaluated with last, or any that answers.
  const newest = useQuery({ queryKey: ["runs", { prompt: prompt.name }, "newest"], enabled: typedModel === null, queryFn: () => ok(api.GET("/api/v1/runs", { params: { query: { prompt: prompt.name, status: "completed", limit: 1 } } })) });
  const model = typedModel ?? newest.data?.items[0]?.model_name ?? models.data?.items.find((one) => one.healthy)?.model ?? "";
  const undeclared = undeclaredOf(prompt);
  const play = useMutation({ mutationFn: () => ok(api.POST("/api/v1/playground", { body: { prompt: `${prompt.name}@${prompt.version}`, model: model || null, parameters, variables: valuesOf(prompt, values), input: values.input ?? "" } })) });
  return (
    <div className="split">
      <form
        onSubmit={(event) => {
          event.preventDefault();
          if (!unread) play.mutate();
        }}
      >
        <Card title="Variables">
          <div className="stack loose">
            {(prompt.variables ?? []).map((variable) => <VariableField key={variable.name} variable={variable} value={values[variable.name] ?? ""} onChange={(value) => set(variable.name, value)} />)}
            {!prompt.variables?.some((variable) => variable.name === "input") && <Field label="input" help={wraps ? "Stands in the template" : "The user’s message, behind the prompt"}>{(props) => <textarea {...props} className="textarea auto" rows={2} value={values.input ?? ""} onChange={(event) => set("input", event.target.value)} placeholder="What a user would write" />}</Field>}
            <Field label="Model">{(props) => <><input {...props} className="input mono" list="known-models" value={model} onChange={(event) => setModel(event.target.value)} placeholder="provider/model" /><datalist id="known-models">{models.data?.items.map((one) => <option key={one.model} value={one.model} />)}</datalist></>}</Field>
            <div className="grid two">
              <Field label="Temperature" error={wrong.temperature} help={`Of the version: ${prompt.parameters?.temperature ?? "the provider’s"}`}>{(props) => <input {...props} className="input num" inputMode="decimal" value={temperature} onChange={(event) => setTemperature(event.target.value)} />}</Field>
              <Field label="Tokens at most" error={wrong.tokens} help={`Of the version: ${prompt.parameters?.max_tokens ?? "the provider’s"}`}>{(props) => <input {...props} className="input num" inputMode="numeric" value={tokens} onChange={(event) => setTokens(event.target.value)} />}</Field>
            </div>
            <div className="row wrap"><Button kind="primary" type="submit" icon="runs" refused={refusal("editor") || (!model.includes("/") && "Name a model first: provider/model.")} disabled={play.isPending || unread}>{play.isPending ? "Asking…" : "Ask the model"}</Button><Button refused={prompt.name.startsWith("llmops/") ? "Built-in prompts cannot be changed." : refusal("editor")} disabled={unread} onClick={() => setSaving(true)}>Save as a version</Button><span className="faint">Answers are shown here, and not stored.</span></div>
          </div>
        </Card>
      </form>
      <div className="stack spaced">
        {undeclared.length > 0 && <Undeclared names={undeclared} />}
        {play.isError && <Problem error={play.error} />}
        {play.data && <Answer prompt={prompt} played={play.data} input={values.input ?? ""} values={valuesOf(prompt, values)} />}
        <Rendered prompt={prompt} values={values} wraps={wraps} />
      </div>
      {saving && <PromptEditor from={prompt} tried={{ model, parameters }} onClose={() => setSaving(false)} />}
    </div>
  );
}

function VariableField({ variable, value, onChange }: { variable: Schemas["Variable"]; value: string; onChange: (value: string) => void }) {
  const help = [variable.type && variable.type !== "string" ? variable.type : "", variable.description, variable.default != null ? `default ${JSON.stringify(variable.default)}` : ""].filter(Boolean).join(" · ");
  return (
    <Field label={`${variable.name}${variable.required && variable.default == null ? " *" : ""}`} help={help || undefined}>
      {(props) => {
        if (variable.type === "bool") return <select {...props} className="select" value={value} onChange={(event) => onChange(event.target.value)}><option value="">–</option><option value="true">true</option><option value="false">false</option></select>;
        if (variable.type === "int" || variable.type === "float") return <input {...props} className="input num" inputMode="decimal" value={value} onChange={(event) => onChange(event.target.value)} />;
        const json = variable.type === "array" || variable.type === "object";
        return <textarea {...props} className="textarea auto" rows={json ? 3 : 1} value={value} onChange={(event) => onChange(event.target.value)} placeholder={variable.type === "array" ? '["…"]' : variable.type === "object" ? '{"…": "…"}' : ""} />;
      }}
    </Field>
  );
}

function Rendered({ prompt, values, wraps }: { prompt: Prompt; values: Values; wraps: boolean }) {
  const later = useLater(values, 200);
  const declared = prompt.variables?.some((variable) => variable.name === "input");
  const given = { ...valuesOf(prompt, later), ...(wraps && !declared ? { input: later.input ?? "" } : {}) };
  const missing = (prompt.variables ?? []).filter((variable) => variable.required && variable.default == null && !(variable.name in given)).map((variable) => variable.name);
  const rendered = useQuery({
    queryKey: ["prompt", prompt.name, "render", prompt.hash, JSON.stringify(given)],
    enabled: missing.length === 0,
    queryFn: () => ok(api.POST("/api/v1/prompts/{name}/versions/{version}/render", { params: { path: { name: prompt.name, version: prompt.version } }, body: { variables: given } })),
    placeholderData: (old) => old,
    staleTime: "static",
    retry: false,
  });
  return (
    <Card title="What is sent" aside={rendered.data && missing.length === 0 && <Copy text={rendered.data.text} />}>
      <div aria-live="polite" className="stack">
        {missing.length > 0 ? <p className="muted">Still needed: {missing.map((name, i) => <span key={name}>{i > 0 && ", "}<code>{name}</code></span>)}</p> : rendered.isError ? <Problem error={rendered.error} /> : !rendered.data ? <Skeleton height={120} /> : (
          <>
            {rendered.data.messages.map((message, i) => <div key={i} className="message"><header>{message.role}</header><div>{typeof message.content === "string" ? message.content : JSON.stringify(message.content, null, 2)}</div></div>)}
            {!wraps && !declared && later.input && <div className="message"><header>user</header><div>{later.input}</div></div>}
          </>
        )}
      </div>
    </Card>
  );
}

function Answer({ prompt, played, input, values }: { prompt: Prompt; played: Schemas["PlayedPrompt"]; input: string; values: Record<string, unknown> }) {
  const [saving, setSaving] = useState(false);
  const refusal = useRefusal();
  return (
    <Card title="Answer" aside={<><span className="faint num">{ms(played.latency_ms)} · {whole((played.usage.prompt_tokens ?? 0) + (played.usage.completion_tokens ?? 0))} tokens · {money(played.cost)}</span><Copy text={played.output} /></>}>
      <div className="stack" aria-live="polite">
        <div className="pre">{played.output || <span className="faint">empty</span>}</div>
        {(played.tool_calls?.length ?? 0) > 0 && <pre className="code" tabIndex={0}>{JSON.stringify(played.tool_calls, null, 2)}</pre>}
        <div className="row wrap"><Badge mono>{played.model}</Badge>{played.finish_reason && <Badge>{played.finish_reason}</Badge>}<span className="grow" /><Button small refused={refusal("editor")} onClick={() => setSaving(true)}>Save as a sample</Button></div>
      </div>
      {saving && <SaveSample prompt={prompt} output={played.output} input={input} values={values} onClose={() => setSaving(false)} />}
    </Card>
  );
}

function SaveSample({ prompt, output, input, values, onClose }: { prompt: Prompt; output: string; input: string; values: Record<string, unknown>; onClose: () => void }) {
  const datasets = useQuery({ queryKey: ["datasets", "names"], queryFn: () => ok(api.GET("/api/v1/datasets", { params: { query: { limit: 200 } } })) });
  const [dataset, setDataset] = useState("");
  const [expected, setExpected] = useState(output);
  const [category, setCategory] = useState("");
  const client = useQueryClient();
  const { say } = useSay();
  const chosen = datasets.data?.items.find((one) => one.name === (dataset || datasets.data.items[0]?.name));
  const save = useMutation({
    mutationFn: () => appendSample(chosen?.name ?? "", { id: `play-${Date.now().toString(36)}`, input, expected_output: [expected], variables: values, source: "playground", ...(category ? { category } : {}), metadata: { prompt: `${prompt.name}@${prompt.version}` } }),
    onSuccess: ({ version }) => {
      void client.invalidateQueries({ queryKey: ["datasets"] });
      void client.invalidateQueries({ queryKey: ["dataset", chosen?.name] });
      say(`${chosen?.name} has the new version ${hash(version.version)} with this sample.`);
      onClose();
    },
  });
  return (
    <Dialog title="Save as a sample" open onClose={onClose} footer={<><Button onClick={onClose}>Cancel</Button><Button kind="primary" disabled={!chosen || save.isPending} onClick={() => save.mutate()}>{save.isPending ? "Saving…" : "Save"}</Button></>}>
      {save.isError && <Problem error={save.error} />}
      {datasets.data?.items.length === 0 && <Callout tone="warn">There is no dataset yet: import one first.</Callout>}
      <Field label="Dataset">{(props) => <select {...props} className="select" value={chosen?.name ?? ""} onChange={(event) => setDataset(event.target.value)}>{datasets.data?.items.map((one) => <option key={one.name}>{one.name}</option>)}</select>}</Field>
      <Field label="Expected answer" help="What a good answer says: correct the model’s where it is wrong">{(props) => <textarea {...props} className="textarea" rows={6} value={expected} onChange={(event) => setExpected(event.target.value)} />}</Field>
      <Field label="Category">{(props) => <input {...props} className="input" value={category} onChange={(event) => setCategory(event.target.value)} />}</Field>
    </Dialog>
  );
}
