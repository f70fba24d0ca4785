import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import type { Prompt, Schemas } from "../api/client";
import { api, ok } from "../api/client";
import { variablesOf } from "../lib/template";
import { Button, Callout, Field, Problem } from "../ui/base";
import { Dialog, useSay } from "../ui/layers";

/** The parts of a version that decide its answers, for a new one that begins as its copy. */
function bodyOf(prompt: Prompt): Schemas["PromptBody"] {
  const { content, messages, system, examples, variables, model, parameters, post_processing, response_format, tools } = prompt;
  return Object.fromEntries(Object.entries({ content, messages, system, examples, variables, model, parameters, post_processing, response_format, tools }).filter(([, value]) => value !== undefined && value !== null));
}

/** All texts of messages that are written as JSON; what is no JSON yet is a text itself. */
function textsOf(messages: string): string {
  const texts = (value: unknown): string[] => (typeof value === "string" ? [value] : value && typeof value === "object" ? Object.values(value).flatMap(texts) : []);
  try {
    return texts(JSON.parse(messages)).join("\n");
  } catch {
    return messages;
  }
}

/** The variables of the next version: those that are declared, without those that only the text before used, and new ones. */
function declared(base: Schemas["PromptBody"], before: string, now: string): Schemas["Variable"][] {
  const [old, used] = [variablesOf(before), variablesOf(now)];
  const kept = (base.variables ?? []).filter(({ name }) => used.has(name) || !old.has(name) || JSON.stringify(base.examples ?? []).includes(name));
  const fresh = [...used].filter(([name]) => name !== "input" && name !== "context" && !kept.some((one) => one.name === name));
  return [...kept, ...fresh.map(([name, use]): Schemas["Variable"] => ({ name, type: use === "list" ? "array" : "string", required: use !== "condition" }))];
}

/** Writes a prompt's first version, or a new one that begins as a copy. */
export function PromptEditor({ from, tried, onClose }: { from?: Prompt; tried?: { model: string; parameters: Schemas["Parameters"] }; onClose: () => void }) {
  const [name, setName] = useState(from?.name ?? "");
  const [system, setSystem] = useState(from?.system ?? "");
  const [content, setContent] = useState(from?.content ?? "");
  const [messages, setMessages] = useState(from?.messages ? JSON.stringify(from.messages, null, 2) : "");
  const [model, setModel] = useState(tried?.model || (from?.model ?? ""));
  const [change, setChange] = useState("");
  const [bump, setBump] = useState<Schemas["BumpMode"]>("auto");
  const client = useQueryClient();
  const navigate = useNavigate();
  const { say } = useSay();
  const chat = Boolean(from?.messages);
  const texts = chat ? textsOf(messages) : content;
  const save = useMutation({
    mutationFn: () => {
      const { content: _, messages: __, ...base } = from ? bodyOf(from) : {};
      const variables = declared(base, `${from?.system ?? ""}\n${from?.content ?? ""}\n${textsOf(JSON.stringify(from?.messages ?? []))}`, `${system}\n${texts}`);
      const body: Schemas["PromptBody"] = { ...base, variables, ...(tried ? { parameters: { ...base.parameters, ...tried.parameters } } : {}), ...(chat ? { messages: JSON.parse(messages) as Schemas["Message"][] } : content.trim() ? { content } : {}), ...(system ? { system } : { system: null }), ...(model ? { model } : { model: null }) };
      return ok(api.POST("/api/v1/prompts", { body: { prompt: { ...body, name: name.trim(), description: from?.description, tags: from?.tags, change: change || null, version: from ? null : "1.0.0" }, bump: from ? bump : "none" } }));
    },
    onSuccess: ({ prompt, created, reasons }) => {
      void client.invalidateQueries({ queryKey: ["prompts"] });
      void client.invalidateQueries({ queryKey: ["prompt", prompt.name] });
      say(created ? `${prompt.name}@${prompt.version} is there.` : `This content exists already as ${prompt.name}@${prompt.version}.`, "good", reasons?.join("; "));
      onClose();
      void navigate({ to: "/prompts/$name", params: { name: prompt.name }, search: { version: prompt.version } });
    },
  });
  return (
    <Dialog
      title={from ? `New version of ${from.name}` : "New prompt"}
      shape="wide"
      open
      onClose={onClose}
      footer={
        <>
          <Button onClick={onClose}>Cancel</Button>
          <Button kind="primary" disabled={save.isPending || !name.trim() || !(chat ? messages : system + content).trim()} onClick={() => save.mutate()}>{save.isPending ? "Saving…" : from ? "Save as a new version" : "Create"}</Button>
        </>
      }
    >
      {save.isError && <Problem error={save.error} />}
      {!from && <Field label="Name" help="Letters, digits, . _ / and -">{(props) => <input {...props} className="input mono" value={name} onChange={(event) => setName(event.target.value)} placeholder="support-bot" autoFocus />}</Field>}
      <Field label="System message">{(props) => <textarea {...props} className="textarea" rows={5} value={system} onChange={(event) => setSystem(event.target.value)} placeholder="You are…" />}</Field>
      {chat ? (
        <Field label="Messages (JSON)">{(props) => <textarea {...props} className="textarea" rows={10} value={messages} onChange={(event) => setMessages(event.target.value)} />}</Field>
      ) : (
        <Field label="Template" help={<>Variables stand in double braces: <code>{"{{language}}"}</code>. What is new among them becomes a required text, or a list where it is walked through. <code>{"{{input}}"}</code> is the sample’s input.</>}>
          {(props) => <textarea {...props} className="textarea" rows={8} value={content} onChange={(event) => setContent(event.target.value)} placeholder={"Answer the customer: {{input}}"} />}
        </Field>
      )}
      <div className="grid two">
        <Field label="Model" help="Absent: the caller’s">{(props) => <input {...props} className="input mono" value={model} onChange={(event) => setModel(event.target.value)} placeholder="provider/model" />}</Field>
        {from && (
          <Field label="Number" help="Automatic: major where variables that callers must give changed">
            {(props) => <select {...props} className="select" value={bump} onChange={(event) => setBump(event.target.value as Schemas["BumpMode"])}><option value="auto">Automatic</option><option value="patch">Patch</option><option value="minor">Minor</option><option value="major">Major</option></select>}
          </Field>
        )}
      </div>
      <Field label="What changed">{(props) => <input {...props} className="input" value={change} onChange={(event) => setChange(event.target.value)} placeholder="One sentence for those who read the history" />}</Field>
      {tried && Object.keys(tried.parameters).length > 0 && <Callout tone="info">With what was tried: {Object.entries(tried.parameters).map(([name, value]) => `${name.replaceAll("_", " ")} ${String(value)}`).join(", ")}.</Callout>}
      {from && <Callout tone="plain">A new version is a draft: nothing uses it until it is evaluated and activated or deployed.</Callout>}
    </Dialog>
  );
}
