import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, getRouteApi, useNavigate } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { useState } from "react";
import type { Run, Schemas } from "../api/client";
import { api, ok } from "../api/client";
import { exactly } from "../lib/again";
import { sentence, short } from "../lib/format";
import { isOwn, useRefusal, useSession } from "../session";
import { Ago, Badge, Button, Callout, Card, Coming, Dot, Field, PageHead, Skeleton } from "../ui/base";
import type { Tone } from "../ui/base";
import { forPage } from "../lib/told";
import { useCrumb } from "../ui/crumb";
import { Icon } from "../ui/icons";
import { Confirm, useSay } from "../ui/layers";
import { ManifestDiff, ManifestLine, manifestQuery } from "../ui/manifest";
import { Unread } from "../ui/parts";
import type { Release, Step } from "./releases";
import { ReleaseState, STEPS } from "./releases";

const route = getRouteApi("/releases/$id");
type Happened = Schemas["ReleaseEvent"];
type Kind = Schemas["ReleaseEventKind"];

const NEEDS: Record<Step, string> = {
  gate: "A run of exactly this manifest passed its gate lately.",
  staging: "It answers in staging, and its calls there do well.",
  experiment: "A tenth of the users get it, and the experiment names it the winner.",
  approval: "A person allows it.",
  production: "It answers everybody.",
};

export function ReleasePage() {
  const { id } = route.useParams();
  const { diff } = route.useSearch();
  const navigate = route.useNavigate();
  const found = useQuery({ queryKey: ["releases", id], queryFn: () => ok(api.GET("/api/v1/releases/{deployment}", { params: { path: { deployment: id } } })) });
  const release = found.data;
  const live = useQuery({ queryKey: ["deployments", release?.deployment, "production"], enabled: Boolean(release), retry: false, queryFn: () => ok(api.GET("/api/v1/deployments/{name}", { params: { path: { name: release?.deployment ?? "" }, query: { environment: "production" } } })) });
  useCrumb(release && `Release of ${release.deployment}`);
  if (found.isError && !release) return <Unread what="release" error={found.error} retry={found.refetch} to="/deployments" list="To the deployments" />;
  const differs = release && live.data && live.data.manifest !== release.manifest;
  return (
    <>
      <PageHead
        title={release ? `Release of ${release.deployment}` : <Skeleton width={240} height={20} />}
        badge={release && <ReleaseState of={release} />}
        lead={release ? <>{release.label} · begun <Ago time={release.created_at} /> by {release.created_by}{release.approved_by && <>, approved by {release.approved_by}</>}</> : <Skeleton width={300} />}
      >
        {release ? release.status === "open" && <Actions release={release} secondKey={live.data?.settings?.require_approval === true} /> : <Coming />}
      </PageHead>
      {release && <Standing release={release} />}
      {!release ? <Skeleton height={150} /> : <Steps release={release} />}
      {!release ? <div className="card versus"><Coming rows={2} /></div> : (
        <div className="card versus">
          <span className="row wrap"><span className="label">This release</span><ManifestLine hash={release.manifest} /></span>
          {live.data && <span className="row wrap"><span className="label">Live</span>{differs ? <ManifestLine hash={live.data.manifest} /> : <span className="muted">the same</span>}</span>}
          {differs && <Link className="link" to="/releases/$id" params={{ id }} search={{ diff: "manifests" }} replace>What differs</Link>}
        </div>
      )}
      {!release ? <Skeleton height={220} /> : <History release={release} />}
      {differs && diff && <ManifestDiff title="From what is live to the release" from={live.data.manifest} to={release.manifest} onClose={() => void navigate({ search: { diff: undefined }, replace: true })} />}
    </>
  );
}

/** A text of the server, with its commands as such, and the run that it names as a link. */
function Waits({ text }: { text: string }) {
  return (
    <>
      {text.split(/(llmops [a-z]+(?: [a-z-]+)*(?: --[a-z-]+(?: [a-z]+)?)*|[Tt]he run run_[0-9A-Za-z]+)/g).map((part, i): ReactNode => {
        if (i % 2 === 0) return part;
        if (!part.slice(1).startsWith("he run ")) return <code key={i}>{part}</code>;
        return <Link key={i} className="link inline" to="/runs/$run" params={{ run: part.slice(8) }} search={{ tab: "gate" }}>{part.slice(0, 7)}</Link>;
      })}
    </>
  );
}

function Standing({ release }: { release: Release }) {
  if (release.status === "released") return <Callout tone="good"><strong>It answers everybody.</strong> Its passing run is the baseline of the next gate.</Callout>;
  if (release.status === "cancelled") return <Callout tone="plain"><strong>It was cancelled at the step {release.step}.</strong> What was live stayed live.</Callout>;
  return (
    <Callout tone={release.step === "approval" ? "warn" : "info"}>
      {release.step === "approval" ? <><strong>{sentence(awaited(release.waiting ?? "a person has to allow it"))}.</strong> Approving it points production to it.</> : <><strong>It waits at the step {release.step}.</strong> {release.waiting && <span><Waits text={sentence(awaited(release.waiting))} />.</span>}</>}
    </Callout>
  );
}

const HAPPENED: Record<Kind, [Tone, string]> = {
  begun: ["plain", "the release was begun"],
  waits: ["info", "waits"],
  passed: ["good", "passed"],
  waived: ["warn", "skipped"],
  approved: ["good", "approved"],
  stopped: ["bad", "taken away from users"],
  cancelled: ["bad", "cancelled"],
  noted: ["plain", ""],
};

/** Why a step passed: because a person said so, or by its evidence. */
const passedBy = ({ history }: Release, step: Step): Happened | undefined => (["waived", "passed"] as Kind[]).flatMap((kind) => history.filter((event) => event.step === step && event.kind === kind))[0];

/** What is waited for, without the commands that stand as buttons here. */
const awaited = (text: string): string => forPage(text) || text;

function Steps({ release }: { release: Release }) {
  const at = release.status === "released" ? STEPS.length : STEPS.indexOf(release.step);
  return (
    <ol className="stages" aria-label="Steps">
      {STEPS.map((step, i) => {
        const passed = i < at ? passedBy(release, step) : null;
        const [state, tone]: [string, Tone] = i < at ? [passed?.kind === "waived" ? "Skipped" : "Passed", passed?.kind === "waived" ? "warn" : "good"] : i > at ? ["To come", "plain"] : release.status === "open" ? ["Now", "info"] : ["Cancelled here", "bad"];
        return (
          <li key={step} className="card" aria-current={i === at && release.status === "open" ? "step" : undefined} data-state={i < at ? "done" : i === at ? "now" : "open"}>
            <div className="row between"><h2>{sentence(step)}</h2><Badge tone={tone}>{state}</Badge></div>
            <p className="muted small">{passed ? <Waits text={`${sentence(passed.text)}.`} /> : NEEDS[step]}</p>
            {step === "staging" && release.canary && <Link className="link small" to="/canaries/$id" params={{ id: release.canary }}>The canary</Link>}
            {step === "experiment" && release.experiment && <Link className="link small" to="/experiments/$id" params={{ id: release.experiment }}>The experiment</Link>}
          </li>
        );
      })}
    </ol>
  );
}

function History({ release }: { release: Release }) {
  const events = [...release.history].reverse();
  const told = ({ kind = "noted", text }: Happened) => sentence([HAPPENED[kind][1], awaited(text)].filter(Boolean).join(": "));
  return (
    <Card title="What happened" flush>
      <ul className="feed scroll" tabIndex={0} aria-label="What happened">
        {events.map((event, i) => (
          <li key={i}>
            <Dot tone={HAPPENED[event.kind ?? "noted"][0]} />
            <div className="grow"><div className="wrap-any"><Waits text={told(event)} /></div><div className="faint small">{sentence(event.step)} · {event.by}</div></div>
            <time dateTime={event.at} className="num">{short(event.at)}</time>
          </li>
        ))}
      </ul>
    </Card>
  );
}

/** A run of exactly what is released, made like the newest run of its prompt; its gate is asked on its page. */
function Evaluate({ release }: { release: Release }) {
  const refusal = useRefusal();
  const client = useQueryClient();
  const navigate = useNavigate();
  const { say, refused } = useSay();
  const manifest = useQuery(manifestQuery(release.manifest));
  const prompt = manifest.data?.prompt ?? undefined;
  const newest = useQuery({ queryKey: ["runs", { prompt }, "newest"], enabled: Boolean(manifest.data), queryFn: () => ok(api.GET("/api/v1/runs", { params: { query: { prompt, status: "completed", limit: 1 } } })) });
  const like = newest.data?.items[0];
  const evaluate = useMutation({
    mutationFn: (run: Run) => ok(api.POST("/api/v1/runs", { body: exactly(run, release.manifest) })),
    onSuccess: (run) => {
      void client.invalidateQueries({ queryKey: ["runs"] });
      say("The run has begun. Ask its gate when it is done, then check the release again.");
      void navigate({ to: "/runs/$run", params: { run: run.id }, search: { tab: "gate" } });
    },
    onError: refused,
  });
  return <Button icon="runs" refused={refusal("editor") || (!like && "There is no run of this prompt to go by: start the first one under Runs.")} disabled={evaluate.isPending} onClick={() => like && evaluate.mutate(like)}>{evaluate.isPending ? "Starting…" : "Evaluate it"}</Button>;
}

type Asked = "approve" | "waive" | "cancel";

const ASKS: Record<Asked, { title: string; action: string; done: string }> = {
  approve: { title: "Approve the release?", action: "Approve", done: "Approved." },
  waive: { title: "Skip this step?", action: "Skip it", done: "The step is skipped." },
  cancel: { title: "Cancel the release?", action: "Cancel the release", done: "The release is cancelled. What is live stays live." },
};

function Actions({ release, secondKey }: { release: Release; secondKey: boolean }) {
  const refusal = useRefusal();
  const session = useSession();
  const client = useQueryClient();
  const { say, refused } = useSay();
  const [asked, setAsked] = useState<Asked | null>(null);
  const [reason, setReason] = useState("");
  const { deployment, step } = release;
  const path = { params: { path: { deployment } } };
  const act = useMutation({
    mutationFn: (what: Asked | "advance") =>
      what === "approve" ? ok(api.POST("/api/v1/releases/{deployment}/approve", path))
      : what === "waive" ? ok(api.POST("/api/v1/releases/{deployment}/waive", { ...path, body: { step, reason } }))
      : what === "cancel" ? ok(api.POST("/api/v1/releases/{deployment}/cancel", { ...path, body: { reason } }))
      : ok(api.POST("/api/v1/releases/{deployment}/advance", path)),
    onSuccess: (fresh, what) => {
      setAsked(null);
      setReason("");
      for (const key of ["releases", "deployments", "experiments", "canaries", "overview"]) void client.invalidateQueries({ queryKey: [key] });
      say(fresh.status === "released" ? `${deployment} answers everybody with it.` : what === "advance" ? (fresh.step === step ? `It still waits at the step ${step}.` : `It is at the step ${fresh.step} now.`) : ASKS[what].done);
    },
    onError: refused,
  });
  const no = refusal("operator");
  const own = secondKey && isOwn(session, release.created_by, release.created_key) && "Another key than the one that began it must decide.";
  const canPass = step === "gate" || step === "staging" || step === "experiment";
  return (
    <>
      <Button kind="danger" refused={no} onClick={() => setAsked("cancel")}>Cancel the release</Button>
      {canPass && <Button refused={no} onClick={() => setAsked("waive")}>Skip this step</Button>}
      {step === "gate" && <Evaluate release={release} />}
      {canPass && <Button kind="primary" icon="runs" refused={no} disabled={act.isPending} onClick={() => act.mutate("advance")}>{act.isPending && !asked ? "Checking…" : "Check again"}</Button>}
      {step === "approval" && <Button kind="primary" icon="check" refused={no || own} onClick={() => setAsked("approve")}>Approve</Button>}
      {asked && (
        <Confirm title={ASKS[asked].title} open onClose={() => setAsked(null)} onConfirm={() => act.mutate(asked)} action={ASKS[asked].action} danger={asked !== "approve"} busy={act.isPending} disabled={asked === "waive" && !reason.trim()}>
          {asked === "approve" && <><p>Within a second, every call to <strong>{deployment}</strong> in <strong>production</strong> is answered by this, and the experiment ends with it as its winner. It can be rolled back.</p><div className="callout plain"><Icon name="deployments" /><ManifestLine hash={release.manifest} /></div></>}
          {asked === "waive" && <p>The release goes on without the evidence of the step <strong>{step}</strong>. {step === "experiment" ? "Then a person only has to approve it." : step === "gate" ? "It is deployed to staging next." : "Next, a tenth of the users in production get it."} Your reason stands in its history.</p>}
          {asked === "cancel" && <p>Its canary and experiment end, and what is live stays live. It cannot be taken up again; another one can be begun.</p>}
          {asked !== "approve" && <Field label="Reason" help={asked === "waive" ? "Needed" : undefined}>{(props) => <input {...props} className="input" value={reason} onChange={(event) => setReason(event.target.value)} />}</Field>}
        </Confirm>
      )}
    </>
  );
}
