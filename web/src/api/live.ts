// Live pages: a stream of events, which marks what changed as stale; what has no events is read again from time to time.
import type { QueryClient } from "@tanstack/react-query";
import { useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef, useState } from "react";
import type { Run, Schemas } from "./client";
import { eventStream } from "./events";
import worker from "./events.worker?sharedworker&url";
import { shared, whileSeen } from "./stream";

type Event = Schemas["StoredEvent"];

/** What to read again after an event, by the first word of its type. */
const STALE: Record<string, string[]> = {
  run: ["runs", "overview", "quality"],
  alert: ["alerts", "overview", "incidents"],
  deployment: ["deployments", "overview", "releases", "incidents"],
  experiment: ["experiments", "overview", "releases"],
  prompt: ["prompt", "prompts", "palette", "overview"],
  dataset: ["dataset", "datasets", "palette"],
  schedule: ["schedules"],
  canary: ["canaries", "deployments", "overview", "releases"],
  incident: ["incidents", "deployments", "overview"],
};

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

/** What no event tells of is read again this often, while it is seen. */
const EVERY = 30_000;

/** Not among them: one item of the queue, which must not change under somebody's hands. */
const SILENT = ["records", "traffic", "feedback", "keys", "audit", "providers", "channels", "deliveries", "silences", "baselines", "calibrations"];

/** The worker of all windows that the same key is signed in to; null where the browser has no such workers. */
const connect = (who: string) => (failed: () => void) => {
  if (!("SharedWorker" in window)) return null;
  const found = new SharedWorker(worker, { type: "module", name: `llmops events of ${who}` });
  found.onerror = failed;
  return found.port;
};

/** Follows the events while somebody is signed in, and `who` that is; answers whether the stream is open: null before that is known. */
export function useLive(who: string | null): boolean | null {
  const client = useQueryClient();
  const [open, setOpen] = useState<boolean | null>(null);
  const before = useRef(false);
  useEffect(() => {
    if (who === null) return;
    // What happened while nobody listened is unknown: everything shown is read again.
    const missed = () => void client.invalidateQueries();
    if (before.current) missed();
    before.current = true;
    const stop = whileSeen(shared(connect(who), eventStream), {
      open: setOpen,
      missed,
      // It may be the session that is over.
      refused: () => void client.invalidateQueries({ queryKey: ["session"] }),
      event: (text) => apply(client, JSON.parse(text) as Event),
    });
    return () => {
      stop();
      setOpen(false);
    };
  }, [client, who]);
  useEffect(() => {
    if (!open) return;
    const timer = setInterval(() => void client.refetchQueries({ type: "active", stale: true, predicate: ({ queryKey }) => SILENT.includes(String(queryKey[0])) }, { cancelRefetch: false }), EVERY);
    return () => clearInterval(timer);
  }, [client, open]);
  return open;
}
