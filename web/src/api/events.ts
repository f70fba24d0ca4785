// The server's stream of events.
import type { Schemas } from "./client";
import { own } from "./stream";

/** Every type that the server knows: a type that is missing here fails the type check. */
const TYPES: Record<Schemas["StoredEvent"]["type"], true> = {
  "run.started": true,
  "run.progress": true,
  "run.completed": true,
  "run.failed": true,
  "run.cancelled": true,
  alert: true,
  deployment: true,
  experiment: true,
  prompt: true,
  dataset: true,
  schedule: true,
  canary: true,
  incident: true,
};

export const eventStream = own(() => new EventSource("/api/v1/events"), Object.keys(TYPES));
