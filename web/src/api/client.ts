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

const SESSION = "/api/v1/session";
/** What the server answered when it did not know the session any more. */
let ended: string | null = null;
/** How often somebody has signed in, and how often they had when something was asked for. */
let signedIn = 0;
const asked = new WeakMap<Request, number>();

// Pages stay behind the sign-in, and go on asking: they hear the same again, and the server nothing, until somebody signs in.
api.use({
  onRequest: ({ request, schemaPath }) => {
    if (ended !== null && schemaPath !== SESSION) return new Response(ended, { status: 401, headers: { "content-type": "application/json" } });
    asked.set(request, signedIn);
    return undefined;
  },
  onResponse: async ({ request, response, schemaPath }) => {
    if (schemaPath === SESSION && response.ok) {
      ended = null;
      signedIn += 1;
    } else if (response.status === 401) {
      const body = await response.clone().text();
      if (asked.get(request) === signedIn) ended = body;
    }
    return undefined;
  },
});

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
    throw new Refusal(0, { message: "the server cannot be reached", hint: "its process may have stopped, or the network is gone; the page tries again by itself" });
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

/** A command of the command line that reaches this server, from whatever machine. The key is read from LLMOPS_API_KEY. */
export const onServer = (command: string): string => (command.startsWith("llmops ") ? `${command} --server ${window.location.origin}` : command);

/** The command that sends a body to this server. */
export const curl = (path: string, body: unknown): string =>
  [`curl ${window.location.origin}${path}`, '-H "Authorization: Bearer $LLMOPS_API_KEY"', '-H "content-type: application/json"', `-d '${JSON.stringify(body)}'`].join(" \\\n  ");
