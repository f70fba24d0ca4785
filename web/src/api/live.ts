// Live pages: a stream of events, which marks what changed as stale; what has no events is read again from time to time.
import type { QueryClient } from "@tanstack/react-query";
import { useQueryClient } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import type { Run, Schemas } from "./client";
import { follow } from "./stream";

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

/** Lists and sums that no event tells of are read again this often, while they are seen. */
const EVERY = 30_000;

/** Not among them: the pages of one prompt, one dataset and one item of the queue, which must not change under somebody's hands. */
const SILENT = ["prompts", "datasets", "records", "traffic", "feedback", "keys", "audit", "providers", "channels", "deliveries", "silences"];

/** Follows the events while somebody is signed in; answers whether the stream is open. */
export function useLive(signedIn: boolean): boolean {
  const client = useQueryClient();
  const [open, setOpen] = useState(false);
  useEffect(() => {
    if (!signedIn) return;
    const heard = (message: MessageEvent<string>) => apply(client, JSON.parse(message.data) as Event);
    const make = () => {
      const source = new EventSource("/api/v1/events");
      for (const type of TYPES) source.addEventListener(type, heard);
      return source;
    };
    const stop = follow(make, {
      open: setOpen,
      // What happened while nobody listened is unknown: everything shown is read again.
      missed: () => void client.invalidateQueries(),
      // It may be the session that is over.
      refused: () => void client.invalidateQueries({ queryKey: ["session"] }),
    });
    return () => {
      stop();
      setOpen(false);
    };
  }, [client, signedIn]);
  useEffect(() => {
    if (!open) return;
    const timer = setInterval(() => void client.refetchQueries({ type: "active", stale: true, predicate: ({ queryKey }) => SILENT.includes(String(queryKey[0])) }, { cancelRefetch: false }), EVERY);
    return () => clearInterval(timer);
  }, [client, open]);
  return open;
}
