import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, getRouteApi } from "@tanstack/react-router";
import { useState } from "react";
import type { Schemas } from "../api/client";
import { api, ok } from "../api/client";
import { compact, hash, latency, money, percent, plural, range } from "../lib/format";
import { useRefusal } from "../session";
import { Ago, Badge, Button, Callout, Card, Coming, Copy, Empty, Field, PageHead, Problem, Skeleton } from "../ui/base";
import { Confirm, Dialog, Menu, useSay } from "../ui/layers";
import { ManifestDiff, ManifestLine, manifestQuery } from "../ui/manifest";
import { Hash, PromptLink, Unread } from "../ui/parts";
import type { Column } from "../ui/table";
import { Table } from "../ui/table";
import { Canaries } from "./canary";
import { NewCanary } from "./canary-new";
import { CandidateFields, useCandidate } from "./candidate";
import { Incidents, OpenIncident } from "./incidents";
import { Settings, told } from "./deployment-settings";
import { BeginRelease, Releases } from "./releases";
import { Waiting } from "./waiting";

const route = getRouteApi("/deployments/$name");
type Deployment = Schemas["Deployment"];
type Change = Schemas["DeploymentChange"];

const ACTIONS: Record<Change["action"], string> = { deploy: "Deployed", rollback: "Rolled back", safe_mode_on: "Safe mode on", safe_mode_off: "Safe mode off", configure: "Settings changed" };

export function DeploymentPage() {
  const { name } = route.useParams();
  const { environment } = route.useSearch();
  const query = { environment };
  const found = useQuery({ queryKey: ["deployments", name, environment], queryFn: () => ok(api.GET("/api/v1/deployments/{name}", { params: { path: { name }, query } })) });
  const history = useQuery({ queryKey: ["deployments", name, environment, "history"], queryFn: () => ok(api.GET("/api/v1/deployments/{name}/history", { params: { path: { name }, query } })) });
  if (found.isError && !found.data) return <Unread what="deployment" error={found.error} retry={found.refetch} to="/deployments" list="To the deployments" />;
  const deployment = found.data;
  const changes = history.data ? [...history.data.items].sort((a, b) => b.revision - a.revision) : undefined;
  return (
    <>
      <PageHead title={name} badge={deployment && <><Badge>{deployment.environment}</Badge>{deployment.safe_mode && <Badge tone="bad">Safe mode</Badge>}<Badge outline>revision {deployment.revision}</Badge></>} lead={deployment ? <>Changed <Ago time={deployment.updated_at} />{deployment.updated_by && ` by ${deployment.updated_by}`}</> : <Skeleton width={240} />}>
        {deployment ? <Actions deployment={deployment} changes={changes} /> : <Coming rows={2} />}
      </PageHead>
      {deployment?.safe_mode && <Callout tone="bad"><strong>Safe mode is on.</strong> {deployment.settings?.safe_mode?.answer ? <>Every call is answered with: “{deployment.settings.safe_mode.answer}”</> : "Every call is answered by the safe manifest."}</Callout>}
      <Waiting deployment={name} environment={environment ?? deployment?.environment}>
        <Traffic name={name} environment={environment} />
        <Canaries deployment={name} environment={deployment?.environment} />
        {history.isError && !changes && <Problem error={history.error} retry={() => void history.refetch()} />}
        {!deployment || !changes ? !history.isError && <Skeleton height={520} /> : (
          <div className="grid wide-left">
            <div className="stack spaced">
              <Card title="History" flush aside={<span className="faint num">{plural(changes.length, "change")}</span>}>
                <History deployment={deployment} changes={changes} />
              </Card>
              <Settings deployment={deployment} />
            </div>
            <Manifest deployment={deployment} />
          </div>
        )}
        {deployment?.environment === "production" && <Releases deployment={name} />}
        <Incidents deployment={name} environment={deployment?.environment} />
      </Waiting>
    </>
  );
}

function Traffic({ name, environment }: { name: string; environment: string | undefined }) {
  const traffic = useQuery({ queryKey: ["traffic", name, environment, 24], queryFn: () => ok(api.GET("/api/v1/traffic", { params: { query: { deployment: name, environment, hours: 24 } } })) });
  const data = traffic.data;
  return (
    <div className="grid cards">
      <Link className="card stat" to="/traffic" search={{ deployment: name, environment }}><span className="name">Calls in 24 h</span><span className="value">{data ? compact(data.sums.calls) : <Skeleton width={70} height={22} />}</span><span className="note">{data?.p50_ms != null ? `${latency(data.p50_ms)} median, 95 % below ${latency(data.p95_ms)}` : "–"}</span></Link>
      <div className="card stat"><span className="name">Failed</span><span className="value">{percent(data?.failure_rate?.value)}</span><span className="note">{data?.failure_rate ? `${range(data.failure_rate.lower, data.failure_rate.upper, percent)} · n ${compact(data.failure_rate.n)}` : "–"}</span></div>
      <Link className="card stat" to="/traffic" search={{ deployment: name, environment, soft: "true" }}><span className="name">Soft failures</span><span className="value">{percent(data?.soft_failure_rate?.value)}</span><span className="note">{data?.soft_failure_rate ? `${range(data.soft_failure_rate.lower, data.soft_failure_rate.upper, percent)} · n ${compact(data.soft_failure_rate.n)}` : "–"}</span></Link>
      <div className="card stat"><span className="name">Spend</span><span className="value">{data ? money(data.sums.cost) : "–"}</span><span className="note">{data && `${compact(data.sums.prompt_tokens + data.sums.completion_tokens)} tokens${data.sums.priced < data.sums.calls ? ` · ${compact(data.sums.calls - data.sums.priced)} calls have no price` : ""}`}</span></div>
    </div>
  );
}

function Actions({ deployment, changes }: { deployment: Deployment; changes: Change[] | undefined }) {
  const refusal = useRefusal();
  const no = refusal("operator");
  const client = useQueryClient();
  const { say, refused } = useSay();
  const [open, setOpen] = useState<"deploy" | "rollback" | "safe" | "release" | "canary" | "incident" | "rehearse" | null>(null);
  const [reason, setReason] = useState("");
  const [answer, setAnswer] = useState(deployment.settings?.safe_mode?.answer ?? "We are having a problem. Please try again later.");
  const { name, environment } = deployment;
  const path = { params: { path: { name } } };
  const done = (what: string) => () => {
    setOpen(null);
    setReason("");
    void client.invalidateQueries({ queryKey: ["deployments"] });
    void client.invalidateQueries({ queryKey: ["overview"] });
    say(what);
  };
  // Where a rollback leads: the manifest that was live before this one.
  const previous = changes?.find((change) => change.from && change.to === deployment.manifest && change.from !== deployment.manifest)?.from ?? null;
  const rollback = useMutation({ mutationFn: () => ok(api.POST("/api/v1/deployments/{name}/rollback", { ...path, body: { environment, reason: reason || null } })), onSuccess: done(`${name} is rolled back.`), onError: refused });
  const safe = useMutation({ mutationFn: () => ok(api.POST("/api/v1/deployments/{name}/safe-mode", { ...path, body: { environment, on: !deployment.safe_mode, reason: reason || null, ...(deployment.safe_mode ? {} : { answer: answer || null }) } })), onSuccess: done(deployment.safe_mode ? "Safe mode is off." : "Safe mode is on."), onError: refused });
  return (
    <>
      <Menu
        label="More"
        items={[
          { label: "Release step by step…", onSelect: () => setOpen("release"), refused: no || (environment !== "production" && "Releases lead to production: begin one on its page.") },
          { label: "Try beside it: a canary…", onSelect: () => setOpen("canary"), refused: no },
          { label: "Rehearse a rollback", onSelect: () => setOpen("rehearse"), refused: no },
          "rule",
          { label: "Open an incident…", onSelect: () => setOpen("incident"), danger: true, refused: no },
        ]}
      />
      <Button refused={no} kind={deployment.safe_mode ? undefined : "danger"} icon="shield" onClick={() => setOpen("safe")}>{deployment.safe_mode ? "Leave safe mode" : "Safe mode"}</Button>
      <Button refused={no || (!previous && "There is no manifest before this one.")} onClick={() => setOpen("rollback")}>Roll back</Button>
      <Button kind="primary" refused={no} onClick={() => setOpen("deploy")}>Deploy</Button>
      <Confirm title={`Roll ${name} back?`} open={open === "rollback"} onClose={() => setOpen(null)} onConfirm={() => rollback.mutate()} action="Roll back" danger busy={rollback.isPending}>
        <p>Live traffic in <strong>{environment}</strong> is answered by the manifest before, within a second and on every replica.</p>
        <dl className="facts"><dt>Now</dt><dd><ManifestLine hash={deployment.manifest} /></dd><dt>Then</dt><dd>{previous ? <ManifestLine hash={previous} /> : "–"}</dd></dl>
        <Reason value={reason} set={setReason} />
      </Confirm>
      <Confirm title={deployment.safe_mode ? "Leave safe mode?" : `Put ${name} into safe mode?`} open={open === "safe"} onClose={() => setOpen(null)} onConfirm={() => safe.mutate()} action={deployment.safe_mode ? "Leave safe mode" : "Turn safe mode on"} danger={!deployment.safe_mode} busy={safe.isPending}>
        {deployment.safe_mode ? <p>Calls are answered by the deployed manifest again.</p> : <><p>No model is called. Every call to {name} in {environment} gets this answer:</p><Field label="Answer">{(props) => <textarea {...props} className="textarea" rows={3} value={answer} onChange={(event) => setAnswer(event.target.value)} />}</Field></>}
        <Reason value={reason} set={setReason} />
      </Confirm>
      {open === "release" && <BeginRelease of={name} onClose={() => setOpen(null)} />}
      {open === "canary" && <NewCanary of={deployment} onClose={() => setOpen(null)} />}
      {open === "incident" && <OpenIncident of={deployment} onClose={() => setOpen(null)} />}
      {open === "rehearse" && <Rehearsal deployment={deployment} onClose={() => setOpen(null)} />}
      {open === "deploy" && <DeployDialog deployment={deployment} onClose={() => setOpen(null)} onDone={({ approval, changed }) => done(approval ? `It waits for a second key, because ${name} asks for one.` : changed ? `${name} is deployed.` : "That manifest is live already.")()} />}
    </>
  );
}

function Reason({ value, set }: { value: string; set: (value: string) => void }) {
  return <Field label="Reason" help="For the history and the record of changes">{(props) => <input {...props} className="input" value={value} onChange={(event) => set(event.target.value)} />}</Field>;
}

function DeployDialog({ deployment, onClose, onDone }: { deployment: Deployment; onClose: () => void; onDone: (deployed: Schemas["Deployed"]) => void }) {
  const candidate = useCandidate(deployment.manifest);
  const [reason, setReason] = useState("");
  const deploy = useMutation({
    mutationFn: () => ok(api.POST("/api/v1/deployments/{name}/deploy", { params: { path: { name: deployment.name } }, body: { environment: deployment.environment, manifest: candidate.manifest, reason: reason || null } })),
    onSuccess: onDone,
  });
  return (
    <Dialog title={`Deploy to ${deployment.name} in ${deployment.environment}`} open onClose={onClose} footer={<><Button onClick={onClose}>Cancel</Button><Button kind="primary" disabled={deploy.isPending || !candidate.manifest} onClick={() => deploy.mutate()}>{deploy.isPending ? "Deploying…" : "Deploy"}</Button></>}>
      {deploy.isError && <Problem error={deploy.error} />}
      <CandidateFields of={candidate} />
      <Reason value={reason} set={setReason} />
      {deployment.settings?.require_gate && <Callout tone="info">This deployment takes only manifests whose gate passed lately.</Callout>}
      {deployment.settings?.require_approval && <Callout tone="info">This deployment asks for a second key: it changes once another key approves.</Callout>}
    </Dialog>
  );
}

function Rehearsal({ deployment, onClose }: { deployment: Deployment; onClose: () => void }) {
  const rehearse = useQuery({ queryKey: ["rehearsal", deployment.name, deployment.environment], gcTime: 0, staleTime: "static", retry: false, queryFn: () => ok(api.POST("/api/v1/deployments/{name}/rehearse", { params: { path: { name: deployment.name } }, body: { environment: deployment.environment } })) });
  return (
    <Dialog title="Could this be rolled back now?" open onClose={onClose}>
      {rehearse.isPending && <Skeleton height={80} />}
      {rehearse.isError && <Problem error={rehearse.error} />}
      {rehearse.data && (
        <>
          <Callout tone={rehearse.data.ready ? "good" : "bad"}><strong>{rehearse.data.ready ? "Yes: every manifest in reach can answer." : "Not to all of them."}</strong></Callout>
          {rehearse.data.manifests.map((one) => <div key={one.manifest} className="row top between"><div><div className="row wrap tight"><Hash of={one.manifest} />{one.is_live && <Badge tone="good">Live</Badge>}<span>{one.prompt}</span><span className="mono muted">{one.model}</span></div>{one.problems.map((problem) => <div key={problem} className="bad">{problem}</div>)}</div>{one.problems.length === 0 && <Badge tone="good">Ready</Badge>}</div>)}
        </>
      )}
    </Dialog>
  );
}

function History({ deployment, changes }: { deployment: Deployment; changes: Change[] }) {
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const refusal = useRefusal();
  const client = useQueryClient();
  const { say, refused } = useSay();
  const [to, setTo] = useState<Change | null>(null);
  const back = useMutation({
    mutationFn: (manifest: string) => ok(api.POST("/api/v1/deployments/{name}/rollback", { params: { path: { name: deployment.name } }, body: { environment: deployment.environment, to: manifest } })),
    onSuccess: () => {
      setTo(null);
      void client.invalidateQueries({ queryKey: ["deployments"] });
      say(`${deployment.name} points to ${hash(to?.to)} again.`);
    },
    onError: refused,
  });
  const columns: Column<Change>[] = [
    { head: "Rev.", right: true, width: 52, cell: (change) => change.revision },
    { head: "What", cell: (change) => <Badge tone={change.action === "rollback" || change.action === "safe_mode_on" ? "warn" : change.action === "deploy" ? "info" : "plain"}>{ACTIONS[change.action]}</Badge> },
    {
      head: "Manifest",
      block: true,
      cell: (change) => (
        <div className="row wrap manifest">
          <ManifestLine hash={change.to} />
          {change === changes[0] && <Badge tone="good">Live</Badge>}
          {change.from && change.from !== change.to && <Link className="link small" to="/deployments/$name" params={{ name: deployment.name }} search={{ ...search, manifest: `${change.from}..${change.to}` }} replace>What changed</Link>}
        </div>
      ),
    },
    { head: "Why", block: true, width: "19%", cell: (change) => change.reason && <Why text={change.reason} /> },
    { head: "When", right: true, cell: (change) => <><Ago time={change.at} />{change.by && <div className="faint tiny">{change.by}</div>}</> },
    { head: <span className="sr">Roll back</span>, right: true, cell: (change) => change.to !== deployment.manifest && <Button small refused={refusal("operator")} aria-label={`Roll back to revision ${change.revision}`} onClick={() => setTo(change)}>Roll back</Button> },
  ];
  return (
    <>
      <Table label="History" columns={columns} rows={changes} id={(change) => String(change.revision)} empty={<Empty title="No changes yet" />} />
      <Confirm title={`Roll back to revision ${to?.revision}?`} open={to !== null} onClose={() => setTo(null)} onConfirm={() => to && back.mutate(to.to)} action="Roll back" danger busy={back.isPending}>
        <p>Live traffic in <strong>{deployment.environment}</strong> is answered by this manifest again:</p>
        {to && <ManifestLine hash={to.to} />}
      </Confirm>
      {search.manifest?.includes("..") && <ManifestDiff title={`What changed in ${deployment.name}`} from={search.manifest.split("..")[0]} to={search.manifest.split("..")[1]} onClose={() => void navigate({ search: (old) => ({ ...old, manifest: undefined }), replace: true })} />}
    </>
  );
}

function Manifest({ deployment }: { deployment: Deployment }) {
  const manifest = useQuery(manifestQuery(deployment.manifest));
  return (
    <Card title="The live manifest" aside={<Copy text={deployment.manifest} label="Copy the hash" />}>
      {!manifest.data ? <Skeleton height={160} /> : (
        <div className="stack">
          <dl className="facts">
            <dt>Hash</dt><dd><Hash of={deployment.manifest} /></dd>
            <dt>Prompt</dt><dd><PromptLink name={manifest.data.prompt} version={manifest.data.prompt_version} /></dd>
            <dt>Model</dt><dd className="mono">{manifest.data.model} {manifest.data.model_version}</dd>
            <dt>Parameters</dt><dd>{told(manifest.data.parameters) || "–"}</dd>
            {manifest.data.retriever_index_version && <><dt>Index</dt><dd className="mono">{manifest.data.retriever_index_version}</dd></>}
          </dl>
          {manifest.data.system && <pre className="code" tabIndex={0} style={{ maxHeight: 260 }}>{manifest.data.system}</pre>}
        </div>
      )}
    </Card>
  );
}

/** Why something changed; the release or incident that it was for as a link. */
function Why({ text }: { text: string }) {
  const [, what, id] = /^(release|incident) ((?:rel|inc)_[0-9a-z]+)$/.exec(text) ?? [];
  if (what === "release" && id) return <Link className="link" to="/releases/$id" params={{ id }}>For a release</Link>;
  if (what === "incident" && id) return <Link className="link" to="/incidents/$id" params={{ id }}>For an incident</Link>;
  return <span className="muted wrap-any">{text}</span>;
}
