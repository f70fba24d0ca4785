import { useInfiniteQuery, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import type { Schemas } from "../api/client";
import { api, ok } from "../api/client";
import type { Place } from "../api/open";
import { took } from "../lib/format";
import { useRefusal } from "../session";
import { Ago, Badge, Button, Callout, Card, Empty, Long, Field, Problem } from "../ui/base";
import { Dialog, useSay } from "../ui/layers";
import type { Column } from "../ui/table";
import { ListFoot, Table } from "../ui/table";

type Incident = Schemas["Incident"];

/** What an incident is called where nobody named it. */
export const titleOf = (incident: Incident): string => incident.title ?? `Incident on ${incident.deployment}`;

export function IncidentState({ of }: { of: Incident }) {
  return of.closed_at ? <Badge tone="good">Closed</Badge> : <Badge tone="bad">Open</Badge>;
}

const TAKEN = { rollback: "Rolled back", safe_mode: "Safe mode", experiment_paused: "Experiment paused", canary_aborted: "Canary aborted", canary_paused: "Canary paused" };

/** What was done at once. */
export function Measures({ of }: { of: Incident }) {
  if (!of.measures?.length) return <span className="faint">nothing</span>;
  return <span className="row wrap tight">{of.measures.map((one) => <Badge key={one.measure} tone="warn">{TAKEN[one.measure]}</Badge>)}</span>;
}

/** All incidents, or those of a deployment. */
export function Incidents({ deployment, environment }: Place) {
  const refusal = useRefusal();
  const [opening, setOpening] = useState(false);
  const incidents = useInfiniteQuery({
    queryKey: ["incidents", "list", deployment, environment],
    initialPageParam: undefined as string | undefined,
    queryFn: ({ pageParam }) => ok(api.GET("/api/v1/incidents", { params: { query: { deployment, environment, limit: 100, cursor: pageParam } } })),
    getNextPageParam: (last) => last.next_cursor ?? undefined,
  });
  const rows = incidents.data?.pages.flatMap((page) => page.items);
  // A deployment that never had one needs no empty list of them.
  if (deployment && !rows?.length) return null;
  const columns: Column<Incident>[] = [
    { head: "Incident", cell: (one) => <Link className="cover wrap-any" to="/incidents/$id" params={{ id: one.id }}>{titleOf(one)}</Link> },
    { head: "State", cell: (one) => <IncidentState of={one} /> },
    ...(deployment ? [] : [{ head: "Deployment", cell: (one: Incident) => <span className="row tight names less"><Long>{one.deployment}</Long><Badge>{one.environment}</Badge></span> }]),
    { head: "Done at once", wide: true, cell: (one) => <Measures of={one} /> },
    { head: "Lasted", right: true, wide: true, cell: (one) => (one.closed_at ? took(one.opened_at, one.closed_at) : <span className="faint">still open</span>) },
    { head: "Opened", right: true, cell: (one) => <><Ago time={one.opened_at} /><div className="faint tiny">{one.opened_by}</div></> },
  ];
  return (
    <Card title="Incidents" flush aside={!deployment && <Button small kind="danger" icon="warning" refused={refusal("operator")} onClick={() => setOpening(true)}>Open an incident</Button>}>
      <Table label="Incidents" columns={columns} rows={rows} id={(one) => one.id} error={incidents.error} expected={3} retry={() => void incidents.refetch()} empty={<Empty title="No incident so far" command={'llmops incident open support-bot --title "wrong prices" --rollback'}>When something is wrong with a deployment, open one: nothing is promoted there until it is closed, and what answered before, or a fixed answer, can take over at once. Closing it writes the draft of a post-mortem.</Empty>} />
      {rows && rows.length > 0 && <ListFoot shown={rows.length} more={incidents.hasNextPage} loading={incidents.isFetchingNextPage} onMore={() => void incidents.fetchNextPage()} what={rows.length === 1 ? "incident" : "incidents"} />}
      {opening && <OpenIncident onClose={() => setOpening(false)} />}
    </Card>
  );
}

const MEASURES = [
  ["none", "Only stop promotions", "What answers now goes on answering."],
  ["rollback", "Roll back", "The manifest before this one answers within a second, on every replica."],
  ["safe_mode", "Safe mode", "No model is called. Every call gets one fixed answer."],
] as const;

/** Freezes a deployment and, where told so, answers safely at once. */
export function OpenIncident({ of, onClose }: { of?: { name: string; environment: string; safe_mode?: boolean } | undefined; onClose: () => void }) {
  const [place, setPlace] = useState(of ? `${of.name}@${of.environment}` : "");
  const [title, setTitle] = useState("");
  const [measure, setMeasure] = useState<(typeof MEASURES)[number][0]>("none");
  const [answer, setAnswer] = useState("We are having a problem. Please try again later.");
  const deployments = useQuery({ queryKey: ["deployments"], enabled: !of, queryFn: () => ok(api.GET("/api/v1/deployments", { params: { query: { limit: 200 } } })) });
  const client = useQueryClient();
  const navigate = useNavigate();
  const { say } = useSay();
  const chosen = place || (deployments.data?.items[0] ? `${deployments.data.items[0].name}@${deployments.data.items[0].environment}` : "");
  const cut = chosen.lastIndexOf("@");
  const open = useMutation({
    mutationFn: () => ok(api.POST("/api/v1/incidents", { body: { deployment: chosen.slice(0, cut), environment: chosen.slice(cut + 1), title: title || null, rollback: measure === "rollback", safe_mode: measure === "safe_mode", ...(measure === "safe_mode" && answer ? { answer } : {}) } })),
    onSuccess: ({ incident, failed, notices }) => {
      for (const key of ["incidents", "deployments", "overview"]) void client.invalidateQueries({ queryKey: [key] });
      if (failed?.length) say("The incident is open, but not all was done", "bad", failed.join("; "));
      else if (notices?.length) say("The incident is open. Nothing is promoted until it is closed.", "warn", notices.join("; "));
      else say("The incident is open. Nothing is promoted until it is closed.");
      void navigate({ to: "/incidents/$id", params: { id: incident.id } });
    },
  });
  return (
    <Dialog title={of ? `Open an incident on ${of.name}` : "Open an incident"} open onClose={onClose} footer={<><Button onClick={onClose}>Cancel</Button><Button kind="danger primary" disabled={open.isPending || !chosen} onClick={() => open.mutate()}>{open.isPending ? "Opening…" : "Open the incident"}</Button></>}>
      {open.isError && <Problem error={open.error} />}
      {!of && deployments.data?.items.length === 0 && <Callout tone="warn">Nothing is deployed: there is nothing that an incident could be about.</Callout>}
      <Field label="What is wrong" help="One sentence. It becomes the title of the post-mortem">{(props) => <input {...props} className="input" value={title} onChange={(event) => setTitle(event.target.value)} placeholder="Wrong prices in answers" />}</Field>
      {!of && <Field label="Deployment">{(props) => <select {...props} className="select" value={chosen} onChange={(event) => setPlace(event.target.value)}>{deployments.data?.items.map((one) => <option key={`${one.name}@${one.environment}`} value={`${one.name}@${one.environment}`}>{one.name} in {one.environment}</option>)}</select>}</Field>}
      <fieldset className="choices">
        <legend className="label">At once</legend>
        {MEASURES.map(([key, label, help]) => (
          <label key={key}><input type="radio" name="measure" checked={measure === key} onChange={() => setMeasure(key)} /><span><strong>{label}</strong><span className="muted small">{help}</span></span></label>
        ))}
      </fieldset>
      {measure === "safe_mode" && <Field label="Answer" help="Where the deployment has none prepared">{(props) => <textarea {...props} className="textarea" rows={2} value={answer} onChange={(event) => setAnswer(event.target.value)} />}</Field>}
      <Callout tone="plain">While it is open, no other manifest is deployed there, by nobody and no policy. Rollback and safe mode stay free.</Callout>
    </Dialog>
  );
}
