import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { follow } from "./stream";
import type { Source } from "./stream";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** A page, the streams that it made, and what was told, in order. */
function begin(hidden = false) {
  const target = new EventTarget();
  const page = Object.assign(target, { hidden }) as unknown as Document & { hidden: boolean };
  const made: (Source & { ended: boolean })[] = [];
  const told: string[] = [];
  const make = () => {
    const source = { readyState: 0, onopen: null, onerror: null, ended: false, addEventListener: () => undefined, close: () => void (source.ended = true) } as Source & { ended: boolean };
    made.push(source);
    return source;
  };
  const end = follow(make, { open: (open) => told.push(open ? "open" : "shut"), missed: () => told.push("missed"), refused: () => told.push("refused") }, page);
  return {
    told,
    end,
    running: () => made.filter((one) => !one.ended).length,
    made: () => made.length,
    show: (seen: boolean) => {
      page.hidden = !seen;
      target.dispatchEvent(new Event("visibilitychange"));
    },
    answer: () => made.at(-1)?.onopen?.call({} as EventSource, new Event("open")),
    fail: (readyState: number) => {
      const last = made.at(-1);
      if (last) Object.assign(last, { readyState }).onerror?.call({} as EventSource, new Event("error"));
    },
  };
}

describe("the stream of events", () => {
  test("a hidden page holds none, and reads everything again when it is seen", () => {
    const it = begin();
    it.answer();
    expect([it.running(), it.told]).toEqual([1, ["open"]]);
    it.show(false);
    expect([it.running(), it.told]).toEqual([0, ["open", "shut"]]);
    vi.advanceTimersByTime(3_600_000);
    expect(it.made()).toBe(1);
    it.show(true);
    it.answer();
    expect([it.running(), it.told]).toEqual([1, ["open", "shut", "open", "missed"]]);
  });
  test("a page that was opened in the background has none until it is seen", () => {
    const it = begin(true);
    expect(it.made()).toBe(0);
    it.show(true);
    it.answer();
    expect([it.running(), it.told]).toEqual([1, ["open", "missed"]]);
  });
  test("what the browser gave up is tried anew, less and less often", () => {
    const it = begin();
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
    expect(it.told.slice(-2)).toEqual(["open", "missed"]);
    it.fail(2);
    vi.advanceTimersByTime(1_000);
    expect([it.made(), it.running()]).toEqual([9, 1]);
  });
  test("what the browser tries again by itself is left to it", () => {
    const it = begin();
    it.answer();
    it.fail(0);
    vi.advanceTimersByTime(60_000);
    expect([it.made(), it.told]).toEqual([1, ["open", "shut"]]);
    it.answer();
    expect(it.told).toEqual(["open", "shut", "open", "missed"]);
  });
  test("nothing is tried after the end", () => {
    const it = begin();
    it.fail(2);
    it.end();
    it.show(true);
    vi.advanceTimersByTime(60_000);
    expect([it.made(), it.running()]).toEqual([1, 0]);
  });
});
