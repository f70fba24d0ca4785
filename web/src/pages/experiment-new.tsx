import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import type { Schemas } from "../api/client";
import { api, ok } from "../api/client";
import { percent, plural, whole, words } from "../lib/format";
import { typed, wrongNumber } from "../lib/numbers";
import { useRefusal } from "../session";
import { Button, Callout, Card, Field, PageHead, Problem, Skeleton } from "../ui/base";
import { ModelField, PromptField, VersionField } from "./pick";
import { useCrumb } from "../ui/crumb";
import { useSay } from "../ui/layers";

interface Draft {
  name: string;
  description: string;
  variants: { name: string; prompt: string; version: string; model: string }[];
  metric: string;
  kind: Schemas["MetricKind"];
  direction: Schemas["Direction"];
  guardrail: string;
  margin: string;
  baseline: string;
  effect: string;
  sd: string;
  perDay: string;
  coverage: string;
  days: string;
  alpha: string;
}

const EMPTY: Draft = {
  name: "",
  description: "",
  variants: [
    { name: "control", prompt: "", version: "", model: "" },
    { name: "treatment", prompt: "", version: "", model: "" },
  ],
  metric: "thumbs_up",
  kind: "binary",
  direction: "higher",
  guardrail: "",
  margin: "0.02",
  baseline: "",
  effect: "",
  sd: "",
  perDay: "",
  coverage: "1",
  days: "7",
  alpha: "0.05",
};

const STEPS = ["What is tested", "What is measured", "How long", "Review"];
const number = (text: string): number | null => typed(text) ?? null;

/** What is wrong with the numbers of a draft, by field: nothing becomes a default because it could not be read. */
function wrongOf(draft: Draft): Partial<Record<keyof Draft, string | null>> {
  const binary = draft.kind === "binary";
  return {
    margin: draft.guardrail ? wrongNumber(draft.margin, { needed: true, least: 0 }) : null,
    ...(binary ? { baseline: wrongNumber(draft.baseline, { least: 0, most: 1 }) } : { sd: wrongNumber(draft.sd, { above: 0 }) }),
    effect: wrongNumber(draft.effect, {}) ?? (number(draft.effect) === 0 ? "A change, not 0" : null),
    perDay: wrongNumber(draft.perDay, { whole: true, least: 1 }),
    coverage: wrongNumber(draft.coverage, { needed: true, least: 0, most: 1 }),
    days: wrongNumber(draft.days, { whole: true, least: 0 }),
    alpha: wrongNumber(draft.alpha, { needed: true, above: 0, most: 0.5 }),
  };
}

function specOf(draft: Draft, planned: number | undefined): Schemas["ExperimentSpec"] {
  return {
    name: draft.name,
    description: draft.description || null,
    variants: draft.variants.map((variant, i) => ({
      id: variant.name,
      name: variant.name,
      is_control: i === 0,
      ...(variant.prompt ? { prompt_name: variant.prompt, prompt_version: variant.version || null } : {}),
      ...(variant.model ? { model_name: variant.model } : {}),
    })),
    metrics: [
      { name: draft.metric, kind: draft.kind, direction: draft.direction, ...(number(draft.effect) != null ? { minimum_effect: number(draft.effect) } : {}) },
      ...(draft.guardrail ? [{ name: draft.guardrail, guardrail: { margin: number(draft.margin) ?? 0, relative: false } }] : []),
    ],
    target_metric: draft.metric,
    coverage: number(draft.coverage) ?? 1,
    analysis: { alpha: number(draft.alpha) ?? 0.05, min_duration: `${number(draft.days) ?? 0}d`, ...(planned ? { planned_n: planned } : {}), ...(number(draft.perDay) ? { units_per_day: number(draft.perDay) } : {}) },
  };
}

const whatOf = ({ prompt, version, model }: Draft["variants"][number]): string => [prompt && `${prompt}@${version || "the active version"}`, model].filter(Boolean).join(", ");

/** Variants between which nothing differs that llmops knows of. */
function alike({ variants }: Draft): string | null {
  for (const [i, one] of variants.entries()) {
    const other = variants.slice(i + 1).find((later) => whatOf(later) === whatOf(one));
    if (other) return `${one.name || "A variant"} and ${other.name || "another"} have`;
  }
  return null;
}

/** What was written, in words; as it is sent on demand. */
function Review({ draft, planned }: { draft: Draft; planned: number | undefined }) {
  return (
    <>
      <dl className="facts">
        <dt>Name</dt><dd>{draft.name || <span className="bad">missing</span>}</dd>
        {draft.description && <><dt>Why</dt><dd>{draft.description}</dd></>}
        {draft.variants.map((variant, i) => <div key={i}><dt>{i === 0 ? "Control" : `Variant ${i + 1}`}</dt><dd><strong>{variant.name}</strong> <span className="muted">{whatOf(variant) || "only a name: the application does what differs"}</span></dd></div>)}
        <dt>Decides</dt><dd>{words(draft.metric)}, {draft.direction} is better</dd>
        {draft.guardrail && <><dt>Guardrail</dt><dd>{words(draft.guardrail)}, worse by {draft.margin} at most</dd></>}
        <dt>Takes part</dt><dd>{percent(number(draft.coverage))} of users</dd>
        <dt>Lasts</dt><dd>{plural(number(draft.days) ?? 0, "day")} at least{planned ? `, ${whole(planned)} users per variant` : ", without a planned number of users"}</dd>
        <dt>False conclusion</dt><dd>with a chance of {percent(number(draft.alpha))} at most</dd>
      </dl>
      <details><summary className="muted">As it is sent</summary><pre className="code" tabIndex={0}>{JSON.stringify(specOf(draft, planned), null, 2)}</pre></details>
    </>
  );
}

export function NewExperimentPage() {
  useCrumb("New experiment");
  const [draft, setDraft] = useState<Draft>(EMPTY);
  const [step, setStep] = useState(0);
  const navigate = useNavigate();
  const client = useQueryClient();
  const refusal = useRefusal();
  const { say } = useSay();
  const set = (part: Partial<Draft>) => setDraft((old) => ({ ...old, ...part }));
  const wrong = wrongOf(draft);
  const plan = usePlan(draft, wrong);
  const create = useMutation({
    mutationFn: () => ok(api.POST("/api/v1/experiments", { body: specOf(draft, isPlanned(draft) ? plan.data?.n_per_variant : undefined) })),
    onSuccess: (experiment) => {
      void client.invalidateQueries({ queryKey: ["experiments"] });
      say(`${experiment.name} is a draft. Nobody is assigned before it starts.`);
      void navigate({ to: "/experiments/$id", params: { id: experiment.id } });
    },
  });
  const { margin, ...lasts } = wrong;
  const filled = [draft.name.trim() !== "" && draft.variants.every((variant) => variant.name !== ""), draft.metric !== "" && !margin, !Object.values(lasts).some(Boolean)];
  const missing = filled.indexOf(false);
  const ready = step < 3 ? filled[step] : missing < 0;
  return (
    <>
      <PageHead title="New experiment" lead="What is written here is fixed before the first user is assigned. That is what makes the result mean something." />
      <ol className="steps" aria-label="Steps">{STEPS.map((label, i) => <li key={label} aria-current={i === step ? "step" : undefined}><button type="button" className="hover-link" style={{ border: 0, background: "none", padding: 0, cursor: "pointer", color: "inherit", fontWeight: "inherit" }} onClick={() => setStep(i)}>{label}</button></li>)}</ol>
      <div className="grid wide-left">
        <Card label={STEPS[step] ?? ""}>
          <form
            className="stack loose"
            onSubmit={(event) => {
              event.preventDefault();
              if (step < 3) setStep(step + 1);
              else create.mutate();
            }}
          >
            {step === 3 && alike(draft) && <Callout tone="warn"><strong>{alike(draft)} the same prompt, version and model.</strong> llmops then only says who gets which variant: what differs is up to your application.</Callout>}
            {step === 0 ? <What draft={draft} set={set} /> : step === 1 ? <Measured draft={draft} set={set} wrong={wrong} /> : step === 2 ? <Duration draft={draft} set={set} wrong={wrong} /> : <Review draft={draft} planned={isPlanned(draft) ? plan.data?.n_per_variant : undefined} />}
            {create.isError && <Problem error={create.error} />}
            {step === 3 && missing >= 0 && <Callout tone="warn">Something is missing or cannot be read in “{STEPS[missing]}”.</Callout>}
            <div className="row">
              {step > 0 && <Button onClick={() => setStep(step - 1)}>Back</Button>}
              <Button kind="primary" type="submit" refused={step === 3 ? refusal("editor") : false} disabled={!ready || create.isPending}>{step < 3 ? "Next" : create.isPending ? "Creating…" : "Create as a draft"}</Button>
            </div>
          </form>
        </Card>
        <Power draft={draft} plan={plan} unread={Object.values(lasts).some(Boolean)} />
      </div>
    </>
  );
}

type Step = { draft: Draft; set: (part: Partial<Draft>) => void };
type Wrong = { wrong: ReturnType<typeof wrongOf> };

function What({ draft, set }: Step) {
  const change = (i: number, part: Partial<Draft["variants"][number]>) => set({ variants: draft.variants.map((variant, at) => (at === i ? { ...variant, ...part } : variant)) });
  return (
    <>
      <Field label="Name">{(props) => <input {...props} className="input" value={draft.name} onChange={(event) => set({ name: event.target.value })} placeholder="Shorter answers" autoFocus required />}</Field>
      <Field label="What is tested, and why">{(props) => <textarea {...props} className="textarea" style={{ fontFamily: "var(--sans)", fontSize: 13 }} rows={2} value={draft.description} onChange={(event) => set({ description: event.target.value })} />}</Field>
      {draft.variants.map((variant, i) => (
        <fieldset key={i} className="message" style={{ margin: 0, padding: 0 }}>
          <header><legend style={{ padding: 0 }}>{i === 0 ? "Control: what runs today" : `Variant ${i + 1}`}</legend><span className="grow" />{i > 1 && <Button kind="quiet" small icon="trash" aria-label="Remove the variant" onClick={() => set({ variants: draft.variants.filter((_, at) => at !== i) })} />}</header>
          <div className="grid two" style={{ padding: 12, whiteSpace: "normal" }}>
            <Field label="Name">{(props) => <input {...props} className="input" value={variant.name} onChange={(event) => change(i, { name: event.target.value })} required />}</Field>
            <ModelField label="Model" help="Where it differs" value={variant.model} set={(model) => change(i, { model })} />
            <PromptField label="Prompt" value={variant.prompt} set={(prompt) => change(i, { prompt, version: "" })} none="None, or what the deployment has" />
            <VersionField label="Prompt version" value={variant.version} set={(version) => change(i, { version })} prompt={variant.prompt} />
          </div>
        </fieldset>
      ))}
      {alike(draft) && <p className="muted">{alike(draft)} the same prompt, version and model so far: then llmops only says who gets which variant, and what differs is up to your application.</p>}
      <div><Button icon="plus" onClick={() => set({ variants: [...draft.variants, { name: `variant-${draft.variants.length + 1}`, prompt: "", version: "", model: "" }] })}>Another variant</Button></div>
    </>
  );
}

function Measured({ draft, set, wrong }: Step & Wrong) {
  return (
    <>
      <div className="grid two">
        <Field label="Metric that decides" help="The name that observations carry">{(props) => <input {...props} className="input" value={draft.metric} onChange={(event) => set({ metric: event.target.value })} required />}</Field>
        <Field label="Kind of number" help="It decides the test">
          {(props) => <select {...props} className="select" value={draft.kind} onChange={(event) => set({ kind: event.target.value as Schemas["MetricKind"] })}><option value="binary">Yes or no: solved, clicked</option><option value="continuous">Any number: a score</option><option value="count">A count: messages, retries</option><option value="ordinal">A rating</option><option value="latency">A duration</option><option value="cost">An amount of money</option></select>}
        </Field>
        <Field label="Better is">{(props) => <select {...props} className="select" value={draft.direction} onChange={(event) => set({ direction: event.target.value as Schemas["Direction"] })}><option value="higher">Higher</option><option value="lower">Lower</option></select>}</Field>
      </div>
      <div className="grid two">
        <Field label="Guardrail" help="A metric that may not become worse; absent: none">{(props) => <input {...props} className="input" value={draft.guardrail} onChange={(event) => set({ guardrail: event.target.value })} placeholder="error_rate" />}</Field>
        {draft.guardrail && <Field label="Worse by at most" help="As an amount of the metric" error={wrong.margin}>{(props) => <input {...props} className="input num" inputMode="decimal" value={draft.margin} onChange={(event) => set({ margin: event.target.value })} />}</Field>}
      </div>
    </>
  );
}

/** Such as these; they count for nothing. */
const SUCH: Partial<Record<keyof Draft, string>> = { baseline: "0.6", effect: "0.05", sd: "1", perDay: "200" };

function Duration({ draft, set, wrong }: Step & Wrong) {
  const input = (name: keyof Draft, label: string, help: string) => <Field label={label} help={help} error={wrong[name]}>{(props) => <input {...props} className="input num" inputMode="decimal" placeholder={SUCH[name]} value={draft[name] as string} onChange={(event) => set({ [name]: event.target.value })} />}</Field>;
  return (
    <div className="grid two">
      {draft.kind === "binary" ? input("baseline", "Rate of today", "Between 0 and 1") : input("sd", "Standard deviation", "Of the metric, between users")}
      {input("effect", "Smallest change worth finding", draft.kind === "binary" ? "0.05 is from 60 % to 65 %" : "In the unit of the metric")}
      {input("perDay", "Users a day", "All variants together")}
      {input("coverage", "Share of users that take part", "0 to 1; raising it later moves nobody")}
      {input("days", "Days at least", "Before a winner is named: whole weeks are fair")}
      {input("alpha", "Chance of a false conclusion", "0.05 is usual")}
    </div>
  );
}

/** Whether there is something to plan with: nothing is made up. */
const isPlanned = (draft: Draft): boolean => number(draft.effect) != null && number(draft.kind === "binary" ? draft.baseline : draft.sd) != null;

function usePlan(draft: Draft, { margin: _, ...wrong }: ReturnType<typeof wrongOf>) {
  const binary = draft.kind === "binary";
  const effect = number(draft.effect);
  const body = { effect: effect ?? 0, ...(binary ? { baseline: number(draft.baseline) } : { sd: number(draft.sd) }), alpha: number(draft.alpha), variants: draft.variants.length, ...(number(draft.perDay) ? { units_per_day: Math.round((number(draft.perDay) ?? 0) * (number(draft.coverage) ?? 1)) } : {}) };
  return useQuery({ queryKey: ["power", body], enabled: !Object.values(wrong).some(Boolean) && isPlanned(draft), queryFn: () => ok(api.POST("/api/v1/experiments/power", { body })), placeholderData: (old) => old, retry: false, staleTime: "static" });
}

function Power({ draft, plan, unread }: { draft: Draft; plan: ReturnType<typeof usePlan>; unread: boolean }) {
  const effect = number(draft.effect) ?? 0;
  return (
    <Card title="How many users it takes">
      <div className="stack loose" aria-live="polite">
        {unread ? <p className="muted">A number in “{STEPS[2]}” is missing or cannot be read.</p> : !isPlanned(draft) ? <p className="muted">{draft.kind === "binary" ? "Say the rate of today" : "Say the standard deviation"} and the smallest change worth finding in “{STEPS[2]}”, and the number of users stands here.</p> : plan.isError ? <Problem error={plan.error} /> : !plan.data ? <Skeleton height={120} /> : (
          <>
            <div className="stat" style={{ padding: 0, minHeight: 0 }}><span className="name">Users per variant</span><span className="value">{whole(plan.data.n_per_variant)}</span></div>
            <dl className="facts">
              <dt>{draft.variants.length === 2 ? "Both variants" : `All ${draft.variants.length} variants`}</dt><dd className="num">{whole(plan.data.n_total)}</dd>
              {plan.data.days != null && <><dt>Takes</dt><dd className="num">{plural(plan.data.days, "day")}</dd></>}
              <dt>Finds</dt><dd>{draft.kind === "binary" ? `a change from ${percent(number(draft.baseline))} to ${percent((number(draft.baseline) ?? 0) + effect)}` : `a difference of ${effect}`}, four times in five</dd>
            </dl>
            {plan.data.days != null && plan.data.days > 28 && <Callout tone="warn">More than four weeks: look for a larger change, or for a metric that varies less.</Callout>}
            <p className="faint">For one look at the end. Results here may be looked at any day and stay true; that takes more users than one look at the end does.{draft.variants.length > 2 && " Each variant is compared with the control; the chance of a false conclusion is shared by these comparisons."}</p>
          </>
        )}
      </div>
    </Card>
  );
}
