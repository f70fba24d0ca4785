import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, getRouteApi } from "@tanstack/react-router";
import { useState } from "react";
import type { Schemas } from "../api/client";
import { api, ok } from "../api/client";
import { moment, sentence, words } from "../lib/format";
import { useRefusal } from "../session";
import { Ago, Badge, Button, Card, Empty, PageHead, Problem, Skeleton } from "../ui/base";
import type { Tone } from "../ui/base";
import { Confirm, Dialog, useSay } from "../ui/layers";
import { RunLink } from "../ui/parts";
import type { Column } from "../ui/table";
import { Table } from "../ui/table";
import { NewSchedule } from "./schedule-new";

const route = getRouteApi("/schedules");
type Schedule = Schemas["Schedule"];
const FIRING: Record<Schemas["FiringStatus"], Tone> = { due: "info", started: "good", skipped: "warn", missed: "warn", failed: "bad" };

/** What a schedule does, in a few words. */
function what(schedule: Schedule): string {
  const { run, task } = schedule;
  if (run) return `${run.suite ?? run.target.name} on ${run.dataset}`;
  if (task?.kind === "rehearsal") return `Rehearses a rollback of ${task.deployment}`;
  return task ? sentence(words(task.kind)) : "–";
}

export function SchedulesPage() {
  const { schedule: open } = route.useSearch();
  const navigate = route.useNavigate();
  const schedules = useQuery({ queryKey: ["schedules"], queryFn: () => ok(api.GET("/api/v1/schedules", { params: { query: { limit: 200 } } })) });
  const refusal = useRefusal();
  const act = useAct();
  const [making, setMaking] = useState(false);
  const columns: Column<Schedule>[] = [
    { head: "Schedule", cell: (one) => <span className="row tight"><Link className="cover" to="/schedules" search={{ schedule: one.name }} replace>{one.name}</Link>{one.paused && <Badge tone="warn">Paused</Badge>}{one.origin === "config" && <Badge>llmops.yaml</Badge>}</span> },
    { head: "When", cell: (one) => <><span className="mono nowrap">{one.cron ?? `every ${one.every}`}</span>{one.cron && <div className="faint tiny nowrap">{one.timezone ?? "UTC"}</div>}</> },
    { head: "What", wide: true, cell: (one) => <div className="muted" style={{ minWidth: 130 }}>{what(one)}</div> },
    { head: "Next", cell: (one) => (one.paused ? <span className="faint wide-only">–</span> : <Ago time={one.next_at} />) },
    { head: "Last", cell: (one) => (one.last ? <span className="row tight"><span className="faint small narrow-only">Last</span><Badge tone={FIRING[one.last.status]}>{sentence(one.last.status)}</Badge><Ago time={one.last.fire_at} /></span> : <span className="faint wide-only">never</span>) },
    { head: <span className="sr">Actions</span>, right: true, cell: (one) => <span className="row tight" style={{ justifyContent: "flex-end" }}><Button small refused={refusal("operator")} onClick={() => act.mutate({ schedule: one.name, what: "run" })}>Run now</Button><Button small kind="quiet" refused={refusal("operator")} onClick={() => act.mutate({ schedule: one.name, what: one.paused ? "resume" : "pause" })}>{one.paused ? "Resume" : "Pause"}</Button></span> },
  ];
  return (
    <>
      <PageHead title="Schedules" lead="What starts by itself: evaluations, rehearsals of a rollback, the report on feedback.">
        <Button kind="primary" icon="plus" refused={refusal("operator")} onClick={() => setMaking(true)}>New schedule</Button>
      </PageHead>
      <Card label="Schedules" flush><Table label="Schedules" columns={columns} rows={schedules.data?.items} id={(one) => one.name} error={schedules.error} retry={() => void schedules.refetch()} empty={<Empty title="Nothing is scheduled" action={<Button kind="primary" icon="plus" refused={refusal("operator")} onClick={() => setMaking(true)}>Schedule something</Button>} command="llmops schedule add nightly --suite default --cron '0 3 * * *'">A suite in llmops.yaml may also name its own: <code>schedule: "@daily"</code>.</Empty>} /></Card>
      {making && <NewSchedule onClose={() => setMaking(false)} />}
      {open && <ScheduleDialog name={open} onClose={() => void navigate({ search: {}, replace: true })} />}
    </>
  );
}

function useAct() {
  const client = useQueryClient();
  const { say, refused } = useSay();
  return useMutation({
    mutationFn: async ({ schedule, what }: { schedule: string; what: "run" | "pause" | "resume" }): Promise<unknown> => {
      const path = { params: { path: { schedule } } };
      if (what === "run") return ok(api.POST("/api/v1/schedules/{schedule}/run", path));
      return what === "pause" ? ok(api.POST("/api/v1/schedules/{schedule}/pause", path)) : ok(api.POST("/api/v1/schedules/{schedule}/resume", path));
    },
    onSuccess: (_, { schedule, what }) => {
      void client.invalidateQueries({ queryKey: ["schedules"] });
      say(what === "run" ? `${schedule} starts now.` : what === "pause" ? `${schedule} is paused.` : `${schedule} goes on.`);
    },
    onError: refused,
  });
}

function ScheduleDialog({ name, onClose }: { name: string; onClose: () => void }) {
  const path = { params: { path: { schedule: name } } };
  const found = useQuery({ queryKey: ["schedules", name], queryFn: () => ok(api.GET("/api/v1/schedules/{schedule}", path)) });
  const preview = useQuery({ queryKey: ["schedules", name, "preview"], queryFn: () => ok(api.GET("/api/v1/schedules/{schedule}/preview", { params: { path: { schedule: name }, query: { count: 5 } } })) });
  const firings = useQuery({ queryKey: ["schedules", name, "firings"], queryFn: () => ok(api.GET("/api/v1/schedules/{schedule}/firings", { params: { path: { schedule: name }, query: { limit: 30 } } })) });
  const one = found.data;
  return (
    <Dialog title={name} shape="drawer" open onClose={onClose} footer={one && <Remove schedule={one} onDone={onClose} />}>
      {found.isError ? <Problem error={found.error} /> : !one ? <Skeleton height={160} /> : (
        <>
          <dl className="facts">
            <dt>When</dt><dd className="mono">{one.cron ?? `every ${one.every}`}</dd>
            <dt>Time zone</dt><dd>{one.timezone ?? "UTC"}</dd>
            {one.run ? <><dt>Target</dt><dd>{one.run.target.name}</dd></> : <><dt>Does</dt><dd>{what(one)}</dd></>}
            {one.run && <><dt>Dataset</dt><dd><Link className="link" to="/datasets/$name" params={{ name: one.run.dataset.split("@")[0] ?? "" }}>{one.run.dataset}</Link></dd></>}
            <dt>Overlap</dt><dd>{one.overlap === "queue" ? "waits for the previous one" : "left out while the previous one is at work"}</dd>
            <dt>Missed</dt><dd>{one.missed === "run_once" ? "made up for, once" : "left out"}</dd>
          </dl>
          <h3>Next <span className="faint" style={{ fontWeight: 400 }}>in your time zone, {Intl.DateTimeFormat().resolvedOptions().timeZone}</span></h3>
          {preview.data ? <ul>{preview.data.firings.map((at) => <li key={at} className="num">{moment(at)}</li>)}</ul> : <Skeleton height={60} />}
          <h3>Past</h3>
          {firings.isError ? <Problem error={firings.error} /> : <Table label="Firings" compact rows={firings.data?.items} id={(firing) => firing.fire_at} expected={3} columns={[
            { head: "Time", cell: (firing) => moment(firing.fire_at) },
            { head: "State", cell: (firing) => <Badge tone={FIRING[firing.status]}>{sentence(firing.status)}</Badge> },
            { head: "Run", cell: (firing) => (firing.run ? <RunLink run={firing.run} /> : <span className="muted">{firing.note ?? "–"}</span>) },
          ]} empty={<p className="muted">It never fired.</p>} />}
        </>
      )}
    </Dialog>
  );
}

function Remove({ schedule, onDone }: { schedule: Schedule; onDone: () => void }) {
  const [asked, setAsked] = useState(false);
  const refusal = useRefusal();
  const client = useQueryClient();
  const { say, refused } = useSay();
  const remove = useMutation({
    mutationFn: () => ok(api.DELETE("/api/v1/schedules/{schedule}", { params: { path: { schedule: schedule.name } } })),
    onSuccess: () => {
      void client.invalidateQueries({ queryKey: ["schedules"] });
      say(`${schedule.name} is removed. Its runs stay.`);
      onDone();
    },
    onError: refused,
  });
  const no = refusal("operator") || (schedule.origin === "config" && "It stands in llmops.yaml: take it out there.");
  return (
    <>
      <Button kind="danger" icon="trash" refused={no} onClick={() => setAsked(true)}>Remove</Button>
      <Confirm title={`Remove ${schedule.name}?`} open={asked} onClose={() => setAsked(false)} onConfirm={() => remove.mutate()} action="Remove" danger busy={remove.isPending}><p>It starts nothing any more, and the list of its firings goes. Runs that it started stay.</p></Confirm>
    </>
  );
}
