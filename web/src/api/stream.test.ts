import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { hub, own, shared, whileSeen } from "./stream";
import type { Line, Listen, Source } from "./stream";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** A server: the streams that were asked of it. */
function server() {
  const made: (Source & { ended: boolean; heard: (message: MessageEvent<string>) => void })[] = [];
  const make = () => {
    const source = { readyState: 0, onopen: null, onerror: null, ended: false, addEventListener: (_: string, heard: never) => void (source.heard = heard), close: () => void (source.ended = true) } as unknown as (typeof made)[number];
    made.push(source);
    return source;
  };
  return {
    stream: own(make, ["run.completed"]),
    running: () => made.filter((one) => !one.ended).length,
    made: () => made.length,
    answer: () => made.at(-1)?.onopen?.call({} as EventSource, new Event("open")),
    say: (data: string) => made.at(-1)?.heard({ data } as MessageEvent<string>),
    fail: (readyState: number) => {
      const last = made.at(-1);
      if (last) Object.assign(last, { readyState }).onerror?.call({} as EventSource, new Event("error"));
    },
  };
}

/** A window that listens while it is seen, and what it was told, in order. */
function opened(listen: Listen, hidden = false) {
  const target = new EventTarget();
  const page = Object.assign(target, { hidden }) as unknown as Document & { hidden: boolean };
  const told: string[] = [];
  const end = whileSeen(listen, { open: (open) => told.push(open ? "open" : "shut"), missed: () => told.push("missed"), refused: () => told.push("refused"), event: (text) => told.push(text) }, page);
  return {
    told,
    end,
    show: (seen: boolean) => {
      page.hidden = !seen;
      target.dispatchEvent(new Event("visibilitychange"));
    },
  };
}

/** A worker that windows can be connected to, on lines that pass on what is said at once. */
function worker(listen: Listen) {
  const join = hub(listen);
  return () => {
    const [inside, outside] = [{}, {}] as [Line, Line];
    const ends: [Line, Line][] = [[inside, outside], [outside, inside]];
    for (const [mine, other] of ends) Object.assign(mine, { onmessage: null, close: () => undefined, postMessage: (data: unknown) => other.onmessage?.call(other as MessagePort, { data } as MessageEvent) });
    // As of a port: what is said before anybody listens waits.
    queueMicrotask(() => join(inside));
    return outside;
  };
}

describe("a stream of one's own", () => {
  test("a hidden page holds none, and reads everything again when it is seen", () => {
    const [it, page] = begin();
    it.answer();
    expect([it.running(), page.told]).toEqual([1, ["open"]]);
    page.show(false);
    expect([it.running(), page.told]).toEqual([0, ["open", "shut"]]);
    vi.advanceTimersByTime(3_600_000);
    expect(it.made()).toBe(1);
    page.show(true);
    it.answer();
    expect([it.running(), page.told]).toEqual([1, ["open", "shut", "open", "missed"]]);
  });
  test("a page that was opened in the background has none until it is seen", () => {
    const [it, page] = begin(true);
    expect(it.made()).toBe(0);
    page.show(true);
    it.answer();
    expect([it.running(), page.told]).toEqual([1, ["open", "missed"]]);
  });
  test("what the browser gave up is tried anew, less and less often", () => {
    const [it, page] = begin();
    it.answer();
    for (const wait of [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]) {
      const before = it.made();
      it.fail(2);
      vi.advanceTimersByTime(wait - 1);
      expect(it.made()).toBe(before);
      vi.advanceTimersByTime(1);
      expect(it.made()).toBe(before + 1);
    }
    it.answer();
    expect(page.told.slice(-2)).toEqual(["open", "missed"]);
    it.fail(2);
    vi.advanceTimersByTime(1_000);
    expect([it.made(), it.running()]).toEqual([9, 1]);
  });
  test("what the browser tries again by itself is left to it", () => {
    const [it, page] = begin();
    it.answer();
    it.fail(0);
    vi.advanceTimersByTime(60_000);
    expect([it.made(), page.told]).toEqual([1, ["open", "shut"]]);
    it.answer();
    expect(page.told).toEqual(["open", "shut", "open", "missed"]);
  });
  test("nothing is tried after the end", () => {
    const [it, page] = begin();
    it.fail(2);
    page.end();
    page.show(true);
    vi.advanceTimersByTime(60_000);
    expect([it.made(), it.running()]).toEqual([1, 0]);
  });
});

function begin(hidden = false) {
  const it = server();
  return [it, opened(it.stream, hidden)] as const;
}

describe("one stream for all windows", () => {
  const never: Listen = () => {
    throw new Error("nobody falls back");
  };
  /** Lets what waits on lines arrive. */
  const arrive = () => vi.advanceTimersByTimeAsync(0);

  test("each window hears everything, of one stream", async () => {
    const it = server();
    const connect = worker(it.stream);
    const windows = Array.from({ length: 8 }, () => opened(shared(connect, never)));
    await arrive();
    expect(it.made()).toBe(1);
    it.answer();
    it.say("a run is done");
    expect(windows.map(({ told }) => told)).toEqual(windows.map(() => ["open", "a run is done"]));
    const late = opened(shared(connect, never));
    await arrive();
    expect([it.made(), late.told]).toEqual([1, ["open"]]);
    it.fail(2);
    vi.advanceTimersByTime(1_000);
    it.answer();
    expect(late.told).toEqual(["open", "shut", "refused", "open", "missed"]);
  });
  test("the stream lasts as long as a window is seen, and comes again with the next", async () => {
    const it = server();
    const connect = worker(it.stream);
    const [first, second] = [opened(shared(connect, never)), opened(shared(connect, never))];
    await arrive();
    it.answer();
    first.show(false);
    it.say("one");
    expect([it.running(), first.told, second.told]).toEqual([1, ["open", "shut"], ["open", "one"]]);
    second.end();
    expect(it.running()).toBe(0);
    first.show(true);
    await arrive();
    expect([it.running(), first.told]).toEqual([1, ["open", "shut"]]);
    it.answer();
    expect(first.told).toEqual(["open", "shut", "open", "missed"]);
  });
  test("without a worker, or with one that fails or says nothing, a window has a stream of its own", () => {
    const check = (connect: (failed: () => void) => Line | null, begins: () => void) => {
      const it = server();
      const page = opened(shared(connect, it.stream));
      begins();
      expect(it.running()).toBe(1);
      it.answer();
      expect(page.told).toEqual(["open"]);
      page.end();
      fail();
      vi.advanceTimersByTime(60_000);
      expect([it.made(), it.running()]).toEqual([1, 0]);
    };
    const dead = (): Line => ({ onmessage: null, postMessage: () => undefined, close: () => undefined });
    let fail: () => void = () => undefined;
    check(() => null, () => undefined);
    check(dead, () => vi.advanceTimersByTime(5_000));
    check((failed) => ((fail = failed), dead()), () => fail());
  });
});
