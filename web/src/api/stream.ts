// The stream of events, kept open while its page is seen.

/** What is used of an `EventSource`. */
export type Source = Pick<EventSource, "readyState" | "onopen" | "onerror" | "addEventListener" | "close">;

/** What is used of the document. */
type Page = Pick<Document, "hidden" | "addEventListener" | "removeEventListener">;

interface Told {
  /** Whether the stream is open. */
  open: (open: boolean) => void;
  /** It is open, and something may have happened while it was not. */
  missed: () => void;
  /** The server refuses the stream, or what stands before it does. */
  refused: () => void;
}

const CLOSED = 2;
const FIRST_WAIT = 1_000;
const LONGEST_WAIT = 30_000;

/**
 * Opens the stream while the page is seen, and answers how to end that.
 *
 * Browsers give one server six connections over HTTP/1.1, whatever the number of tabs: a hidden page gives its own back. A stream
 * that was answered with anything but 200 (a 503 of a proxy) is closed by the browser for good: a new one is tried, less and less often.
 */
export function follow(make: () => Source, told: Told, page: Page = document): () => void {
  let source: Source | null = null;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let wait = FIRST_WAIT;
  let missed = page.hidden;
  const close = () => {
    clearTimeout(timer);
    source?.close();
    source = null;
  };
  const open = () => {
    close();
    const fresh = make();
    source = fresh;
    fresh.onopen = () => {
      wait = FIRST_WAIT;
      told.open(true);
      if (missed) told.missed();
      missed = false;
    };
    fresh.onerror = () => {
      missed = true;
      told.open(false);
      if (fresh.readyState !== CLOSED) return;
      told.refused();
      timer = setTimeout(open, wait);
      wait = Math.min(wait * 2, LONGEST_WAIT);
    };
  };
  const turned = () => {
    if (page.hidden) {
      close();
      missed = true;
      told.open(false);
    } else {
      wait = FIRST_WAIT;
      open();
    }
  };
  page.addEventListener("visibilitychange", turned);
  if (!page.hidden) open();
  return () => {
    page.removeEventListener("visibilitychange", turned);
    close();
  };
}
