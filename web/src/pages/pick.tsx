// Choosing what answers from what the server knows: prompts, their versions, models.
import { useQuery } from "@tanstack/react-query";
import { api, ok } from "../api/client";
import { Field } from "../ui/base";

/** Prompts of the project's own, by their active versions. */
export function usePrompts() {
  const found = useQuery({ queryKey: ["palette", "prompts"], queryFn: () => ok(api.GET("/api/v1/prompts", { params: { query: { limit: 200 } } })) });
  return found.data?.items.filter((prompt) => !prompt.name.startsWith("llmops/"));
}

interface Pick {
  label: string;
  help?: string | undefined;
  value: string;
  set: (value: string) => void;
}

export function PromptField({ label, help, value, set, none }: Pick & { none: string }) {
  const prompts = usePrompts();
  return (
    <Field label={label} help={help}>
      {(props) => (
        <select {...props} className="select" value={value} onChange={(event) => set(event.target.value)}>
          <option value="">{none}</option>
          {value && !prompts?.some((prompt) => prompt.name === value) && <option value={value}>{value}</option>}
          {prompts?.map((prompt) => <option key={prompt.name} value={prompt.name}>{prompt.name}</option>)}
        </select>
      )}
    </Field>
  );
}

/** A version of a prompt; the first choice is the active one. */
export function VersionField({ label, help, value, set, prompt }: Pick & { prompt: string }) {
  const versions = useQuery({ queryKey: ["prompt", prompt, "versions"], enabled: prompt !== "", queryFn: () => ok(api.GET("/api/v1/prompts/{name}/versions", { params: { path: { name: prompt } } })) });
  return (
    <Field label={label} help={help}>
      {(props) => (
        <select {...props} className="select" disabled={!prompt} value={value} onChange={(event) => set(event.target.value)}>
          <option value="">The active one</option>
          {versions.data?.items.map((one) => <option key={one.version} value={one.version}>{one.version}{one.is_active && ", active"}</option>)}
        </select>
      )}
    </Field>
  );
}

/** A model: one that the server knows, or any other that its providers have. */
export function ModelField({ label, help, value, set, needed = true }: Pick & { needed?: boolean }) {
  const models = useQuery({ queryKey: ["providers"], queryFn: () => ok(api.GET("/api/v1/providers")) });
  const wrong = needed && value !== "" && !value.includes("/") ? "A model is provider/model" : null;
  const list = `models-${label.replaceAll(/\W/g, "-")}`;
  return (
    <Field label={label} help={help} error={wrong}>
      {(props) => <><input {...props} className="input mono" list={list} value={value} onChange={(event) => set(event.target.value)} placeholder="provider/model" /><datalist id={list}>{models.data?.items.map((one) => <option key={one.model} value={one.model} />)}</datalist></>}
    </Field>
  );
}
