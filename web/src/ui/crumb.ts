// The name of what a page shows: it stands in the path above instead of an id.
import { useEffect, useSyncExternalStore } from "react";

let named: string | null = null;
const watchers = new Set<() => void>();

function name(next: string | null) {
  named = next;
  for (const tell of watchers) tell();
}

/** Names the page while it is shown, from when its name is known. */
export function useCrumb(title: string | null | undefined) {
  useEffect(() => {
    name(title ?? null);
    return () => name(null);
  }, [title]);
}

export function useCrumbName(): string | null {
  return useSyncExternalStore(
    (tell) => {
      watchers.add(tell);
      return () => void watchers.delete(tell);
    },
    () => named,
  );
}
