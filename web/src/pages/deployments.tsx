import { useQuery } from "@tanstack/react-query";
import { Link, getRouteApi } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { useState } from "react";
import type { Schemas } from "../api/client";
import { api, ok } from "../api/client";
import { openIncidents, openReleases } from "../api/open";
import { useRefusal } from "../session";
import { Ago, Badge, Button, Card, Empty, PageHead } from "../ui/base";
import { ManifestLine } from "../ui/manifest";
import { Hash, PART } from "../ui/parts";
import type { Column } from "../ui/table";
import { Table } from "../ui/table";
import { Canaries } from "./canary";
import { NewDeployment } from "./deployment-new";
import { Incidents } from "./incidents";
import { Releases } from "./releases";
import { Waiting } from "./waiting";

const route = getRouteApi("/deployments");
type Deployment = Schemas["Deployment"];

export function DeploymentsPage() {
  const { tab = "live" } = route.useSearch();
  const releases = useQuery(openReleases);
  const incidents = useQuery(openIncidents);
  const no = useRefusal()("operator");
  const [making, setMaking] = useState(false);
  const open: Record<string, number> = { releases: releases.data?.items.length ?? 0, incidents: incidents.data?.items.length ?? 0 };
  return (
    <>
      <PageHead title="Deployments" lead="Names that live traffic calls. Each points to one exact manifest, with its whole history.">
        <Button kind="primary" icon="plus" refused={no} onClick={() => setMaking(true)}>New deployment</Button>
      </PageHead>
      <nav className="tabs" aria-label="Parts of the deployments">
        {([["live", "What runs where"], ["releases", "Releases"], ["incidents", "Incidents"]] as const).map(([key, label]) => (
          <Link key={key} to="/deployments" search={{ tab: key === "live" ? undefined : key }} replace activeOptions={PART} aria-current={tab === key ? "page" : undefined}>
            {label}
            {open[key] ? <span className={`count ${key === "incidents" ? "bad" : ""}`}>{open[key]}<span className="sr"> open</span></span> : null}
          </Link>
        ))}
      </nav>
      {tab === "releases" ? <Releases /> : tab === "incidents" ? <Incidents /> : <Live make={<Button kind="primary" icon="plus" refused={no} onClick={() => setMaking(true)}>Deploy one</Button>} />}
      {making && <NewDeployment onClose={() => setMaking(false)} />}
    </>
  );
}

function Live({ make }: { make: ReactNode }) {
  const deployments = useQuery({ queryKey: ["deployments"], queryFn: () => ok(api.GET("/api/v1/deployments", { params: { query: { limit: 200 } } })) });
  const columns: Column<Deployment>[] = [
    { head: "Deployment", cell: (one) => <span className="row tight"><Link className="cover" to="/deployments/$name" params={{ name: one.name }} search={{ environment: one.environment }}>{one.name}</Link>{one.safe_mode && <Badge tone="bad">Safe mode</Badge>}</span> },
    { head: "Environment", cell: (one) => <Badge>{one.environment}</Badge> },
    { head: "What answers", cell: (one) => <ManifestLine hash={one.manifest} /> },
    { head: "Manifest", wide: true, cell: (one) => <Hash of={one.manifest} /> },
    { head: "Revision", right: true, wide: true, cell: (one) => one.revision },
    ...(deployments.data?.items.some((one) => one.updated_by) ? [{ head: "By", wide: true, cell: (one: Deployment) => one.updated_by ?? <span className="faint">–</span> }] : []),
    { head: "Changed", right: true, cell: (one) => <Ago time={one.updated_at} /> },
  ];
  return (
    <Waiting>
      <Card label="Deployments" flush>
        <Table label="Deployments" columns={columns} rows={deployments.data?.items} id={(one) => `${one.name}/${one.environment}`} error={deployments.error} expected={3} retry={() => void deployments.refetch()} empty={<Empty title="Nothing is deployed" action={make} command="llmops deploy support-bot --prompt support-bot --model PROVIDER/MODEL">Deploy a prompt with a model; an OpenAI client that names the deployment as its model is then answered by it.</Empty>} />
      </Card>
      <Canaries />
    </Waiting>
  );
}
