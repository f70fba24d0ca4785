import { useInfiniteQuery, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, getRouteApi, useNavigate } from "@tanstack/react-router";
import { useRef, useState } from "react";
import type { Prompt, Run, Schemas } from "../api/client";
import { api, ok } from "../api/client";
import { again } from "../lib/again";
import { sentence } from "../lib/format";
import { useRefusal } from "../session";
import { Ago, Badge, Button, Callout, Card, Coming, Copy, Empty, Est, Long, PageHead, Problem, Skeleton } from "../ui/base";
import { Hunks } from "../ui/diff";
import { Confirm, useSay } from "../ui/layers";
import { Part, Hash, RunLink, RunStatus, Unread, Verdict, PART } from "../ui/parts";
import { PromptEditor } from "./prompt-editor";
import { TryPrompt, Undeclared, undeclaredOf } from "./prompt-try";
import type { Column } from "../ui/table";
import { ListFoot, Table, useReadOn } from "../ui/table";

const route = getRouteApi("/prompts/$name");
const TABS = [
  ["content", "Content"],
  ["diff", "Difference"],
  ["try", "Try it"],
  ["runs", "Runs"],
] as const;

export function PromptPage() {
  const { name } = route.useParams();
  const search = route.useSearch();
  const versions = useQuery({ queryKey: ["prompt", name, "versions"], queryFn: () => ok(api.GET("/api/v1/prompts/{name}/versions", { params: { path: { name } } })) });
  const overview = useQuery({ queryKey: ["overview"], queryFn: () => ok(api.GET("/api/v1/overview")) });
  const [writing, setWriting] = useState(false);
  const refusal = useRefusal();
  const all = versions.data?.items;
  const active = all?.find((one) => one.is_active);
  const linked = all?.find((one) => one.version === search.version || (search.version && one.hash.startsWith(search.version)));
  const tab = search.tab ?? "content";
  const shown = useHeld(all, linked ?? active ?? all?.[0], !linked && (writing || tab === "try"));
  if (versions.isError && !versions.data) return <Unread what="prompt" error={versions.error} retry={versions.refetch} to="/prompts" list="To the prompts" />;
  const deployed = (version: string) => overview.data?.deployments.filter((head) => head.prompt === `${name}@${version}`) ?? [];
  return (
    <>
      <PageHead title={name} badge={shown && <><Badge mono>{shown.version}</Badge>{shown.is_active ? <Badge tone="good">Active</Badge> : <Badge outline>{sentence(shown.status ?? "draft")}</Badge>}</>} lead={shown ? (shown.description ?? <span className="faint">No description</span>) : <Skeleton width={300} />}>
        {!shown && <Coming />}
        {shown && <Button icon="edit" refused={name.startsWith("llmops/") ? "Built-in prompts cannot be changed." : refusal("editor")} onClick={() => setWriting(true)}>New version</Button>}
        {shown && !shown.is_active && <Delete prompt={shown} deployed={deployed(shown.version).length > 0} />}
        {shown && !shown.is_active && <Activate prompt={shown} active={active} />}
      </PageHead>
      <div className="with-aside">
        <Card title="Versions" flush aside={all && <span className="faint num">{all.length}</span>}>
          <nav className="versions scroll" aria-label="Versions">
            {!all && <div className="card-body stack">{[1, 2, 3].map((i) => <Skeleton key={i} height={34} />)}</div>}
            {all?.map((version) => (
              <Link key={version.version} to="/prompts/$name" params={{ name }} search={{ ...search, version: version.version }} replace activeOptions={PART} aria-current={version === shown ? "true" : undefined}>
                <span className="row tight wrap"><strong className="num">{version.version}</strong>{version.is_active && <Badge tone="good">Active</Badge>}{deployed(version.version).map((head) => <Badge key={`${head.deployment.name}/${head.deployment.environment}`} tone="accent">{head.deployment.name}{head.deployment.environment !== "production" && ` in ${head.deployment.environment}`}</Badge>)}</span>
                <span className="muted truncate small">{version.change ?? "No note"}</span>
                <span className="faint tiny">{version.author && `${version.author} · `}<Ago time={version.created_at} /></span>
              </Link>
            ))}
          </nav>
        </Card>
        <div className="stack spaced">
          <nav className="tabs" aria-label="Parts of the version">
            {TABS.map(([key, label]) => <Link key={key} to="/prompts/$name" params={{ name }} search={{ ...search, tab: key === "content" ? undefined : key }} replace activeOptions={PART} aria-current={tab === key ? "page" : undefined}>{label}</Link>)}
          </nav>
          {search.version && shown && !linked && <Callout tone="warn"><strong>{name} has no version {search.version}.</strong> It may have been deleted. This is {shown.version}{shown.is_active ? ", the active one" : ""}.</Callout>}
          {shown && !linked && active && shown !== active && <Callout tone="info"><strong>{active.version} is the active version by now.</strong> What you work on here is still {shown.version}. <Link className="link" to="/prompts/$name" params={{ name }} search={{ ...search, version: active.version }}>Go to {active.version}</Link></Callout>}
          {!shown || !all ? <Skeleton height={360} /> : tab === "diff" ? <Difference prompt={shown} all={all} /> : tab === "try" ? <TryPrompt key={shown.hash} prompt={shown} /> : tab === "runs" ? <Runs prompt={shown} /> : <Content prompt={shown} deployed={deployed(shown.version)} />}
        </div>
      </div>
      {writing && shown && <PromptEditor from={shown} onClose={() => setWriting(false)} />}
    </>
  );
}

/** The version to show: while somebody works with one, it stays that one, whatever others activate meanwhile. */
function useHeld(all: Prompt[] | undefined, wanted: Prompt | undefined, works: boolean): Prompt | undefined {
  const held = useRef<string | null>(null);
  const kept = all?.find((one) => one.hash === held.current);
  if (!works || !kept) held.current = null;
  const shown = works && kept ? kept : wanted;
  if (works && shown) held.current = shown.hash;
  return shown;
}

/** A template with its variables marked. */
export function Template({ text }: { text: string }) {
  return <pre className="code" tabIndex={0}>{text.split(/(\{\{.*?\}\}|\{%.*?%\})/gs).map((part, i) => (i % 2 ? <var key={i}>{part}</var> : part))}</pre>;
}

function Content({ prompt, deployed }: { prompt: Prompt; deployed: Schemas["DeploymentHead"][] }) {
  const parameters = Object.entries(prompt.parameters ?? {}).filter(([, value]) => value != null && !(Array.isArray(value) && value.length === 0));
  const undeclared = undeclaredOf(prompt);
  return (
    <>
      {undeclared.length > 0 && <Undeclared names={undeclared} />}
      {prompt.system && <Card title="System" aside={<Copy text={prompt.system} />}><Template text={prompt.system} /></Card>}
      {prompt.content && <Card title="Template" aside={<Copy text={prompt.content} />}><Template text={prompt.content} /></Card>}
      {(prompt.messages?.length ?? 0) > 0 && <Card title="Messages"><div className="stack">{prompt.messages?.map((message, i) => <div key={i} className="message"><header>{message.role}</header><Template text={typeof message.content === "string" ? message.content : JSON.stringify(message.content, null, 2)} /></div>)}</div></Card>}
      {(prompt.examples?.length ?? 0) > 0 && <Card title="Examples"><div className="stack">{prompt.examples?.map((example, i) => <div key={i} className="split"><div className="message"><header>Input</header><div>{example.input}</div></div><div className="message"><header>Output</header><div>{example.output}</div></div></div>)}</div></Card>}
      <div className="grid two">
        <Card title="Variables" flush>
          {(prompt.variables?.length ?? 0) === 0 ? <Empty title={undeclared.length > 0 ? "None is declared" : "No variables of its own"}>The input comes as the last message, or where <code>{"{{input}}"}</code> stands.</Empty> : (
            <div className="table-wrap">
              <table className="table compact" aria-label="Variables">
                <thead><tr><th scope="col">Name</th><th scope="col">Type</th><th scope="col">Default</th></tr></thead>
                <tbody>{prompt.variables?.map((variable) => <tr key={variable.name}><td><span className="mono">{variable.name}</span>{variable.required && <span className="bad" title="required"> *</span>}{variable.description && <div className="muted small">{variable.description}</div>}</td><td>{variable.type ?? "string"}</td><td className="mono">{variable.default == null ? <span className="faint">–</span> : JSON.stringify(variable.default)}</td></tr>)}</tbody>
              </table>
            </div>
          )}
        </Card>
        <Card title="Facts">
          <dl className="facts">
            <dt>Hash</dt><dd><Hash of={prompt.hash} /></dd>
            <dt>Model</dt><dd className="mono">{prompt.model ?? "the caller’s"}</dd>
            <dt>Parameters</dt><dd className="mono">{parameters.map(([key, value]) => `${key} ${JSON.stringify(value)}`).join(", ") || "–"}</dd>
            <dt>Deployed</dt><dd>{deployed.length === 0 ? <span className="faint">nowhere</span> : deployed.map(({ deployment }) => <div key={`${deployment.name}/${deployment.environment}`}><Link className="link" to="/deployments/$name" params={{ name: deployment.name }} search={{ environment: deployment.environment }}>{deployment.name} in {deployment.environment}</Link></div>)}</dd>
            <dt>Change</dt><dd>{prompt.change ?? <span className="faint">no note</span>}</dd>
            <dt>Author</dt><dd>{prompt.author ?? <span className="faint">unknown</span>}</dd>
            <dt>Written</dt><dd><Ago time={prompt.created_at} /></dd>
          </dl>
        </Card>
      </div>
    </>
  );
}

/** Whether callers of one version must do something else for the other. */
function contractChanges(variables: Schemas["VariableDiff"][]): string[] {
  return variables.flatMap(({ name, before, after }) => {
    if (!before) return after?.required && after.default == null ? [`${name} is needed now`] : [];
    if (!after) return [`${name} is gone`];
    if ((before.type ?? "string") !== (after.type ?? "string")) return [`${name} is ${after.type}, not ${before.type}`];
    if (!before.required && after.required && after.default == null) return [`${name} is needed now`];
    return [];
  });
}

function Difference({ prompt, all }: { prompt: Prompt; all: Prompt[] }) {
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const index = all.indexOf(prompt);
  const from = search.from ?? all[index + 1]?.version ?? all.find((one) => one !== prompt)?.version;
  const unified = search.view === "unified";
  const diff = useQuery({ queryKey: ["prompt", prompt.name, "diff", from, prompt.version], enabled: Boolean(from), staleTime: "static", queryFn: () => ok(api.GET("/api/v1/prompts/{name}/compare", { params: { path: { name: prompt.name }, query: { from: from ?? "", to: prompt.version } } })) });
  if (!from) return <Empty title="There is one version only">The difference of two versions appears here, word by word.</Empty>;
  const contract = diff.data ? contractChanges(diff.data.variables) : [];
  return (
    <>
      <div className="filters">
        <span className="muted">From</span>
        <select className="select" aria-label="Compare with version" value={from} onChange={(event) => void navigate({ search: (old) => ({ ...old, from: event.target.value }), replace: true })}>
          {all.filter((one) => one !== prompt).map((one) => <option key={one.version} value={one.version}>{one.version}{one.is_active ? " (active)" : ""}</option>)}
        </select>
        <span className="muted">to {prompt.version}</span>
        <span className="segmented wide-only">
          <button type="button" aria-pressed={!unified} onClick={() => void navigate({ search: (old) => ({ ...old, view: undefined }), replace: true })}>Side by side</button>
          <button type="button" aria-pressed={unified} onClick={() => void navigate({ search: (old) => ({ ...old, view: "unified" }), replace: true })}>Unified</button>
        </span>
        {contract.length > 0 ? <Badge tone="warn">Contract changed: {contract.join(", ")}</Badge> : diff.data && !diff.data.identical && <Badge tone="good">Callers need no change</Badge>}
      </div>
      {diff.isError ? <Problem error={diff.error} /> : !diff.data ? <Skeleton height={260} /> : diff.data.identical ? <Empty title="The two versions are identical" /> : (
        <>
          {diff.data.text.length > 0 && <Card label="Text" flush><Hunks hunks={diff.data.text} unified={unified || window.innerWidth < 700} labels={[from, prompt.version]} /></Card>}
          {diff.data.variables.length > 0 && (
            <Card title="Variables" flush>
              <div className="table-wrap"><table className="table compact"><thead><tr><th scope="col">Variable</th><th scope="col">Before</th><th scope="col">After</th></tr></thead><tbody>
                {diff.data.variables.map((variable) => <tr key={variable.name}><td className="mono">{variable.name}</td><td className="mono muted wrap-any">{variable.before ? JSON.stringify(variable.before) : "–"}</td><td className="mono wrap-any">{variable.after ? JSON.stringify(variable.after) : "–"}</td></tr>)}
              </tbody></table></div>
            </Card>
          )}
          {diff.data.config.length > 0 && (
            <Card title="Settings" flush>
              <div className="table-wrap"><table className="table compact"><thead><tr><th scope="col">Field</th><th scope="col">Before</th><th scope="col">After</th></tr></thead><tbody>
                {diff.data.config.map((one) => <tr key={one.field}><td className="mono">{one.field}</td><td className="mono muted wrap-any">{JSON.stringify(one.before)}</td><td className="mono wrap-any">{JSON.stringify(one.after)}</td></tr>)}
              </tbody></table></div>
            </Card>
          )}
        </>
      )}
    </>
  );
}

/** Runs of a version, newest first. */
function useRunsOf({ name, version }: Prompt, enabled = true) {
  const pages = useInfiniteQuery({
    queryKey: ["runs", { prompt: name, version }],
    enabled,
    initialPageParam: undefined as string | undefined,
    queryFn: ({ pageParam }) => ok(api.GET("/api/v1/runs", { params: { query: { prompt: name, prompt_version: version, limit: 50, cursor: pageParam } } })),
    getNextPageParam: (last) => last.next_cursor ?? undefined,
  });
  return { ...pages, found: pages.data?.pages.flatMap((page) => page.items) };
}

function Runs({ prompt }: { prompt: Prompt }) {
  const runs = useRunsOf(prompt);
  const rows = runs.found;
  const columns: Column<Run>[] = [
    { head: "Run", cell: (run) => <div className="names row"><Link className="cover truncate" title={run.name} to="/runs/$run" params={{ run: run.id }}>{run.name}</Link><Part of={run} /></div> },
    { head: "Status", cell: (run) => <RunStatus run={run} /> },
    { head: "Overall", cell: (run) => <Est of={run.results?.overall} /> },
    { head: "Gate", cell: (run) => <Verdict of={run.tags?.gate} /> },
    { head: "Dataset", cell: (run) => <div className="names less row"><Long>{run.dataset}</Long></div> },
    { head: "Created", right: true, cell: (run) => <Ago time={run.created_at} /> },
  ];
  return (
    <Card title={`Runs of ${prompt.version}`} flush aside={<Evaluate prompt={prompt} />}>
      <Table label="Runs" columns={columns} rows={rows} id={(run) => run.id} error={runs.error} retry={() => void runs.refetch()} expected={2} empty={<Empty title="This version was not evaluated yet" command={`llmops eval --target ${prompt.name}`} />} />
      {rows && rows.length > 0 && <ListFoot shown={rows.length} more={runs.hasNextPage} loading={runs.isFetchingNextPage} onMore={() => void runs.fetchNextPage()} what={rows.length === 1 ? "run" : "runs"} />}
    </Card>
  );
}

/** A run of this version, made like the newest one of the prompt. */
function Evaluate({ prompt }: { prompt: Prompt }) {
  const refusal = useRefusal();
  const client = useQueryClient();
  const navigate = useNavigate();
  const { say, refused } = useSay();
  const all = useQuery({ queryKey: ["runs", { prompt: prompt.name }, "newest"], queryFn: () => ok(api.GET("/api/v1/runs", { params: { query: { prompt: prompt.name, status: "completed", limit: 1 } } })) });
  const like = all.data?.items[0];
  const evaluate = useMutation({
    mutationFn: (run: Run) => ok(api.POST("/api/v1/runs", { body: again(run, prompt.version) })),
    onSuccess: (run) => {
      void client.invalidateQueries({ queryKey: ["runs"] });
      say(`${prompt.version} is evaluated on ${run.dataset}.`);
      void navigate({ to: "/runs/$run", params: { run: run.id } });
    },
    onError: refused,
  });
  return <Button small kind="primary" icon="runs" refused={refusal("editor") || (!like && "There is no run of this prompt to go by: start the first one under Runs.")} disabled={evaluate.isPending} onClick={() => like && evaluate.mutate(like)}>{evaluate.isPending ? "Starting…" : "Evaluate"}</Button>;
}

function Delete({ prompt, deployed }: { prompt: Prompt; deployed: boolean }) {
  const [open, setOpen] = useState(false);
  const refusal = useRefusal();
  const client = useQueryClient();
  const navigate = useNavigate();
  const { say, refused } = useSay();
  const remove = useMutation({
    mutationFn: () => ok(api.DELETE("/api/v1/prompts/{name}/versions/{version}", { params: { path: { name: prompt.name, version: prompt.version } } })),
    onSuccess: () => {
      setOpen(false);
      for (const key of ["prompt", "prompts"]) void client.invalidateQueries({ queryKey: [key] });
      say(`${prompt.name}@${prompt.version} is deleted.`);
      void navigate({ to: "/prompts/$name", params: { name: prompt.name } });
    },
    onError: refused,
  });
  return (
    <>
      <Button kind="danger" icon="trash" aria-label="Delete this version" refused={prompt.name.startsWith("llmops/") ? "Built-in prompts cannot be changed." : refusal("editor") || (deployed && "A deployment answers with it.")} onClick={() => setOpen(true)} />
      <Confirm title={`Delete ${prompt.name}@${prompt.version}?`} open={open} onClose={() => setOpen(false)} onConfirm={() => remove.mutate()} action="Delete" danger busy={remove.isPending}><p>Runs that were made with it keep their manifests. Nobody can ask for this version any more.</p></Confirm>
    </>
  );
}

function Activate({ prompt, active }: { prompt: Prompt; active: Prompt | undefined }) {
  const [open, setOpen] = useState(false);
  const refusal = useRefusal();
  const client = useQueryClient();
  const { say, refused } = useSay();
  const runs = useRunsOf(prompt, open);
  const gated = runs.found?.find((run) => run.tags?.gate);
  // It may stand behind many runs that nobody asked the gate about.
  useReadOn(runs, open && runs.found !== undefined && !gated);
  const activate = useMutation({
    mutationFn: () => ok(api.POST("/api/v1/prompts/{name}/versions/{version}/activate", { params: { path: { name: prompt.name, version: prompt.version } } })),
    onSuccess: () => {
      setOpen(false);
      void client.invalidateQueries({ queryKey: ["prompt", prompt.name] });
      void client.invalidateQueries({ queryKey: ["prompts"] });
      say(`${prompt.name}@${prompt.version} is active.`);
    },
    onError: refused,
  });
  return (
    <>
      <Button kind="primary" refused={prompt.name.startsWith("llmops/") ? "Built-in prompts cannot be changed." : refusal("editor")} onClick={() => setOpen(true)}>Activate</Button>
      <Confirm title={`Activate ${prompt.name}@${prompt.version}?`} open={open} onClose={() => setOpen(false)} onConfirm={() => activate.mutate()} action="Activate" busy={activate.isPending}>
        <p>Whoever asks for {prompt.name} without a version gets {prompt.version} instead of {active?.version ?? "none"}. Deployments stay where they point.</p>
        {runs.isError && !gated ? <Problem error={runs.error} retry={() => void runs.refetch()} /> : !gated && (!runs.found || runs.hasNextPage) ? <Skeleton height={40} /> : gated ? (
          <Callout tone={gated.tags?.gate === "pass" ? "good" : "bad"}><strong>The gate {gated.tags?.gate === "pass" ? "passed" : gated.tags?.gate === "fail" ? "failed" : "could not decide"}</strong> on run <RunLink run={gated.id} /> (<Ago time={gated.created_at} />): <Est of={gated.results?.overall} inline /></Callout>
        ) : (
          <Callout tone="warn"><strong>No gate has seen this version.</strong> Evaluate it first, and ask the gate of that run.</Callout>
        )}
      </Confirm>
    </>
  );
}
