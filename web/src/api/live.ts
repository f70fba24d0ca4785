// Live pages: one stream of events, which marks what changed as stale.
import type { QueryClient } from "@tanstack/react-query";
import { useQueryClient } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import type { Run, Schemas } from "./client";

type Event = Schemas["StoredEvent"];

/** What to read again after an event, by the first word of its type. */
const STALE: Record<string, string[]> = {
  run: ["runs", "overview", "quality"],
  alert: ["alerts", "overview", "incidents"],
  deployment: ["deployments", "overview", "releases", "incidents"],
  experiment: ["experiments", "overview", "releases"],
  schedule: ["schedules"],
  canary: ["canaries", "deployments", "overview", "releases"],
  incident: ["incidents", "deployments", "overview"],
};

const TYPES = ["run.started", "run.progress", "run.completed", "run.failed", "run.cancelled", "alert", "deployment", "experiment", "schedule", "canary", "incident"];

function apply(client: QueryClient, event: Event) {
  if (event.type === "run.progress") {
    // Progress comes often: it is written into what is shown instead of asking again.
    const { run, progress } = event;
    client.setQueryData<Run>(["run", run], (old) => (old ? { ...old, progress } : old));
    client.setQueriesData<{ pages: { items: Run[] }[] }>({ queryKey: ["runs"] }, (old) =>
      old?.pages
        ? { ...old, pages: old.pages.map((page) => ({ ...page, items: page.items.map((item) => (item.id === run ? { ...item, progress } : item)) })) }
        : old,
    );
    return;
  }
  const kind = event.type.split(".")[0] ?? "";
  for (const key of STALE[kind] ?? []) void client.invalidateQueries({ queryKey: [key] });
  if ("run" in event && typeof event.run === "string") void client.invalidateQueries({ queryKey: ["run", event.run] });
}

/** Follows the events while mounted; answers whether the stream is open. */
export function useLive(): boolean {
  const client = useQueryClient();
  const [open, setOpen] = useState(false);
  useEffect(() => {
    const source = new EventSource("/api/v1/events");
    let missed = false;
    source.onopen = () => {
      setOpen(true);
      // What happened while nobody listened is unknown: everything shown is read again.
      if (missed) void client.invalidateQueries();
      missed = false;
    };
    source.onerror = () => {
      setOpen(false);
      missed = true;
    };
    const heard = (message: MessageEvent<string>) => apply(client, JSON.parse(message.data) as Event);
    for (const type of TYPES) source.addEventListener(type, heard);
    return () => source.close();
  }, [client]);
  return open;
}
