import { describe, expect, test } from "vitest";
import { wordDiff } from "./diff";
import { ago, change, day, dayOf, digits, figure, money, ms, percent, sentence, signed, took, words, lasting } from "./format";
import { drawn, readLabels } from "./labels";
import { blocks, spans } from "./markdown";
import { hourly, hoursOf } from "./traffic";
import { rolling, studentT, wilson } from "./stats";

describe("differences", () => {
  const check = (before: string, after: string, expected: string) => {
    const shown = wordDiff(before, after).map((p) => (p.kind === "same" ? p.text : p.kind === "added" ? `{+${p.text}}` : `{-${p.text}}`));
    expect(shown.join("")).toBe(expected);
  };
  test("words", () => {
    check("", "", "");
    check("a b c", "a b c", "a b c");
    check("a b c", "a x c", "a {-b}{+x} c");
    check("", "new", "{+new}");
    check("old", "", "{-old}");
    check("one two", "one  two three", "one{- }{+  }two{+ three}");
    check("naïve café", "naïve thé", "naïve {-café}{+thé}");
  });
  test("both texts can be read back", () => {
    const before = "You are a careful reviewer. Answer in two sentences.";
    const after = "You are a very careful reviewer; answer in one sentence!";
    const parts = wordDiff(before, after);
    expect(parts.filter((p) => p.kind !== "added").map((p) => p.text).join("")).toBe(before);
    expect(parts.filter((p) => p.kind !== "removed").map((p) => p.text).join("")).toBe(after);
  });
});

describe("numbers", () => {
  test("shares", () => {
    expect([0, 0.0012, 0.5, 0.9994, 0.9995, 0.9999, 1].map(percent)).toEqual(["0 %", "0.12 %", "50.0 %", "99.9 %", "99.95 %", "99.99 %", "100 %"]);
    expect(percent(null)).toBe("–");
  });
  test("money", () => expect([0, 0.00123, 0.000000524, -0.00123, 0.5, 1234.5].map(money)).toEqual(["$0", "$0.0012", "$0.00000052", "−$0.0012", "$0.50", "$1,234.50"]));
  test("durations", () => {
    const check = (value: number, expected: string) => expect(ms(value)).toBe(expected);
    check(0.2, "0.20 ms");
    check(5, "5.0 ms");
    check(9.97, "10 ms");
    check(840, "840 ms");
    check(999.7, "1.00 s");
    check(1500, "1.50 s");
    check(9_997, "10.0 s");
    check(59_970, "1 min 0 s");
    check(61_000, "1 min 1 s");
    check(119_700, "2 min 0 s");
    check(3_599_700, "1 h 0 min");
    check(3_700_000, "1 h 2 min");
  });
  test("figures of any size", () => expect([0, 0.8125, 1523.2, 0.025, -0.0000012, 0.0000011, -1e-12].map(figure)).toEqual(["0.000", "0.813", "1,523.200", "0.025", "−0.0000012", "0.0000011", "−1.00e−12"]));
  test("three digits that count", () => expect([0, 412.6, 1.2345, -0.05, 5.24e-7, -2.05e-7].map(digits)).toEqual(["0.00", "413", "1.23", "−0.0500", "0.000000524", "−0.000000205"]));
  test("changes, of which nothing is one", () => expect([0.02, -0.02, 0].map((v) => change(v, percent))).toEqual(["+2.0 %", "−2.0 %", "±0 %"]));
  test("days are those of UTC", () => expect(day(dayOf("2026-11-28"))).toBe("28 Nov"));
  test("how long", () => expect([["2026-11-20T12:00:00Z", "2026-11-20T12:00:42Z"], ["2026-11-20T12:00:00Z", "2026-11-20T12:00:59.700Z"], ["2026-11-20T12:00:00Z", "2026-11-20T13:05:00Z"]].map(([from, to]) => took(from ?? "", to ?? ""))).toEqual(["42 s", "1 min 0 s", "1 h 5 min"]));
  test("durations of configurations", () => expect(["10m", "1h30m", "7d", "500ms", null].map(lasting)).toEqual(["10 min", "1 h 30 min", "7 d", "500 ms", "–"]));
  test("names", () => expect(["rouge_l", "token_f1", "latency_p95", "it is -8.9 % of gpt-4 (-1 to 2)"].map(words)).toEqual(["ROUGE-L", "token F1", "latency p95", "it is −8.9 % of gpt-4 (−1 to 2)"]));
  test("sentences", () => expect(["open", "it is so", "support-bot fell", "a: b", "", "x/y is"].map(sentence)).toEqual(["Open", "It is so", "support-bot fell", "A: b", "", "x/y is"]));
  test("differences keep their sign", () => expect([0.1, -0.05, 0].map((v) => signed(v))).toEqual(["+0.100", "−0.050", "±0.000"]));
  test("times", () => {
    const now = Date.parse("2026-11-20T12:00:00Z");
    const check = (time: string, expected: string) => expect(ago(time, now)).toBe(expected);
    check("2026-11-20T11:59:55Z", "just now");
    check("2026-11-20T11:59:00Z", "1 min ago");
    check("2026-11-20T11:59:00.400Z", "1 min ago");
    check("2026-11-20T09:00:00Z", "3 h ago");
    check("2026-11-17T12:00:00Z", "3 d ago");
    check("2026-11-10T12:00:00Z", "10 d ago");
    check("2026-11-20T12:30:00Z", "in 30 min");
  });
});

describe("traffic", () => {
  test("hours of an address", () => expect([undefined, "72", "48", "abc", "0", "-4", "1.5", "1e9", ""].map(hoursOf)).toEqual([24, 72, 48, 24, 24, 24, 24, 24, 24]));
  test("hours without calls stand in the row as well", () => {
    const hour = { at: "2026-11-20T11:00:00Z", calls: 3 } as never;
    const { x, hours } = hourly({ from: "2026-11-20T10:20:00Z", to: "2026-11-20T12:05:00Z", hours: [hour] } as never);
    expect(x).toEqual([10, 11, 12].map((at) => Date.UTC(2026, 10, 20, at) / 1000));
    expect(hours).toEqual([null, hour, null]);
  });
});

describe("intervals", () => {
  // scipy.stats.binomtest(8, 10).proportion_ci(method="wilson")
  test("Wilson", () => {
    const band = wilson(8, 10);
    expect(band.lower).toBeCloseTo(0.4901625, 6);
    expect(band.upper).toBeCloseTo(0.9433178, 6);
    expect(wilson(0, 0).n).toBe(0);
  });
  test("Student's t", () => {
    expect(studentT(1)).toBeCloseTo(12.706, 2);
    expect(studentT(30)).toBeCloseTo(2.0423, 2);
    expect(studentT(1000)).toBeCloseTo(1.9623, 3);
  });
  test("rolling means skip what is missing", () => {
    const bands = rolling([0.8, null, 0.9, 1.0], 2);
    expect(bands.map((b) => b && [b.value, b.n])).toEqual([[0.8, 1], [0.8, 1], [0.9, 1], [0.95, 2]]);
    expect(rolling([null], 3)).toEqual([null]);
  });
});

describe("labels of people", () => {
  const check = (text: string, expected: unknown) => expect(readLabels(text)).toEqual(expected);
  test("words, numbers, raters, quotes", () => {
    check("sample_id,label\na,good\nb, Bad\n\nc,0.5\n", { labels: [{ sample_id: "a", score: 1 }, { sample_id: "b", score: 0 }, { sample_id: "c", score: 0.5 }], problems: [] });
    check('rater,score,sample_id\n"dana, the first",1,"a ""b"""', { labels: [{ sample_id: 'a "b"', score: 1, rater: "dana, the first" }], problems: [] });
    check("", { labels: [], problems: [] });
  });
  test("what is wrong is told with its line", () => {
    check("a,good", { labels: [], problems: ["line 1: the first line names the columns: sample_id,label and, with several people, rater"] });
    check("sample_id,label\n,good\nb,meh\nc,2\nd,", { labels: [], problems: ["line 2: no sample_id", "line 3: “meh” is no label: good, bad or a number from 0 to 1", "line 4: “2” is no label: good, bad or a number from 0 to 1", "line 5: “” is no label: good, bad or a number from 0 to 1"] });
  });
  test("a draw holds each once", () => {
    let seed = 1;
    const random = () => (seed = (seed * 16_807) % 2_147_483_647) / 2_147_483_647;
    const all = Array.from({ length: 50 }, (_, i) => i);
    expect(drawn(all, 50, random).sort((a, b) => a - b)).toEqual(all);
    expect(new Set(drawn(all, 20, random)).size).toBe(20);
    expect(drawn([], 3, random)).toEqual([]);
  });
});

describe("Markdown", () => {
  test("a draft of a post-mortem", () => {
    const text = "# Post-mortem: bot\n\n- **opened**: now\n- **by**: a\\_b\n\n## Impact\n\n3 calls,\nall failed.\n\n| when | what |\n| --- | --- |\n| 1 | a \\| b |\n\n- [ ] Write `x`\n- [x] done\n";
    expect(blocks(text)).toEqual([
      { kind: "heading", level: 1, text: "Post-mortem: bot" },
      { kind: "list", items: [{ text: "**opened**: now", done: null }, { text: "**by**: a\\_b", done: null }] },
      { kind: "heading", level: 2, text: "Impact" },
      { kind: "paragraph", text: "3 calls, all failed." },
      { kind: "table", head: ["when", "what"], rows: [["1", "a \\| b"]] },
      { kind: "list", items: [{ text: "Write `x`", done: false }, { text: "done", done: true }] },
    ]);
  });
  test("what is escaped is text", () => {
    expect(spans("**by**: a\\_b \\*c\\* `d`")).toEqual([{ kind: "bold", text: "by" }, { kind: "plain", text: ": a_b *c* " }, { kind: "code", text: "d" }]);
    expect(spans("<b>")).toEqual([{ kind: "plain", text: "<b>" }]);
  });
});
