import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import type { Schemas } from "../api/client";
import { api, ok } from "../api/client";
import { Forest } from "../charts/forest";
import { moment, plural, score, sentence, words } from "../lib/format";
import { useRefusal } from "../session";
import { Ago, Badge, Button, Callout, Card, Empty, Field, Problem, Skeleton } from "../ui/base";
import type { Tone } from "../ui/base";
import { Dialog, useSay } from "../ui/layers";
import type { Experiment } from "./experiments";
import { targetOf } from "./experiments";
import { Variants, between, nameOf } from "./experiment-parts";

type Asked = Schemas["AskedQuestion"];

const STATUS: Record<Asked["status"], [Tone, string]> = { open: ["info", "Being answered"], answered: ["good", "Answered"], failed: ["bad", "Failed"] };

/** What results cannot tell, asked of the observations. */
export function Questions({ experiment }: { experiment: Experiment }) {
  const [asking, setAsking] = useState(false);
  const refusal = useRefusal();
  const path = { params: { path: { experiment: experiment.id } } };
  const asked = useQuery({
    queryKey: ["experiments", "questions", experiment.id],
    queryFn: () => ok(api.GET("/api/v1/experiments/{experiment}/questions", path)),
    refetchInterval: (query) => (query.state.data?.items.some((one) => one.status === "open") ? 1_500 : false),
  });
  const no = refusal("editor") || (experiment.status === "draft" && "Nothing was observed yet.");
  return (
    <>
      <Card title="Questions" aside={<Button small kind="primary" icon="plus" refused={no} onClick={() => setAsking(true)}>Ask</Button>} flush={asked.data?.items.length === 0}>
        {asked.isError ? <Problem error={asked.error} /> : !asked.data ? <Skeleton height={120} /> : asked.data.items.length === 0 ? (
          <Empty title="Nothing was asked yet" command={`llmops experiment ask ${experiment.key || experiment.id} --metric ${targetOf(experiment)} --from 2026-11-01`}>Another quantile of a latency, a stretch of time, a metric read in another way: asked here, and answered from the observations. An answer names no winner.</Empty>
        ) : <p className="muted">Asked after a look at the data, a question finds something by chance more often than its p-values say. So an answer names no winner: it is an idea for the next experiment.</p>}
      </Card>
      {asked.data?.items.map((one) => <Answer key={one.id} experiment={experiment} asked={one} />)}
      {asking && <Ask experiment={experiment} onClose={() => setAsking(false)} />}
    </>
  );
}

/** A question in words. */
function wordsOf({ question }: Asked): string {
  const metric = question.metrics?.[0];
  const parts = [
    metric ? `${words(metric.name)}${metric.kind && metric.quantile == null ? ` as ${metric.kind}` : ""}${metric.quantile != null ? `, the ${Math.round(metric.quantile * 100)} % quantile` : ""}` : question.target_metric ? words(question.target_metric) : "All metrics",
    question.from && `from ${moment(question.from)}`,
    question.to && `until ${moment(question.to)}`,
    question.segments?.length ? `by ${question.segments.map(words).join(", ")}` : "",
    Object.keys(question.where ?? {}).length > 0 && `where ${JSON.stringify(question.where)}`,
    question.test && `by ${question.test}`,
  ];
  return sentence(parts.filter(Boolean).join(", "));
}

function Answer({ experiment, asked }: { experiment: Experiment; asked: Asked }) {
  const [tone, text] = STATUS[asked.status];
  const { result } = asked;
  const metric = asked.question.metrics?.[0]?.name ?? result?.target_metric ?? targetOf(experiment);
  const of = result?.comparisons.filter((comparison) => comparison.metric === metric) ?? [];
  return (
    <section className="stack spaced" aria-label={wordsOf(asked)}>
      <div className="row wrap"><h2>{wordsOf(asked)}</h2><Badge tone={tone}>{text}</Badge><span className="faint small"><Ago time={asked.asked_at} />{asked.status === "answered" && ` · ${plural(asked.observations, "observation")} read`}</span></div>
      {asked.question.note && <p className="muted">{asked.question.note}</p>}
      {asked.error && <Callout tone="bad">{sentence(asked.error)}</Callout>}
      {result?.notices.map((notice) => <Callout key={notice} tone="plain">{notice}</Callout>)}
      {asked.status === "open" && <Skeleton height={120} />}
      {result && <Variants experiment={experiment} result={result} metric={metric} />}
      {result && <Card title={`Difference from ${nameOf(experiment, result.control)}`} aside={<span className="faint">{sentence(words(metric))}</span>}><Forest name={(id) => nameOf(experiment, id)} comparisons={of} segments={(result.segments ?? []).flatMap((slice) => slice.comparisons.filter((comparison) => comparison.metric === metric).map((comparison) => ({ ...comparison, slice: slice.name })))} show={of[0] ? between(of[0]) : score} /></Card>}
    </section>
  );
}

/** Midnight of a day as the reader's clock has it. */
const dayOf = (text: string): string | null => (text ? new Date(`${text}T00:00:00`).toISOString() : null);

function Ask({ experiment, onClose }: { experiment: Experiment; onClose: () => void }) {
  const metrics = experiment.metrics?.length ? experiment.metrics : [{ name: targetOf(experiment) }];
  const kept = experiment.analysis?.segments ?? [];
  const [name, setName] = useState(targetOf(experiment));
  const [quantile, setQuantile] = useState("");
  const [from, setFrom] = useState("");
  const [to, setTo] = useState("");
  const [segment, setSegment] = useState("");
  const [note, setNote] = useState("");
  const client = useQueryClient();
  const { say } = useSay();
  const metric = metrics.find((one) => one.name === name);
  const latency = metric && "kind" in metric && metric.kind === "latency";
  const share = Number(quantile) / 100;
  const wrong = latency && quantile !== "" && !(share > 0 && share < 1) ? "Between 0 and 100" : null;
  const ask = useMutation({
    mutationFn: () => ok(api.POST("/api/v1/experiments/{experiment}/questions", { params: { path: { experiment: experiment.id } }, body: { metrics: [{ name, ...(latency && quantile ? { kind: "latency", quantile: share } : {}) }], target_metric: name, from: dayOf(from), to: dayOf(to), segments: segment ? [segment] : [], note: note || null } })),
    onSuccess: () => {
      void client.invalidateQueries({ queryKey: ["experiments", "questions", experiment.id] });
      say("Asked. The answer comes below.");
      onClose();
    },
  });
  return (
    <Dialog title="Ask the observations" open onClose={onClose} footer={<><Button onClick={onClose}>Cancel</Button><Button kind="primary" disabled={ask.isPending || wrong !== null} onClick={() => ask.mutate()}>{ask.isPending ? "Asking…" : "Ask"}</Button></>}>
      {ask.isError && <Problem error={ask.error} />}
      <div className="grid two">
        <Field label="Metric">{(props) => <select {...props} className="select" value={name} onChange={(event) => setName(event.target.value)}>{metrics.map((one) => <option key={one.name} value={one.name}>{sentence(words(one.name))}</option>)}</select>}</Field>
        {latency && <Field label="Quantile, %" help="Absent: the mean" error={wrong}>{(props) => <input {...props} className="input num" inputMode="decimal" value={quantile} onChange={(event) => setQuantile(event.target.value)} placeholder="95" />}</Field>}
        <Field label="From" help="Absent: the start">{(props) => <input {...props} className="input" type="date" value={from} onChange={(event) => setFrom(event.target.value)} />}</Field>
        <Field label="Before" help="Absent: now">{(props) => <input {...props} className="input" type="date" value={to} onChange={(event) => setTo(event.target.value)} />}</Field>
        {kept.length > 0 && <Field label="Also by">{(props) => <select {...props} className="select" value={segment} onChange={(event) => setSegment(event.target.value)}><option value="">Nothing</option>{kept.map((one) => <option key={one} value={one}>{words(one)}</option>)}</select>}</Field>}
      </div>
      <Field label="Why it is asked" help="For those who read the answer">{(props) => <input {...props} className="input" value={note} onChange={(event) => setNote(event.target.value)} />}</Field>
    </Dialog>
  );
}
