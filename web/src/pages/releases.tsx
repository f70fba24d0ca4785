import { useInfiniteQuery, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import type { Schemas } from "../api/client";
import { api, ok } from "../api/client";
import { sentence } from "../lib/format";
import { useRefusal } from "../session";
import { Ago, Badge, Button, Callout, Card, Empty, Field, Problem } from "../ui/base";
import type { Tone } from "../ui/base";
import { Dialog, useSay } from "../ui/layers";
import type { Column } from "../ui/table";
import { ListFoot, Table } from "../ui/table";
import { CandidateFields, useCandidate } from "./candidate";

export type Release = Schemas["Release"];
export type Step = Schemas["ReleaseStep"];

export const STEPS: Step[] = ["gate", "staging", "experiment", "approval", "production"];

const STATUS: Record<Release["status"], [Tone, string]> = { open: ["info", "On its way"], released: ["good", "Released"], cancelled: ["plain", "Cancelled"] };

export function ReleaseState({ of }: { of: Release }) {
  const [tone, text] = STATUS[of.status];
  return <Badge tone={of.status === "open" && of.step === "approval" ? "warn" : tone}>{of.status === "open" && of.step === "approval" ? "Waits for approval" : text}</Badge>;
}

/** How far it is, as five dots; in words for those who do not see them. */
export function Way({ of }: { of: Release }) {
  const at = of.status === "released" ? STEPS.length : STEPS.indexOf(of.step);
  return (
    <span className="row tight nowrap">
      <span className="way" aria-hidden="true">{STEPS.map((step, i) => <i key={step} data-state={i < at ? "done" : i === at && of.status === "open" ? "now" : "open"} />)}</span>
      <span className="muted">{of.status === "released" ? "all five steps" : sentence(of.step)}</span>
    </span>
  );
}

/** All releases, or those of a deployment. */
export function Releases({ deployment }: { deployment?: string }) {
  const refusal = useRefusal();
  const [beginning, setBeginning] = useState(false);
  const releases = useInfiniteQuery({
    queryKey: ["releases", "list", deployment],
    initialPageParam: undefined as string | undefined,
    queryFn: ({ pageParam }) => ok(api.GET("/api/v1/releases", { params: { query: { deployment, limit: 100, cursor: pageParam } } })),
    getNextPageParam: (last) => last.next_cursor ?? undefined,
  });
  const rows = releases.data?.pages.flatMap((page) => page.items);
  if (deployment && !rows?.length) return null;
  const columns: Column<Release>[] = [
    { head: "Release", cell: (one) => <Link className="cover wrap-any" to="/releases/$id" params={{ id: one.id }}>{one.label}</Link> },
    ...(deployment ? [] : [{ head: "Deployment", cell: (one: Release) => one.deployment }]),
    { head: "State", cell: (one) => <ReleaseState of={one} /> },
    { head: "Step", cell: (one) => (one.status === "cancelled" ? <span className="faint">at {one.step}</span> : <Way of={one} />) },
    { head: "Begun", right: true, cell: (one) => <><Ago time={one.created_at} /><div className="faint tiny">{one.created_by}</div></> },
  ];
  return (
    <Card title="Releases" flush aside={!deployment && <Button small kind="primary" icon="plus" refused={refusal("operator")} onClick={() => setBeginning(true)}>New release</Button>}>
      <Table label="Releases" columns={columns} rows={rows} id={(one) => one.id} error={releases.error} expected={3} retry={() => void releases.refetch()} empty={<Empty title="Nothing was released step by step" command="llmops release support-bot --prompt support-bot@1.1.0">A release walks one manifest through gate, staging, an experiment on a tenth of the users and an approval to production. It stops where evidence or a person is missing.</Empty>} />
      {rows && rows.length > 0 && <ListFoot shown={rows.length} more={releases.hasNextPage} loading={releases.isFetchingNextPage} onMore={() => void releases.fetchNextPage()} what={rows.length === 1 ? "release" : "releases"} />}
      {beginning && <BeginRelease onClose={() => setBeginning(false)} />}
    </Card>
  );
}

/** Begins a release. The gate is asked first: live traffic is not touched before the experiment. */
export function BeginRelease({ of, onClose }: { of?: string | undefined; onClose: () => void }) {
  const deployments = useQuery({ queryKey: ["deployments"], queryFn: () => ok(api.GET("/api/v1/deployments", { params: { query: { limit: 200 } } })) });
  const live = deployments.data?.items.filter((one) => one.environment === "production");
  const [name, setName] = useState(of ?? "");
  const chosen = name || live?.[0]?.name || "";
  const candidate = useCandidate(live?.find((one) => one.name === chosen)?.manifest);
  const client = useQueryClient();
  const navigate = useNavigate();
  const { say } = useSay();
  const begin = useMutation({
    mutationFn: () => ok(api.POST("/api/v1/releases/{deployment}", { params: { path: { deployment: chosen } }, body: { manifest: candidate.manifest } })),
    onSuccess: (release) => {
      for (const key of ["releases", "deployments", "overview"]) void client.invalidateQueries({ queryKey: [key] });
      say(release.status === "released" ? "It is released." : `The release is at the step ${release.step}.`);
      void navigate({ to: "/releases/$id", params: { id: release.id } });
    },
  });
  return (
    <Dialog title={of ? `Release to ${of}` : "New release"} open onClose={onClose} footer={<><Button onClick={onClose}>Cancel</Button><Button kind="primary" disabled={begin.isPending || !chosen || !candidate.changed || !candidate.manifest} onClick={() => begin.mutate()}>{begin.isPending ? "Beginning…" : "Begin the release"}</Button></>}>
      {begin.isError && <Problem error={begin.error} />}
      {live?.length === 0 && <Callout tone="warn">Nothing is deployed to production yet: “New deployment” begins one.</Callout>}
      {!of && <Field label="Deployment">{(props) => <select {...props} className="select" value={chosen} onChange={(event) => { setName(event.target.value); candidate.reset(); }}>{live?.map((one) => <option key={one.name}>{one.name}</option>)}</select>}</Field>}
      <CandidateFields of={candidate} />
      {candidate.name && !candidate.changed && <p className="faint">This is what answers now. Choose another version or model.</p>}
      <ol className="numbered muted">
        <li><strong>Gate:</strong> a run of exactly this passed lately.</li>
        <li><strong>Staging:</strong> it is deployed there and answers 20 calls well.</li>
        <li><strong>Experiment:</strong> a tenth of the users get it, and like it better.</li>
        <li><strong>Approval:</strong> a person allows it.</li>
        <li><strong>Production:</strong> it answers everybody.</li>
      </ol>
    </Dialog>
  );
}
