import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useState } from "react";
import { api, includes, ok } from "../api/client";
import { useFrame, useTheme } from "../frame";
import { moment, plural, sentence, words } from "../lib/format";
import { signOut, useRefusal, useSession } from "../session";
import { Badge, Button, Callout, Card, Empty, Field, Long, PageHead, Problem, Skeleton } from "../ui/base";
import { Confirm, useSay } from "../ui/layers";

export function SettingsPage() {
  const session = useSession();
  const { live } = useFrame();
  const { theme, choose } = useTheme();
  const health = useQuery({ queryKey: ["health"], queryFn: () => ok(api.GET("/healthz")) });
  const ready = useQuery({ queryKey: ["ready"], queryFn: () => ok(api.GET("/readyz")), refetchInterval: 15_000, retry: false });
  const channels = useQuery({ queryKey: ["channels"], queryFn: () => ok(api.GET("/api/v1/channels")) });
  const baselines = useQuery({ queryKey: ["baselines"], queryFn: () => ok(api.GET("/api/v1/baselines")) });
  const projects = useQuery({ queryKey: ["projects"], enabled: includes(session?.role, "admin") && session?.project === "default", queryFn: () => ok(api.GET("/api/v1/projects", { params: { query: { limit: 100 } } })), retry: false });
  return (
    <>
      <PageHead title="Settings" lead={<>What is configured stands in <code>llmops.yaml</code>, beside the code, where it is reviewed. Here is what it says of the gate, of channels and models; and what is no part of it.</>} />
      <div className="grid two">
        <div className="stack spaced">
        <Card title="Appearance">
          <span className="segmented" role="group" aria-label="Theme">{(["system", "light", "dark"] as const).map((one) => <button key={one} type="button" aria-pressed={theme === one} onClick={() => choose(one)}>{one === "system" ? "Like the system" : sentence(one)}</button>)}</span>
        </Card>
        <Card title="You">
          <div className="stack loose">
            <dl className="facts"><dt>Key</dt><dd>{session?.name}</dd><dt>Role</dt><dd><Badge>{session && sentence(session.role)}</Badge></dd><dt>Project</dt><dd>{session?.project}</dd><dt>Session</dt><dd>{session?.expires_at ? `until ${moment(session.expires_at)}` : "none: this machine needs no key (--dev)"}</dd></dl>
            {session?.expires_at && <div><Button onClick={() => void signOut()}>Sign out</Button></div>}
          </div>
        </Card>
        <Card title="Baselines" flush>
          {baselines.isError ? <Problem error={baselines.error} /> : !baselines.data ? <div className="card-body"><Skeleton height={40} /></div> : baselines.data.items.length === 0 ? <Empty title="No baseline yet" action={<Link className="btn" to="/runs">To the runs</Link>}>The run that gates of a dataset compare with: “Make baseline” on a run’s page.</Empty> : (
            <div className="table-wrap"><table className="table compact" aria-label="Baselines"><tbody>{baselines.data.items.map((one) => <tr key={one.dataset}><td><div className="names row"><Long>{one.dataset}</Long></div></td><td><Link className="hover-link" to="/runs/$run" params={{ run: one.run.id }}>{one.run.name}</Link></td></tr>)}</tbody></table></div>
          )}
        </Card>
        <Erase />
        </div>
        <div className="stack spaced">
        <Card title="Server">
          <dl className="facts">
            <dt>Version</dt><dd>{health.data?.version ?? <Skeleton width={60} />}</dd>
            <dt>Store</dt><dd>{ready.isPending ? <Skeleton width={60} /> : ready.data ? <Badge tone="good">Reachable</Badge> : <Badge tone="bad">Not reachable</Badge>}</dd>
            <dt>Events</dt><dd>{live ? <Badge tone="good">Connected</Badge> : <Badge tone="warn">Not connected</Badge>}</dd>
            <dt>API</dt><dd><a className="link" href="/docs">reference</a> · <a className="link" href="/openapi.json">OpenAPI document</a></dd>
          </dl>
        </Card>
        <Card title="Alert channels" aside={<Link className="link" to="/alerts" search={{ tab: "channels" }}>Messages</Link>}>
          {channels.isError ? <Problem error={channels.error} /> : !channels.data ? <Skeleton height={40} /> : channels.data.items.length === 0 ? <p className="muted">None. Name one under <code>channels</code>.</p> : <div className="row wrap">{channels.data.items.map((one) => <Badge key={one.name} tone={one.resolved ? "good" : "bad"}>{one.name} · {one.kind}</Badge>)}</div>}
        </Card>
        <Rules />
        <Configuration />
        {projects.data && <Card title="Projects" flush><div className="table-wrap"><table className="table compact" aria-label="Projects"><tbody>{projects.data.items.map((one) => <tr key={one.id}><td className="mono">{one.id}</td><td>{one.name}</td><td className="right">{one.created_at > "1971" && moment(one.created_at)}</td></tr>)}</tbody></table></div></Card>}
        </div>
      </div>
    </>
  );
}

/** What llmops.yaml says of the gate, and which models are known. */
function Rules() {
  const gate = useQuery({ queryKey: ["gate", "rules"], staleTime: 60_000, queryFn: () => ok(api.GET("/api/v1/gate")) });
  const models = useQuery({ queryKey: ["providers"], queryFn: () => ok(api.GET("/api/v1/providers")) });
  const rules = gate.data;
  const ill = models.data?.items.filter((one) => !one.healthy) ?? [];
  return (
    <Card title="Gate and models">
      {gate.isError ? <Problem error={gate.error} /> : !rules ? <Skeleton height={120} /> : (
        <dl className="facts">
          <dt>Mode</dt><dd>{sentence(words(rules.mode ?? "strict"))}</dd>
          <dt>Overall at least</dt><dd className="num">{rules.overall_min}</dd>
          <dt>Largest drop</dt><dd className="num">{rules.max_drop} <span className="muted">of any category, against the baseline</span></dd>
          <dt>Category at least</dt><dd className="num">{rules.category_min} <span className="muted">without a baseline</span></dd>
          {rules.require_judge_kappa != null && <><dt>Judges’ kappa</dt><dd className="num">{rules.require_judge_kappa} at least</dd></>}
          {(rules.retired_categories?.length ?? 0) > 0 && <><dt>Retired</dt><dd>{rules.retired_categories?.map(words).join(", ")}</dd></>}
          <dt>Models</dt><dd>{models.data ? <><Link className="link" to="/providers">{plural(models.data.items.length, "model")}</Link>{ill.length > 0 && <span className="bad">, {ill.map((one) => one.model).join(", ")} ill</span>}</> : <Skeleton width={80} />}</dd>
        </dl>
      )}
    </Card>
  );
}

/** Reads llmops.yaml again, and says what came of it. */
function Configuration() {
  const refusal = useRefusal();
  const client = useQueryClient();
  const reload = useMutation({ mutationFn: () => ok(api.POST("/api/v1/config/reload")), onSuccess: () => void client.invalidateQueries() });
  const list = (names: string[]) => names.map((name, i) => <span key={name}>{i > 0 && ", "}<code>{name}</code></span>);
  return (
    <Card title="Configuration" aside={<Button small refused={refusal("operator")} disabled={reload.isPending} onClick={() => reload.mutate()}>{reload.isPending ? "Reading…" : "Read llmops.yaml again"}</Button>}>
      {reload.isError ? <Problem error={reload.error} /> : !reload.data ? <p className="muted">After a change of the file: it is checked first, and what is wrong changes nothing.</p> : (
        <Callout tone={reload.data.needs_restart.length > 0 ? "warn" : "good"}>
          {reload.data.applied.length + reload.data.needs_restart.length === 0 ? "Nothing has changed." : <>{reload.data.applied.length > 0 && <div>Holds from now on: {list(reload.data.applied)}</div>}{reload.data.needs_restart.length > 0 && <div>Holds once the server is started again: {list(reload.data.needs_restart)}</div>}</>}
        </Callout>
      )}
    </Card>
  );
}

/** Deletes what is kept of a user's calls. */
function Erase() {
  const [user, setUser] = useState("");
  const [asked, setAsked] = useState(false);
  const refusal = useRefusal();
  const client = useQueryClient();
  const { say, refused } = useSay();
  const erase = useMutation({
    mutationFn: () => ok(api.POST("/api/v1/records/erase", { body: { user: user.trim() } })),
    onSuccess: (erased) => {
      setAsked(false);
      setUser("");
      void client.invalidateQueries();
      const counts = [
        plural(erased.records, "record"),
        plural(erased.feedback ?? 0, "piece of feedback", "pieces of feedback"),
        plural(erased.review_items ?? 0, "item of the queue", "items of the queue"),
        plural(erased.shadow_pairs ?? 0, "pair of a canary", "pairs of canaries"),
        plural(erased.samples ?? 0, "sample"),
        `the words in ${plural(erased.post_mortems ?? 0, "post-mortem")}`,
      ].join(", ");
      const left = erased.datasets_left?.length ? ` Earlier versions of ${erased.datasets_left.join(", ")} still have some.` : "";
      say(`Deleted: ${counts}.${left}`);
    },
    onError: refused,
  });
  return (
    <Card title="Erase a user">
      <form
        className="stack"
        onSubmit={(event) => {
          event.preventDefault();
          if (user.trim() && !refusal("admin")) setAsked(true);
        }}
      >
        <Field label="User" help="Records, feedback, pairs of canaries, items of the review queue and samples that llmops made of them are deleted, and post-mortems lose the words. Samples that people made of them stay">{(props) => <input {...props} className="input" value={user} onChange={(event) => setUser(event.target.value)} placeholder="user-17" />}</Field>
        <div><Button type="submit" kind="danger" refused={refusal("admin")} disabled={!user.trim()}>Erase</Button></div>
      </form>
      <Confirm title={`Erase everything of ${user.trim()}?`} open={asked} onClose={() => setAsked(false)} onConfirm={() => erase.mutate()} action="Erase" danger busy={erase.isPending}><p>It cannot be taken back.</p></Confirm>
    </Card>
  );
}
