import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { api, includes, ok } from "../api/client";
import { useFrame, useTheme } from "../frame";
import { moment, sentence } from "../lib/format";
import { signOut, useSession } from "../session";
import { Badge, Button, Card, Empty, PageHead, Problem, Skeleton } from "../ui/base";

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
      <PageHead title="Settings" lead={<>What is configured stands in <code>llmops.yaml</code>, beside the code, where it is reviewed. Here is what the server made of it.</>} />
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
          {baselines.isError ? <Problem error={baselines.error} /> : !baselines.data ? <div className="card-body"><Skeleton height={40} /></div> : baselines.data.items.length === 0 ? <Empty title="No baseline yet" command="llmops baseline promote latest">The run that gates of a dataset compare with.</Empty> : (
            <div className="table-wrap"><table className="table compact" aria-label="Baselines"><tbody>{baselines.data.items.map((one) => <tr key={one.dataset}><td>{one.dataset}</td><td><Link className="hover-link" to="/runs/$run" params={{ run: one.run.id }}>{one.run.name}</Link></td></tr>)}</tbody></table></div>
          )}
        </Card>
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
          {channels.isError ? <Problem error={channels.error} /> : !channels.data ? <Skeleton height={40} /> : channels.data.items.length === 0 ? <p className="muted">None. Name one under <code>alerts.channels</code>.</p> : <div className="row wrap">{channels.data.items.map((one) => <Badge key={one.name} tone={one.resolved ? "good" : "bad"}>{one.name} · {one.kind}</Badge>)}</div>}
        </Card>
        {projects.data && <Card title="Projects" flush><div className="table-wrap"><table className="table compact" aria-label="Projects"><tbody>{projects.data.items.map((one) => <tr key={one.id}><td className="mono">{one.id}</td><td>{one.name}</td><td className="right">{one.created_at > "1971" && moment(one.created_at)}</td></tr>)}</tbody></table></div></Card>}
        </div>
      </div>
    </>
  );
}
