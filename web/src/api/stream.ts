// The stream of events: kept open while a window is seen, and one for all windows of a browser.
//
// Browsers give one server six connections over HTTP/1.1, whatever the number of windows. A stream for each would leave none to
// load pages with, so a shared worker holds the only one; and a window that is hidden listens to none.

/** What is used of an `EventSource`. */
export type Source = Pick<EventSource, "readyState" | "onopen" | "onerror" | "addEventListener" | "close">;

/** What is used of the document. */
type Page = Pick<Document, "hidden" | "addEventListener" | "removeEventListener">;

/** What is used of a line between a window and the worker. */
export type Line = Pick<MessagePort, "onmessage" | "postMessage" | "close">;

export interface Told {
  /** Whether the stream is open. */
  open: (open: boolean) => void;
  /** The server refuses the stream, or what stands before it does. */
  refused: () => void;
  /** What happened, as JSON. */
  event: (text: string) => void;
}

/** Begins to listen; the answer ends it. */
export type Listen = (told: Told) => () => void;

/** What the worker says to windows. A window says one thing only: that it leaves. */
type Word = { is: "here" } | { is: "open"; open: boolean } | { is: "refused" } | { is: "event"; text: string };

const CLOSED = 2;
const FIRST_WAIT = 1_000;
const LONGEST_WAIT = 30_000;
/** A worker that says nothing for so long is not there: some browsers have none for several windows. */
const SILENCE = 5_000;

/**
 * A stream of one's own. One that was answered with anything but 200 (a 503 of a proxy) is closed by the browser for good: a new
 * one is tried, less and less often.
 */
export const own =
  (make: () => Source, types: readonly string[]): Listen =>
  (told) => {
    let source: Source | null = null;
    let timer: ReturnType<typeof setTimeout> | undefined;
    let wait = FIRST_WAIT;
    const open = () => {
      source?.close();
      const fresh = make();
      source = fresh;
      for (const type of types) fresh.addEventListener(type, (message) => told.event((message as MessageEvent<string>).data));
      fresh.onopen = () => {
        wait = FIRST_WAIT;
        told.open(true);
      };
      fresh.onerror = () => {
        told.open(false);
        if (fresh.readyState !== CLOSED) return;
        told.refused();
        timer = setTimeout(open, wait);
        wait = Math.min(wait * 2, LONGEST_WAIT);
      };
    };
    open();
    return () => {
      clearTimeout(timer);
      source?.close();
    };
  };

/** The worker's side: listens once while windows are there, and says what it hears to each. */
export function hub(listen: Listen): (line: Line) => void {
  const lines = new Set<Line>();
  let open = false;
  let stop: (() => void) | undefined;
  const say = (word: Word) => lines.forEach((line) => line.postMessage(word));
  const told: Told = {
    open: (now) => {
      open = now;
      say({ is: "open", open });
    },
    refused: () => say({ is: "refused" }),
    event: (text) => say({ is: "event", text }),
  };
  return (line) => {
    lines.add(line);
    line.onmessage = () => {
      lines.delete(line);
      if (lines.size > 0) return;
      stop?.();
      stop = undefined;
      open = false;
    };
    line.postMessage({ is: "here" } satisfies Word);
    if (open) line.postMessage({ is: "open", open } satisfies Word);
    stop ??= listen(told);
  };
}

/** A window's side: what the worker hears. Where there is no worker, what `otherwise` does. */
export const shared =
  (connect: (failed: () => void) => Line | null, otherwise: Listen): Listen =>
  (told) => {
    let stop: (() => void) | undefined;
    let left = false;
    const alone = () => {
      if (left) return;
      stop?.();
      stop = otherwise(told);
    };
    const leave = () => {
      left = true;
      stop?.();
    };
    const line = connect(alone);
    if (!line) {
      alone();
      return leave;
    }
    const timer = setTimeout(alone, SILENCE);
    stop = () => {
      clearTimeout(timer);
      line.onmessage = null;
      line.postMessage("bye");
      line.close();
    };
    line.onmessage = ({ data }: MessageEvent<Word>) => {
      clearTimeout(timer);
      if (data.is === "open") told.open(data.open);
      else if (data.is === "refused") told.refused();
      else if (data.is === "event") told.event(data.text);
    };
    return leave;
  };

/** Listens while the page is seen, and tells as well when it hears again and something may have happened meanwhile. */
export function whileSeen(listen: Listen, told: Told & { missed: () => void }, page: Page = document): () => void {
  let missed = page.hidden;
  let stop: (() => void) | undefined;
  const heard: Told = {
    ...told,
    open: (open) => {
      told.open(open);
      if (open && missed) told.missed();
      missed = !open;
    },
  };
  const turned = () => {
    stop?.();
    stop = undefined;
    if (!page.hidden) stop = listen(heard);
    else heard.open(false);
  };
  page.addEventListener("visibilitychange", turned);
  if (!page.hidden) stop = listen(heard);
  return () => {
    page.removeEventListener("visibilitychange", turned);
    stop?.();
  };
}
