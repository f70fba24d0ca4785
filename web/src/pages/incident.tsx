import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, getRouteApi } from "@tanstack/react-router";
import { useState } from "react";
import type { Schemas } from "../api/client";
import { api, ok } from "../api/client";
import { compact, percent, plural, range, sentence, short, took, words } from "../lib/format";
import { useRefusal } from "../session";
import { Ago, Button, Callout, Card, Coming, Copy, Dot, Empty, Field, PageHead, Skeleton } from "../ui/base";
import type { Tone } from "../ui/base";
import { useCrumb } from "../ui/crumb";
import { Icon } from "../ui/icons";
import { Confirm, useSay } from "../ui/layers";
import { Markdown } from "../ui/markdown";
import { Hash, Unread } from "../ui/parts";
import { IncidentState, titleOf } from "./incidents";

const route = getRouteApi("/incidents/$id");
type Incident = Schemas["Incident"];
type Timeline = Schemas["Timeline"];

const KINDS: Record<Schemas["TimelineKind"], [Tone, string, string]> = {
  change: ["info", "Change", "Changes"],
  alert: ["warn", "Alert", "Alerts"],
  calls: ["plain", "Calls", "Calls"],
  feedback: ["bad", "Complaint", "Complaints"],
  note: ["accent", "Note", "Notes"],
};

export function IncidentPage() {
  const { id } = route.useParams();
  const timeline = useQuery({ queryKey: ["incidents", id, "timeline"], queryFn: () => ok(api.GET("/api/v1/incidents/{incident}/timeline", { params: { path: { incident: id } } })), refetchInterval: (query) => (query.state.data?.incident.closed_at ? false : 30_000) });
  const incident = timeline.data?.incident;
  useCrumb(incident && titleOf(incident));
  if (timeline.isError && !timeline.data) return <Unread what="incident" error={timeline.error} retry={timeline.refetch} to="/deployments" list="To the deployments" />;
  return (
    <>
      <PageHead
        title={incident ? titleOf(incident) : <Skeleton width={260} height={20} />}
        badge={incident && <IncidentState of={incident} />}
        lead={incident ? <><Link className="hover-link" to="/deployments/$name" params={{ name: incident.deployment }} search={{ environment: incident.environment }}>{incident.deployment}</Link> in {incident.environment} · opened <Ago time={incident.opened_at} /> by {incident.opened_by}{incident.closed_at && <> · closed by {incident.closed_by} after {took(incident.opened_at, incident.closed_at)}</>}</> : <Skeleton width={320} />}
      >
        {incident ? !incident.closed_at && <Close incident={incident} /> : <Coming />}
      </PageHead>
      {incident && <Standing incident={incident} />}
      <Impact data={timeline.data} />
      {!timeline.data ? <Skeleton height={420} /> : timeline.data.incident.closed_at ? (
        <div className="grid two">
          <PostMortem incident={timeline.data.incident} />
          <Entries data={timeline.data} />
        </div>
      ) : (
        <div className="grid wide-left">
          <Entries data={timeline.data} />
          <Facts incident={timeline.data.incident} />
        </div>
      )}
    </>
  );
}

/** What holds now, and what is to be done about it. */
function Standing({ incident }: { incident: Incident }) {
  const { deployment, environment } = incident;
  const now = useQuery({ queryKey: ["deployments", deployment, environment], retry: false, queryFn: () => ok(api.GET("/api/v1/deployments/{name}", { params: { path: { name: deployment }, query: { environment } } })) });
  const safe = now.data?.safe_mode;
  const place = <Link className="hover-link" to="/deployments/$name" params={{ name: deployment }} search={{ environment }}>{deployment}</Link>;
  if (incident.closed_at) return safe ? <Callout tone="warn"><strong>Safe mode is still on.</strong> Closing the incident did not end it: every call to {place} gets the fixed answer.</Callout> : null;
  return (
    <Callout tone="bad">
      <strong>Nothing is promoted to {place} in {environment} until this is closed.</strong>{" "}
      {safe ? "Safe mode is on: no model is called." : incident.measures?.length ? "" : "Nothing was done at once: what answered then still answers. Roll back or switch safe mode on from the deployment’s page."}
    </Callout>
  );
}

function Impact({ data }: { data: Timeline | undefined }) {
  const impact = data?.impact;
  const share = (name: string, estimate: Schemas["Estimate"] | null | undefined) => (
    <div className="card stat"><span className="name">{name}</span><span className="value">{impact ? percent(estimate?.value) : <Skeleton width={70} height={22} />}</span><span className="note">{estimate ? `${range(estimate.lower, estimate.upper, percent)} · n ${compact(estimate.n)}` : "–"}</span></div>
  );
  return (
    <div className="grid cards">
      <div className="card stat"><span className="name">Calls</span><span className="value">{impact ? compact(impact.calls) : <Skeleton width={70} height={22} />}</span><span className="note">{data && `since ${short(data.from)}, a day before${impact?.refused ? ` · ${compact(impact.refused)} refused` : ""}`}</span></div>
      {share("Failed", impact?.failed)}
      {share("Soft failures", impact?.soft_failed)}
      <div className="card stat"><span className="name">Complaints</span><span className="value">{impact ? compact(impact.complaints) : <Skeleton width={70} height={22} />}</span><span className="note">answers that users found bad</span></div>
    </div>
  );
}

/** An entry in words: `prompt.created NAME` is how the record of changes says it. */
const toldOf = ({ kind, text }: Schemas["TimelineEntry"]): string => (kind === "alert" ? words(text) : kind === "change" ? text.replace(/^([a-z_]+)\.([a-z_]+) /, (_, thing: string, done: string) => `${words(thing)} ${words(done)}: `) : text.replace("in this hour ", "in this hour: "));

/** The answer that somebody complained of is a link to its record. */
function Told({ of }: { of: Schemas["TimelineEntry"] }) {
  const text = sentence(toldOf(of));
  const [, before, record, after] = /^(.*?)the answer to (req_[0-9A-Za-z]+)(.*)$/s.exec(text) ?? [];
  if (of.kind !== "feedback" || !record) return <>{text}</>;
  return <>{before}<Link className="link inline" to="/traffic" search={{ record }}>an answer</Link>{after}</>;
}

function Entries({ data }: { data: Timeline }) {
  const { show } = route.useSearch();
  const navigate = route.useNavigate();
  const kinds = [...new Set(data.entries.map((entry) => entry.kind))].sort((a, b) => Object.keys(KINDS).indexOf(a) - Object.keys(KINDS).indexOf(b));
  const kept = data.entries.filter((entry) => !show || entry.kind === show);
  // While one looks into it, what is new stands first; afterwards it is read from the beginning.
  const open = !data.incident.closed_at;
  const rows = open ? [...kept].reverse() : kept;
  return (
    <Card title="Timeline" flush aside={<span className="faint num">{plural(rows.length, "entry", "entries")}, {open ? "newest" : "oldest"} first</span>}>
      {kinds.length > 1 && <div className="card-filter"><span className="segmented" role="group" aria-label="Kind">{[undefined, ...kinds].map((kind) => <button key={kind ?? "all"} type="button" aria-pressed={show === kind} onClick={() => void navigate({ search: { show: kind }, replace: true })}>{kind ? KINDS[kind][2] : "All"}</button>)}</span></div>}
      {open && <Note incident={data.incident} />}
      {rows.length === 0 ? <Empty title="Nothing happened yet">Changes, alerts, calls by the hour, complaints and notes stand here, from a day before the incident on.</Empty> : (
        <ol className="feed scroll" tabIndex={0} aria-label="Timeline">
          {rows.map((entry, i) => (
            <li key={i}>
              <Dot tone={KINDS[entry.kind][0]} />
              <div className="grow"><div className="wrap-any"><Told of={entry} /></div><div className="faint small">{KINDS[entry.kind][1]}{entry.by && ` · ${entry.by}`}</div></div>
              <time dateTime={entry.at} className="num">{short(entry.at)}</time>
            </li>
          ))}
        </ol>
      )}
    </Card>
  );
}

/** Writes something down while one looks into it. */
function Note({ incident }: { incident: Incident }) {
  const [text, setText] = useState("");
  const refusal = useRefusal();
  const client = useQueryClient();
  const { say, refused } = useSay();
  const note = useMutation({
    mutationFn: () => ok(api.POST("/api/v1/incidents/{incident}/notes", { params: { path: { incident: incident.id } }, body: { text } })),
    onSuccess: () => {
      setText("");
      void client.invalidateQueries({ queryKey: ["incidents"] });
      say("Written down.");
    },
    onError: refused,
  });
  const no = refusal("operator");
  return (
    <form
      className="card-filter row"
      onSubmit={(event) => {
        event.preventDefault();
        if (!no && text.trim()) note.mutate();
      }}
    >
      <input className="input" aria-label="Note" placeholder={no ? "Notes need the role operator" : "What did you find out?"} disabled={Boolean(no)} value={text} onChange={(event) => setText(event.target.value)} />
      <Button type="submit" refused={no} disabled={note.isPending || !text.trim()}>Add note</Button>
    </form>
  );
}

function Facts({ incident }: { incident: Incident }) {
  return (
    <Card title="Facts">
      <dl className="facts">
        <dt>Id</dt><dd className="mono">{incident.id} <Copy text={incident.id} /></dd>
        <dt>Done at once</dt>
        <dd>{incident.measures?.length ? incident.measures.map((one) => (one.measure === "rollback" ? <div key="rollback">Rolled back from <Hash of={one.from} /> to <Hash of={one.to} /></div> : one.measure === "experiment_paused" ? <div key="experiment">The experiment {one.experiment} of a release was paused</div> : one.measure === "canary_aborted" || one.measure === "canary_paused" ? <div key="canary">The canary {one.canary}, whose candidate users saw, was {one.measure === "canary_aborted" ? "aborted" : "paused"}</div> : <div key="safe">Safe mode was switched on</div>)) : <span className="faint">nothing</span>}</dd>
        {incident.closed_at && <><dt>Resolution</dt><dd>{incident.resolution ?? <span className="faint">not written down</span>}</dd><dt>Inputs that failed</dt><dd>{incident.dataset ? <Link className="link" to="/datasets/$name" params={{ name: incident.dataset }}>{incident.dataset}</Link> : <span className="faint">no text of a failing call was kept</span>}</dd></>}
      </dl>
    </Card>
  );
}

function PostMortem({ incident }: { incident: Incident }) {
  const text = incident.post_mortem;
  return (
    <div className="stack spaced">
      <Facts incident={incident} />
      <Card title="Post-mortem" aside={text && <><Copy text={text} label="Copy as Markdown" /><a className="btn small" href={`data:text/markdown;charset=utf-8,${encodeURIComponent(text)}`} download={`post-mortem-${incident.deployment}.md`}><Icon name="download" size={14} />Markdown</a></>}>
        {text ? <Markdown text={text.replace(/\n## Timeline\n[\s\S]*?(?=\n## |$)/, "\n")} /> : <p className="muted">No draft was kept with it.</p>}
      </Card>
    </div>
  );
}

function Close({ incident }: { incident: Incident }) {
  const [open, setOpen] = useState(false);
  const [resolution, setResolution] = useState("");
  const [dataset, setDataset] = useState("");
  const refusal = useRefusal();
  const client = useQueryClient();
  const { say, refused } = useSay();
  const close = useMutation({
    mutationFn: () => ok(api.POST("/api/v1/incidents/{incident}/close", { params: { path: { incident: incident.id } }, body: { resolution: resolution || null, dataset: dataset || null } })),
    onSuccess: (closed) => {
      setOpen(false);
      for (const key of ["incidents", "deployments", "overview", "datasets"]) void client.invalidateQueries({ queryKey: [key] });
      const inputs = closed.samples > 0 ? `${plural(closed.samples, "input")} that failed ${closed.samples === 1 ? "is" : "are"} in ${closed.timeline.incident.dataset}; the right answer is known of ${closed.with_answer}.` : "No text of a failing call was kept, so there is no dataset.";
      say("The incident is closed. The draft of its post-mortem is below.", closed.safe_mode ? "warn" : "good", closed.safe_mode ? `${inputs} Safe mode is still on.` : inputs);
    },
    onError: refused,
  });
  return (
    <>
      <Button kind="primary" refused={refusal("operator")} onClick={() => setOpen(true)}>Close the incident</Button>
      <Confirm title="Close the incident?" open={open} onClose={() => setOpen(false)} onConfirm={() => close.mutate()} action="Close it" busy={close.isPending}>
        <p>{incident.deployment} in {incident.environment} may be promoted to again. The draft of a post-mortem is written, and the inputs of calls that failed become a regression dataset. Safe mode stays as it is.</p>
        <Field label="How it was resolved">{(props) => <textarea {...props} className="textarea" style={{ fontFamily: "var(--sans)", fontSize: 13 }} rows={2} value={resolution} onChange={(event) => setResolution(event.target.value)} placeholder="Rolled back; the rule is in the prompt again" />}</Field>
        <Field label="Dataset" help="Absent: one named after the incident">{(props) => <input {...props} className="input" value={dataset} onChange={(event) => setDataset(event.target.value)} placeholder={words(incident.id).replaceAll(" ", "-")} />}</Field>
      </Confirm>
    </>
  );
}
