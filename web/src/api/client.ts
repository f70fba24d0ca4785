// The typed client. Types come from the server's OpenAPI document, so a change of the API that a page does not follow
// fails the type check.
import createClient from "openapi-fetch";
import type { components, paths } from "./schema";

export type Schemas = components["schemas"];
export type Run = Schemas["EvaluationRun"];
export type Estimate = Schemas["Estimate"];
export type Prompt = Schemas["PromptVersion"];
export type Role = Schemas["KeyRole"];

export const api = createClient<paths>({ baseUrl: window.location.origin });

/** An answer of the server that says what is wrong. */
export class Refusal extends Error {
  readonly status: number;
  readonly code: string;
  readonly hint: string | undefined;
  readonly problems: Schemas["Problem"][];

  constructor(status: number, body: Partial<Schemas["ErrorBody"]>) {
    super(body.message ?? `the server answered ${status}`);
    this.name = "Refusal";
    this.status = status;
    this.code = body.code ?? "internal";
    this.hint = body.hint ?? undefined;
    this.problems = body.problems ?? [];
  }
}

interface Answer<T> {
  data?: T;
  error?: unknown;
  response: Response;
}

/** The data of an answer, or its refusal as an exception. */
export async function ok<T>(answer: Promise<Answer<T>>): Promise<T> {
  let got: Answer<T>;
  try {
    got = await answer;
  } catch {
    throw new Refusal(0, { message: "the server cannot be reached", hint: "is `llmops serve` running? the page tries again by itself" });
  }
  if (!got.response.ok) {
    const body = (got.error as { error?: Partial<Schemas["ErrorBody"]> } | undefined)?.error ?? {};
    throw new Refusal(got.response.status, body);
  }
  return got.data as T;
}

const ROLES: Role[] = ["viewer", "editor", "operator", "admin"];

/** Whether a role includes another one. */
export function includes(role: Role | undefined, needed: Role): boolean {
  return role !== undefined && ROLES.indexOf(role) >= ROLES.indexOf(needed);
}

/** A request by hand: for bodies that are not JSON, and for answers whose types a page declares itself. */
export async function send<T>(method: "GET" | "POST" | "DELETE", path: string, body?: unknown): Promise<T> {
  let response: Response;
  try {
    response = await fetch(path, { method, ...(body === undefined ? {} : { headers: { "content-type": "application/json" }, body: JSON.stringify(body) }) });
  } catch {
    throw new Refusal(0, { message: "the server cannot be reached" });
  }
  const text = await response.text();
  const answer = text ? (JSON.parse(text) as T & { error?: Schemas["ErrorBody"] }) : ({} as T & { error?: undefined });
  if (!response.ok) throw new Refusal(response.status, answer.error ?? {});
  return answer;
}

/** A page of a list. */
export interface PageOf<T> {
  items: T[];
  next_cursor?: string | null;
}
