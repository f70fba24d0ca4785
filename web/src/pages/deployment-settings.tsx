import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import type { Schemas } from "../api/client";
import { lasting, percent, plural, sentence, words } from "../lib/format";
import { Card } from "../ui/base";

type Set = Schemas["DeploymentSettings"];

/** A setting in words; empty where it says nothing. */
export function told(value: unknown): string {
  if (value == null || value === false || value === "") return "";
  if (Array.isArray(value)) return value.map(told).filter(Boolean).join(", ");
  if (typeof value !== "object") return String(value);
  return Object.entries(value).map(([name, one]) => (one === true ? words(name) : told(one) && `${words(name)} ${told(one)}`)).filter(Boolean).join(", ");
}

/** What each setting is called, and how its value reads. Those that are not here are told as they are. */
const NAMES: { [K in keyof Set]?: [string, (value: NonNullable<Set[K]>) => ReactNode] } = {
  merge: ["Callers’ system message", (value) => ({ keep: "kept beside the deployment’s", replace: "replaced by the deployment’s", refuse: "refused" })[value]],
  choose: ["Asked first", (value) => (value === "verifier" ? "the healthy place with the best score" : "the manifest’s model, then its fallbacks in order")],
  fallbacks: ["Fallbacks", (value) => <span className="mono">{value.join(", ")}</span>],
  retries: ["Retries", (value) => (value === 0 ? "none" : `${plural(value, "more attempt")} at each place`)],
  timeout_first_byte: ["First byte within", lasting],
  timeout_total: ["Whole answer within", lasting],
  hedge_after: ["Asks another place after", lasting],
  experiment: ["Experiment", (value) => <Link className="link" to="/experiments">{value}</Link>],
  bodies: ["Bodies in records", (value) => ({ full: "kept, with addresses, numbers and keys replaced", raw: "kept as they are", hashed: "kept as hashes", none: "not kept" })[value]],
  body_sampling: ["Bodies are kept of", (value) => `${percent(value)} of calls`],
  guard: ["Counts as a soft failure", (value) => <Guard of={value} />],
  gate_max_age: ["A gate’s run may be", (value) => `${lasting(value)} old`],
  require_gate: ["Deployed only", () => "after its gate passed"],
  require_approval: ["Changed only", () => "once a second key approves"],
  hash_users: ["Users", () => "kept as hashes"],
  allow_override: ["Callers may set", (value) => value.join(", ")],
};

function Guard({ of }: { of: NonNullable<Set["guard"]> }) {
  const { alert, actions, ...checks } = of;
  return (
    <>
      {told(checks) || "nothing"}
      {actions && actions.length > 0 && <div className="muted">Then: {actions.map(words).join(", ")}</div>}
      {alert && <div className="muted">Alerts from {percent(alert.rate)} of at least {plural(alert.min_calls ?? 0, "call")} in {lasting(alert.window)}{alert.drift && ", or when the rate drifts"}</div>}
    </>
  );
}

export function Settings({ deployment }: { deployment: Schemas["Deployment"] }) {
  const settings = Object.entries(deployment.settings ?? {}).flatMap(([name, value]): [string, ReactNode][] => {
    if (value === true ? false : told(value) === "") return [];
    const known = NAMES[name as keyof Set] as [string, (value: unknown) => ReactNode] | undefined;
    return [[known?.[0] ?? sentence(words(name)), known ? known[1](value) : value === true ? "yes" : told(value)]];
  });
  return <Card title="Settings">{settings.length === 0 ? <p className="muted">None of its own.</p> : <dl className="facts">{settings.map(([name, text]) => <div key={name}><dt>{name}</dt><dd>{text}</dd></div>)}</dl>}</Card>;
}
