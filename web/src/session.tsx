// Who uses the dashboard, and signing in with a key.
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { createContext, useContext, useState } from "react";
import type { Role, Schemas } from "./api/client";
import { Refusal, api, includes, ok } from "./api/client";
import { Button, Field, Problem } from "./ui/base";
import { Logo } from "./ui/icons";

const Current = createContext<Schemas["Session"] | null>(null);

export const useSession = () => useContext(Current);

/** Whether the reader is who did something, by the key, since names are not unique; without keys, by the name. */
export const isOwn = (session: Schemas["Session"] | null, name: string, key: string | null | undefined): boolean => Boolean(session && (session.key ? key === session.key : !key && name === session.name));

/** Null when the role suffices, else why not. */
export function useRefusal(): (needed: Role) => string | false {
  const session = useSession();
  return (needed) => (includes(session?.role, needed) ? false : `This needs the role ${needed}; your key has ${session?.role ?? "none"}.`);
}

export async function signOut() {
  await api.DELETE("/api/v1/session");
  window.location.assign("/");
}

export function SessionGate({ children }: { children: ReactNode }) {
  const session = useQuery({
    queryKey: ["session"],
    queryFn: async () => {
      try {
        return await ok(api.GET("/api/v1/session"));
      } catch (error) {
        if (error instanceof Refusal && error.status === 401) return null;
        throw error;
      }
    },
    staleTime: 60_000,
    retry: (count, error) => !(error instanceof Refusal && error.status > 0) && count < 5,
  });
  if (session.isPending) return <div className="gate" aria-busy="true" />;
  if (session.isError) return <div className="gate"><div className="stack loose" style={{ width: "min(460px, 100%)" }}><Problem error={session.error} retry={() => void session.refetch()} /></div></div>;
  if (!session.data) return <SignIn />;
  return <Current.Provider value={session.data}>{children}</Current.Provider>;
}

function SignIn() {
  const [key, setKey] = useState("");
  const client = useQueryClient();
  const signIn = useMutation({
    mutationFn: () => ok(api.POST("/api/v1/session", { body: { key: key.trim() } })),
    onSuccess: (session) => client.setQueryData(["session"], session),
  });
  return (
    <main className="gate">
      <form
        className="card"
        onSubmit={(event) => {
          event.preventDefault();
          signIn.mutate();
        }}
      >
        <div className="brand" style={{ padding: 0 }}><Logo /> llmops</div>
        <div className="stack tight">
          <h1>Sign in with a key</h1>
          <p className="muted">The server printed an admin’s key at its first start. An admin makes more with <code>llmops key create NAME --role ROLE</code>.</p>
        </div>
        <Field label="Key">
          {(props) => <input {...props} className="input mono" type="password" autoComplete="current-password" autoFocus value={key} onChange={(event) => setKey(event.target.value)} placeholder="llmops_…" />}
        </Field>
        {signIn.isError && <Problem error={signIn.error} />}
        <Button kind="primary" type="submit" disabled={signIn.isPending || key.trim() === ""}>{signIn.isPending ? "Signing in…" : "Sign in"}</Button>
        <p className="faint">The session lasts twelve hours at most, in a cookie that no script can read.</p>
      </form>
    </main>
  );
}
