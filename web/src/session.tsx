// Who uses the dashboard, and signing in with a key.
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { createContext, useContext, useRef, useState } from "react";
import type { Role, Schemas } from "./api/client";
import { Refusal, api, includes, ok } from "./api/client";
import { Button, Field, Problem } from "./ui/base";
import { Logo } from "./ui/icons";
import { useModal } from "./ui/layers";

type Session = Schemas["Session"];

const Current = createContext<{ session: Session; over: boolean } | null>(null);

/** Who is signed in, or was until the session ended: the page stays while they sign in again. */
export const useSession = (): Session | null => useContext(Current)?.session ?? null;

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
  // Kept when the session ends, so that what is half written stays.
  const [last, setLast] = useState<Session | null>(null);
  if (session.data && session.data !== last) setLast(session.data);
  const shown = session.data ?? last;
  if (session.isPending) return <div className="gate" aria-busy="true" />;
  if (session.isError && !shown) return <div className="gate"><div className="stack loose" style={{ width: "min(460px, 100%)" }}><Problem error={session.error} retry={() => void session.refetch()} /></div></div>;
  if (!shown) return <main className="gate"><SignIn /></main>;
  const over = session.data === null;
  return (
    <Current.Provider value={{ session: shown, over }}>
      {children}
      {over && <SignInAgain was={shown} />}
    </Current.Provider>
  );
}

/** The same for all that a key is shown. */
const who = ({ expires_at: _, ...session }: Session): string => JSON.stringify(session);

/** Who is signed in now; null when the session ended. */
export function useSignedIn(): string | null {
  const current = useContext(Current);
  return current && !current.over ? who(current.session) : null;
}

/** The sign-in above the page that was open, which cannot be put aside. */
function SignInAgain({ was }: { was: Session }) {
  const ref = useRef<HTMLDialogElement>(null);
  useModal(ref, true);
  return (
    <dialog ref={ref} className="sign-in" aria-label="Sign in again" onCancel={(event) => event.preventDefault()} onClose={() => ref.current?.showModal()}>
      <SignIn was={was} />
    </dialog>
  );
}

function SignIn({ was }: { was?: Session }) {
  const [key, setKey] = useState("");
  const client = useQueryClient();
  const signIn = useMutation({
    mutationFn: () => ok(api.POST("/api/v1/session", { body: { key: key.trim() } })),
    onSuccess: (session) => {
      // What another key was shown is not for this one.
      if (was && who(was) !== who(session)) return window.location.reload();
      client.setQueryData(["session"], session);
      if (was) void client.invalidateQueries();
    },
  });
  return (
    <form
      className="card"
      onSubmit={(event) => {
        event.preventDefault();
        signIn.mutate();
      }}
    >
      <div className="brand" style={{ padding: 0 }}><Logo /> llmops</div>
      <div className="stack tight">
        <h1>{was ? "The session is over" : "Sign in with a key"}</h1>
        <p className="muted">{was ? "Sign in again to go on: what you were writing stays." : <>The server printed an admin’s key at its first start. An admin makes more under “Keys and audit”.</>}</p>
      </div>
      <Field label="Key">
        {(props) => <input {...props} className="input mono" type="password" autoComplete="current-password" autoFocus value={key} onChange={(event) => setKey(event.target.value)} placeholder="llmops_…" />}
      </Field>
      {signIn.isError && <Problem error={signIn.error} />}
      <Button kind="primary" type="submit" disabled={signIn.isPending || key.trim() === ""}>{signIn.isPending ? "Signing in…" : "Sign in"}</Button>
      <p className="faint">The session lasts twelve hours at most, in a cookie that no script can read.</p>
    </form>
  );
}
