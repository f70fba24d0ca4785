import { describe, expect, test } from "vitest";
import { candidateOf, parametersOf } from "./candidate";
import { wordDiff } from "./diff";
import { ago, change, day, dayOf, digits, figure, latency, money, moneyLike, moved, ms, percent, points, score, sentence, signed, took, within, words, lasting } from "./format";
import { costOf } from "./cost";
import { drawn, readLabels } from "./labels";
import { blocks, spans } from "./markdown";
import { typed, wrongNumber } from "./numbers";
import { variablesOf } from "./template";
import { forPage, opened, spansOf } from "./told";
import { hourly, hoursOf } from "./traffic";
import { means, rolling, studentT, wilson } from "./stats";

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

/** Spaces between numbers and units hold: no line ends there. */
const plain = (text: string) => text.replaceAll("\u00a0", " ");

describe("numbers", () => {
  test("no line ends between a number and its unit", () => expect([percent(0.5), ms(61_000), latency(0.4), ago("2026-11-20T11:00:00Z", Date.parse("2026-11-20T12:00:00Z")), lasting("1h30m"), words("it is 5.0 % now")]).toEqual(["50.0\u00a0%", "1\u00a0min\u00a01\u00a0s", "<\u00a01\u00a0ms", "1\u00a0h\u00a0ago", "1\u00a0h\u00a030\u00a0min", "it is 5.0\u00a0% now"]));
  test("intervals with their n", () => expect([{ lower: 0.1, upper: 0.2, n: 1200 }, { lower: 0.4, upper: 0.4, n: 1 }].map((of) => plain(within(of)))).toEqual(["0.100–0.200 · n 1,200", "no interval · n 1"]));
  test("shares", () => {
    expect([0, 0.0012, 0.5, 0.9994, 0.9995, 0.9999, 1].map(percent).map(plain)).toEqual(["0 %", "0.12 %", "50.0 %", "99.9 %", "99.95 %", "99.99 %", "100 %"]);
    expect(percent(null)).toBe("–");
  });
  test("money", () => expect([0, 0.00123, 0.000000524, -0.00123, 0.5, 1234.5].map(money)).toEqual(["$0", "$0.0012", "$0.00000052", "−$0.0012", "$0.50", "$1,234.50"]));
  test("money of one column has as many decimals in each row", () => {
    const check = (values: number[], expected: string[]) => expect(values.map(moneyLike(values))).toEqual(expected);
    check([0.0055, 0.006, 0.01], ["$0.0055", "$0.0060", "$0.0100"]);
    check([0.000042, 0.00003, 0], ["$0.000042", "$0.000030", "$0"]);
    check([1234.5, 0.2, -0.5], ["$1,234.50", "$0.20", "−$0.50"]);
    check([], []);
  });
  test("durations", () => {
    const check = (value: number, expected: string) => expect(plain(ms(value))).toBe(expected);
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
  test("figures of any size", () => expect([0, 0.8125, 1523.2, 0.025, -0.0000012, 0.0000011, -1e-12, 4.2e12].map(figure)).toEqual(["0.000", "0.813", "1,523.200", "0.025", "−0.0000012", "0.0000011", "−1.00e−12", "4.20e12"]));
  test("three digits that count", () => expect([0, 412.6, 1.2345, -0.05, 5.24e-5, -2.05e-7, -5.1e11].map(digits)).toEqual(["0.00", "413", "1.23", "−0.0500", "0.0000524", "−2.05e−7", "−5.10e11"]));
  test("changes, of which nothing is one", () => expect([0.02, -0.02, 0].map((v) => plain(change(v, percent)))).toEqual(["+2.0 %", "−2.0 %", "0 %"]));
  test("days are those of UTC", () => expect(day(dayOf("2026-11-28"))).toBe("28 Nov"));
  test("how long", () => expect([["2026-11-20T12:00:00Z", "2026-11-20T12:00:42Z"], ["2026-11-20T12:00:00Z", "2026-11-20T12:00:59.700Z"], ["2026-11-20T12:00:00Z", "2026-11-20T13:05:00Z"]].map(([from, to]) => plain(took(from ?? "", to ?? "")))).toEqual(["42 s", "1 min 0 s", "1 h 5 min"]));
  test("durations of configurations", () => expect(["10m", "1h30m", "7d", "500ms", null].map(lasting).map(plain)).toEqual(["10 min", "1 h 30 min", "7 d", "500 ms", "–"]));
  test("names", () => expect(["rouge_l", "token_f1", "latency_p95", "it is -8.9 % of gpt-4 (-1 to 2)"].map(words).map(plain)).toEqual(["ROUGE-L", "token F1", "latency p95", "it is −8.9 % of gpt-4 (−1 to 2)"]));
  test("sentences", () => expect(["open", "it is so", "support-bot fell", "a: b", "", "x/y is"].map(sentence)).toEqual(["Open", "It is so", "support-bot fell", "A: b", "", "x/y is"]));
  test("differences of shares are percentage points", () => expect([0.107, -0.005, 0].map((v) => plain(change(v, points)))).toEqual(["+10.7 pp", "−0.50 pp", "0 pp"]));
  test("changes in words", () => expect([0.012, -0.05, 0, 0.0001].map((v) => moved(v, score))).toEqual(["↑ 0.012", "↓ 0.050", "unchanged", "unchanged"]));
  test("differences keep their sign", () => expect([0.1, -0.05, 0].map((v) => signed(v))).toEqual(["+0.100", "−0.050", "0.000"]));
  test("times", () => {
    const now = Date.parse("2026-11-20T12:00:00Z");
    const check = (time: string, expected: string) => expect(plain(ago(time, now))).toBe(expected);
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

describe("numbers that people type", () => {
  test("what stands there", () => expect(["", " ", "0", " 0.5 ", "-4", ".5", "1e3", "0,1", "30 days", "Infinity", "0x10", "1 000", "1e999"].map(typed)).toEqual([null, null, 0, 0.5, -4, 0.5, 1000, undefined, undefined, undefined, undefined, undefined, undefined]));
  test("what is wrong", () => {
    const check = (text: string, bounds: Parameters<typeof wrongNumber>[1], expected: string | null) => expect(wrongNumber(text, bounds)).toBe(expected);
    check("", {}, null);
    check("", { needed: true }, "A number is needed");
    check("30 days", { needed: true }, "Not a number");
    check("0,1", {}, "Not a number: decimals have a point, as in 0.5");
    check("30.5", { whole: true }, "A whole number");
    check("-1", { least: 0, most: 36_500 }, "From 0 to 36500");
    check("-1", { least: 0 }, "0 or more");
    check("0", { above: 0, most: 1 }, "More than 0");
    check("2", { above: 0, most: 1 }, "1 at most");
    check("0", { needed: true, least: 0, most: 1 }, null);
  });
});

describe("variables of templates", () => {
  const check = (text: string, expected: Record<string, string>) => expect(Object.fromEntries(variablesOf(text))).toEqual(expected);
  test("what is put into the text", () => {
    check("", {});
    check("{{ a }} {{a}} {{- b.name -}} {{ c['d'] | default(e, true) | tojson(indent=2) }}", { a: "text", b: "text", c: "text", e: "text" });
    check("{# {{ a }} #}{% raw %}{{ b }}{% endraw %}{{ 'c {{' ~ \"d\" ~ f }}", { f: "text" });
    check("{{ range(n) }} {{ a if b is defined and not c else none }}", { n: "text", a: "text", b: "text", c: "text" });
  });
  test("what the template binds itself is none", () => {
    check("{% for i in [1,2] %}{{ i }}{{ loop.index }}{% endfor %}", {});
    check("{% for key, value in items | items %}{{ key }}{{ value }}{% endfor %}{{ key }}", { items: "list", key: "text" });
    check("{% set x = y + 1 %}{{ x }}{% set z %}{{ x }}{% endset %}{{ z }}", { y: "text" });
    check("{% with a = b, c = 1 %}{{ a }}{{ c }}{% endwith %}{{ c }}", { b: "text", c: "text" });
    check("{% macro m(a, b='c') %}{{ a }}{{ b }}{{ d }}{% endmacro %}{{ m(e) }}", { d: "text", e: "text" });
    check("{%- for doc in docs if doc.ok -%}{{ doc.text }}{% endfor %}", { docs: "list" });
  });
  test("conditions ask only", () => {
    check("{% if premium and level == 'gold' %}{{ name }}{% elif trial %}{% endif %}", { premium: "condition", level: "condition", name: "text", trial: "condition" });
    check("{% if name %}{{ name }}{% endif %}", { name: "text" });
  });
});

describe("candidates", () => {
  const live = { model: "sim/small", model_version: "v1", prompt: "p", prompt_version: "1.0.0", prompt_hash: "abc", system: "Be kind.", parameters: { temperature: 0.9, max_tokens: 77 }, retriever_index_version: "idx-3" } as never;
  const check = (chosen: Parameters<typeof candidateOf>[1], expected: unknown) => expect(candidateOf(live, chosen)).toEqual(expected);
  test("another version keeps what belongs to the deployment", () => {
    check({ prompt: "p@2.0.0", model: "sim/small", keep: true }, { model: "sim/small", model_version: "v1", prompt: "p", prompt_version: "2.0.0", parameters: { temperature: 0.9, max_tokens: 77 }, retriever_index_version: "idx-3" });
    check({ prompt: "p@2.0.0", model: "sim/large", keep: false }, { model: "sim/large", prompt: "p", prompt_version: "2.0.0", retriever_index_version: "idx-3" });
    check({ prompt: "a/b", model: "sim/small", keep: false }, { model: "sim/small", model_version: "v1", prompt: "a/b", retriever_index_version: "idx-3" });
    check({ prompt: "", model: "sim/small", keep: true }, { model: "sim/small", model_version: "v1", parameters: { temperature: 0.9, max_tokens: 77 }, retriever_index_version: "idx-3" });
  });
  test("another model changes nothing else", () => {
    check({ prompt: "p@1.0.0", model: "sim/small", keep: true }, live);
    check({ prompt: "p@1.0.0", model: "sim/large", keep: false }, { ...(live as object), model: "sim/large", model_version: undefined });
  });
  test("parameters as they will be", () => {
    const own = { temperature: 0.2, max_tokens: 400, top_p: 0.5, stop: ["x"], seed: null };
    expect(parametersOf(live, own, { prompt: "p@2.0.0", model: "m", keep: true })).toEqual({ temperature: 0.9, max_tokens: 77, top_p: 0.5 });
    expect(parametersOf(live, own, { prompt: "p@2.0.0", model: "m", keep: false })).toEqual({ temperature: 0.2, max_tokens: 400, top_p: 0.5 });
    expect(parametersOf(live, {}, { prompt: "p@2.0.0", model: "m", keep: false })).toEqual({ temperature: 0 });
    expect(parametersOf(live, own, { prompt: "p@1.0.0", model: "m", keep: false })).toEqual({ temperature: 0.9, max_tokens: 77 });
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

describe("texts of the server", () => {
  test("names and commands are code", () => {
    expect(spansOf("there is no run `run_1`")).toEqual([{ text: "there is no run ", code: false }, { text: "run_1", code: true }]);
    expect(spansOf("llmops eval --limit 3, then look")).toEqual([{ text: "llmops eval --limit", code: true }, { text: " 3, then look", code: false }]);
  });
  test("sentences begin with a capital, and names stay as they are", () => {
    expect(["there is none", "customer: the prompt uses it", "support-bot is frozen", "`x` is taken", ""].map(opened)).toEqual(["There is none", "customer: the prompt uses it", "support-bot is frozen", "`x` is taken", ""]);
  });
  test("what can only be typed is left out", () => {
    const check = (text: string, expected: string) => expect(forPage(text)).toBe(expected);
    check("", "");
    check("there is no run `run_1`", "there is no run `run_1`");
    check("--replace puts the new answer in its place; or dismiss the item", "dismiss the item");
    check("promote a completed run, or insist with --force", "promote a completed run");
    check("abort it, and start it without --dry-run", "abort it");
    check("raise `version`, or push with --bump auto", "raise `version`");
    check("--prompt NAME@VERSION --model PROVIDER/MODEL, or --manifest FILE or HASH", "");
    check("llmops history bot lists what was live", "");
    check("start it: llmops experiment start exp_1", "start it");
    check("evaluate exactly this prompt and model, then gate it: llmops eval && llmops gate", "evaluate exactly this prompt and model, then gate it");
    check("revoke it with another admin's key, or with `llmops key revoke` on the store", "revoke it with another admin's key");
    check("labels are about the answers of one run: name it with --run", "labels are about the answers of one run");
    check("bot has a canary that is not over: abort it first (llmops canary abort bot)", "bot has a canary that is not over: abort it first");
    check("nothing changed yet: it waits for a second key, llmops approval approve appr_1", "nothing changed yet: it waits for a second key");
    check("no run of p@1.0.0 (0a1b) has passed the gate lately: llmops eval && llmops gate, then llmops release bot", "no run of p@1.0.0 (0a1b) has passed the gate lately");
    check("the experiment has not concluded (no winner): wait and run llmops release bot, or decide with --waive experiment", "the experiment has not concluded (no winner): wait");
    check("what is live changed, and the experiment ended: llmops release bot --cancel, or --waive experiment with a reason", "what is live changed, and the experiment ended");
    check("No run is the baseline. `llmops baseline promote RUN` makes one.", "No run is the baseline.");
    check("a -- b, or c", "a -- b, or c");
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

describe("runs of a part of the samples", () => {
  const run = (value: number, partial = false) => ({ partial, value });
  test("are in no mean", () => {
    const points = [run(0.5), run(0.9, true), run(0.7), run(0.1, true)];
    expect(means(points, 7, (point) => point.value)).toEqual([0.5, null, 0.6, null]);
  });
});

describe("what answers cost", () => {
  const check = (spend: { target_unpriced?: boolean; judges_unpriced?: boolean } | null, cost: number, cached: boolean, expected: string) =>
    expect(costOf({ cost, judge_cost: 0, cached }, { results: spend && ({ spend } as never) })).toBe(expected);
  test("is unknown without a price, and never $0", () => {
    check(null, 0, false, "$0");
    check({}, 0.5, false, "$0.50");
    check({ target_unpriced: true }, 0, false, "cost unknown: no price");
    check({ target_unpriced: true }, 0, true, "$0");
    check({ judges_unpriced: true }, 0.5, false, "$0.50 and what has no price");
  });
});
