import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import type { Schemas } from "../api/client";
import { api, ok } from "../api/client";
import { again } from "../lib/again";
import { short } from "../lib/format";
import { Button, Callout, Field, Problem } from "../ui/base";
import { Dialog, useSay } from "../ui/layers";

type Kind = "run" | "rehearsal" | "feedback_report";

const KINDS: [Kind, string, string][] = [
  ["run", "An evaluation", "As an earlier run, with the active prompt and the newest samples."],
  ["rehearsal", "A rehearsal of a rollback", "Whether earlier manifests could take over. One that could not raises an alert."],
  ["feedback_report", "The report on feedback", "Sent to a channel."],
];

const TIMES = [["0 3 * * *", "Every night at 3"], ["0 * * * *", "Every hour"], ["0 8 * * 1", "Mondays at 8"], ["", "Another time"]] as const;

export function NewSchedule({ onClose }: { onClose: () => void }) {
  const [kind, setKind] = useState<Kind>("run");
  const [name, setName] = useState("");
  const [time, setTime] = useState<string>(TIMES[0][0]);
  const [cron, setCron] = useState("30 6 * * 1-5");
  const [which, setWhich] = useState("");
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const runs = useQuery({ queryKey: ["runs", "to repeat"], enabled: kind === "run", queryFn: () => ok(api.GET("/api/v1/runs", { params: { query: { status: "completed", limit: 50 } } })) });
  const deployments = useQuery({ queryKey: ["deployments"], enabled: kind === "rehearsal", queryFn: () => ok(api.GET("/api/v1/deployments", { params: { query: { limit: 200 } } })) });
  const channels = useQuery({ queryKey: ["channels"], enabled: kind === "feedback_report", queryFn: () => ok(api.GET("/api/v1/channels")) });
  const options: [string, string][] =
    kind === "run" ? (runs.data?.items ?? []).map((run) => [run.id, `${run.name}, ${short(run.created_at)}`])
    : kind === "rehearsal" ? (deployments.data?.items ?? []).map((one) => [`${one.name}@${one.environment}`, `${one.name} in ${one.environment}`])
    : (channels.data?.items ?? []).map((one) => [one.name, one.name]);
  const chosen = options.some(([key]) => key === which) ? which : (options[0]?.[0] ?? "");
  const client = useQueryClient();
  const { say } = useSay();
  const make = useMutation({
    mutationFn: () => {
      const run = runs.data?.items.find((one) => one.id === chosen);
      const [deployment = "", environment = ""] = chosen.split("@");
      const what: Partial<Schemas["ScheduleSpec"]> = kind === "run" ? (run ? { run: again(run) } : {}) : { task: kind === "rehearsal" ? { kind, deployment, environment } : { kind, channel: chosen } };
      return ok(api.POST("/api/v1/schedules", { body: { name, cron: time || cron, timezone: zone, ...what } }));
    },
    onSuccess: () => {
      void client.invalidateQueries({ queryKey: ["schedules"] });
      say(`${name} is scheduled.`);
      onClose();
    },
  });
  return (
    <Dialog title="New schedule" open onClose={onClose} footer={<><Button onClick={onClose}>Cancel</Button><Button kind="primary" disabled={make.isPending || !name.trim() || !chosen} onClick={() => make.mutate()}>{make.isPending ? "Making…" : "Create"}</Button></>}>
      {make.isError && <Problem error={make.error} />}
      <Field label="Name" help="A schedule of this name is replaced">{(props) => <input {...props} className="input" value={name} onChange={(event) => setName(event.target.value)} placeholder="nightly" />}</Field>
      <fieldset className="choices">
        <legend className="label">What</legend>
        {KINDS.map(([key, label, help]) => <label key={key}><input type="radio" name="kind" checked={kind === key} onChange={() => setKind(key)} /><span><strong>{label}</strong><span className="muted small">{help}</span></span></label>)}
      </fieldset>
      {options.length === 0 && kind === "feedback_report" && channels.data ? <Callout tone="warn">No channel is configured: name one under <code>channels</code> in llmops.yaml.</Callout> : <Field label={kind === "run" ? "Like this run" : kind === "rehearsal" ? "Deployment" : "Channel"}>{(props) => <select {...props} className="select" value={chosen} onChange={(event) => setWhich(event.target.value)}>{options.map(([key, label]) => <option key={key} value={key}>{label}</option>)}</select>}</Field>}
      <div className="grid two">
        <Field label="When" help={`In the time zone ${zone}`}>{(props) => <select {...props} className="select" value={time} onChange={(event) => setTime(event.target.value)}>{TIMES.map(([key, label]) => <option key={key} value={key}>{label}</option>)}</select>}</Field>
        {time === "" && <Field label="Cron" help="Minute, hour, day, month, weekday">{(props) => <input {...props} className="input mono" value={cron} onChange={(event) => setCron(event.target.value)} />}</Field>}
      </div>
    </Dialog>
  );
}
