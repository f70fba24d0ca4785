import { useInfiniteQuery } from "@tanstack/react-query";
import { Link, getRouteApi } from "@tanstack/react-router";
import type { Schemas } from "../api/client";
import { api, ok } from "../api/client";
import { percent, sentence, words } from "../lib/format";
import { useRefusal } from "../session";
import { Ago, Badge, Button, Card, Dot, Empty, PageHead } from "../ui/base";
import type { Tone } from "../ui/base";
import { Icon } from "../ui/icons";
import type { Column } from "../ui/table";
import { ListFoot, Table } from "../ui/table";

const route = getRouteApi("/experiments");
export type Experiment = Schemas["Experiment"];

const TONES: Record<Schemas["ExperimentStatus"], Tone> = { draft: "plain", running: "info", paused: "warn", completed: "good", cancelled: "plain" };

export function ExperimentStatus({ of }: { of: Schemas["ExperimentStatus"] }) {
  return <span className="row tight nowrap"><Dot tone={TONES[of]} pulse={of === "running"} />{sentence(of)}</span>;
}

export const targetOf = (experiment: Experiment): string => experiment.target_metric ?? experiment.metrics?.find((metric) => !metric.guardrail)?.name ?? experiment.metrics?.[0]?.name ?? "–";

export function ExperimentsPage() {
  const { status } = route.useSearch();
  const navigate = route.useNavigate();
  const refusal = useRefusal();
  const experiments = useInfiniteQuery({
    queryKey: ["experiments", status],
    initialPageParam: undefined as string | undefined,
    queryFn: ({ pageParam }) => ok(api.GET("/api/v1/experiments", { params: { query: { status: status as Schemas["ExperimentStatus"] | undefined, limit: 50, cursor: pageParam } } })),
    getNextPageParam: (last) => last.next_cursor ?? undefined,
    placeholderData: (old) => old,
  });
  const rows = experiments.data?.pages.flatMap((page) => page.items);
  const columns: Column<Experiment>[] = [
    { head: "Experiment", cell: (one) => <div className="stack tight" style={{ gap: 0 }}><span className="row tight"><Link className="cover" to="/experiments/$id" params={{ id: one.id }}>{one.name}</Link>{/^rel-[0-9a-z]{10,}$/.test(one.name) && <Badge tone="accent">Of a release</Badge>}{one.metadata?.simulated === true && <Badge>Simulated</Badge>}</span>{one.description && <span className="muted truncate" style={{ maxWidth: 380, fontSize: 12 }}>{one.description}</span>}</div> },
    { head: "Status", cell: (one) => <ExperimentStatus of={one.status} /> },
    { head: "Variants", wide: true, cell: (one) => <span className="row tight wrap">{one.variants.map((variant) => <Badge key={variant.id} tone={variant.id === one.winner ? "good" : "plain"}>{variant.name || variant.id}{variant.is_control && (variant.name || variant.id) !== "control" ? " (control)" : ""}</Badge>)}</span> },
    { head: "Decides", wide: true, cell: (one) => words(targetOf(one)) },
    { head: "Coverage", right: true, wide: true, cell: (one) => percent(one.coverage ?? 1) },
    { head: "Started", right: true, cell: (one) => <Ago time={one.start_time ?? one.created_at} /> },
  ];
  return (
    <>
      <PageHead title="Experiments" lead="Two or more variants on live users. The numbers may be looked at every day: the intervals hold.">
        {refusal("editor") ? <Button refused={refusal("editor")}>New experiment</Button> : <Link className="btn primary" to="/experiments/new"><Icon name="plus" />New experiment</Link>}
      </PageHead>
      <div className="filters">
        <span className="segmented" role="group" aria-label="Status">
          {([undefined, "running", "paused", "draft", "completed", "cancelled"] as const).map((one) => <button key={one ?? "all"} type="button" aria-pressed={status === one} onClick={() => void navigate({ search: { status: one }, replace: true })}>{one ? sentence(one) : "All"}</button>)}
        </span>
      </div>
      <Card label="Experiments" flush>
        <Table label="Experiments" columns={columns} rows={rows} id={(one) => one.id} error={experiments.error} retry={() => void experiments.refetch()} empty={status ? <Empty title={`No experiment is ${status}`} /> : <Empty title="No experiments yet" action={!refusal("editor") && <Link className="btn primary" to="/experiments/new"><Icon name="plus" />Plan one</Link>} command="llmops experiment create experiment.yaml">The plan says first how many users it takes to find a change.</Empty>} />
        {rows && rows.length > 0 && <ListFoot shown={rows.length} more={experiments.hasNextPage} loading={experiments.isFetchingNextPage} onMore={() => void experiments.fetchNextPage()} what={rows.length === 1 ? "experiment" : "experiments"} />}
      </Card>
    </>
  );
}
