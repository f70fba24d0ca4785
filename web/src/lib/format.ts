// Numbers and times as people read them.

const SCORE = new Intl.NumberFormat("en-GB", { minimumFractionDigits: 3, maximumFractionDigits: 3 });
const WHOLE = new Intl.NumberFormat("en-GB", { maximumFractionDigits: 0 });
const COMPACT = new Intl.NumberFormat("en-GB", { notation: "compact", maximumFractionDigits: 1 });

/** Three decimals: the resolution at which scores are compared. */
export const score = (value: number | null | undefined): string => (value == null ? "–" : SCORE.format(value).replace("-", "−"));

const TWO = new Intl.NumberFormat("en-GB", { maximumSignificantDigits: 2 });
const THREE = new Intl.NumberFormat("en-GB", { maximumSignificantDigits: 3 });

/** A number and its unit are one: no line ends between them. */
const unit = (text: string): string => text.replaceAll(" ", "\u00a0");

/** As a power of ten, for what has too many noughts to count. */
const power = (value: number): string => value.toExponential(2).replace("+", "").replaceAll("-", "−");

/** Three digits that count. */
const significant = (value: number): string => (value !== 0 && Math.abs(value) < 1e-6 ? power(value) : THREE.format(value).replaceAll("-", "−"));

/** A number of any size: three decimals, of small ones the first three digits that count. */
export const figure = (value: number): string => (value !== 0 && Math.abs(value) < 0.1 ? significant(value) : Math.abs(value) >= 1e9 ? power(value) : score(value));

/** Three digits that count, whole numbers from a hundred on. */
export const digits = (value: number): string => (Math.abs(value) >= 1e9 ? power(value) : Math.abs(value) >= 100 ? whole(value) : value !== 0 && Math.abs(value) < 0.001 ? significant(value) : value.toPrecision(3)).replace("-", "−");

/** A whole number with separators. */
export const whole = (value: number): string => WHOLE.format(value);

/** 12.4k */
export const compact = (value: number): string => (value < 10_000 ? WHOLE.format(value) : COMPACT.format(value).toLowerCase());

/** A share as a percentage; small ones keep their first digits. */
export function percent(value: number | null | undefined): string {
  if (value == null) return "–";
  const share = value * 100;
  const size = Math.abs(share);
  // What is not quite all does not read as all.
  const digits = size === 0 || size >= 99.995 ? 0 : size < 1 || (size >= 99.95 && size < 100) ? 2 : 1;
  return unit(`${share.toFixed(digits).replace("-", "−")} %`);
}

/** US dollars; fractions of a cent keep two digits that count. */
export function money(value: number | null | undefined): string {
  if (value == null) return "–";
  if (value === 0) return "$0";
  const size = Math.abs(value);
  return `${value < 0 ? "−" : ""}$${size < 0.01 ? TWO.format(size) : size.toLocaleString("en-GB", { minimumFractionDigits: 2, maximumFractionDigits: 2 })}`;
}

/** Amounts of one column, all with as many decimals as the smallest needs for two digits that count. */
export function moneyLike(values: (number | null | undefined)[]): typeof money {
  const sizes = values.flatMap((value) => (value ? [Math.abs(value)] : []));
  const smallest = Math.min(...sizes);
  const decimals = sizes.length === 0 || smallest >= 0.01 ? 2 : Math.min(7, 1 - Math.floor(Math.log10(smallest)));
  return (value) => (!value ? money(value) : `${value < 0 ? "−" : ""}$${Math.abs(value).toLocaleString("en-GB", { minimumFractionDigits: decimals, maximumFractionDigits: decimals })}`);
}

/** A duration in milliseconds. */
export const ms = (value: number | null | undefined): string => (value == null ? "–" : unit(duration(value)));

function duration(value: number): string {
  if (value === 0) return "0 ms";
  if (value < 1) return `${value.toFixed(2)} ms`;
  // Rounded first, then split: no part may come to a whole one of the next.
  if (value < 999.5) return `${value.toFixed(value < 9.95 ? 1 : 0)} ms`;
  if (value < 59_950) return `${(value / 1000).toFixed(value < 9_995 ? 2 : 1)} s`;
  const seconds = Math.round(value / 1000);
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  const minutes = Math.round(value / 60_000);
  if (minutes >= 2880) return `${Math.floor(minutes / 1440)} d ${Math.floor((minutes % 1440) / 60)} h`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** How long something lasted, from its two ends. */
export function took(from: string, to: string): string {
  const size = new Date(to).getTime() - new Date(from).getTime();
  return size < 59_500 ? unit(`${Math.max(0, Math.round(size / 1000))} s`) : ms(Math.max(60_000, size));
}

const SPAN: Record<string, string> = { ms: "ms", s: "s", m: "min", h: "h", d: "d" };

/** A duration as configurations write it (`10m`), in the units that are used everywhere else. */
export const lasting = (text: string | null | undefined): string => unit((text ?? "–").replace(/(\d+(?:\.\d+)?)(ms|s|m|h|d)(?=\d|$)/g, (_, n: string, of: string) => `${n} ${SPAN[of] ?? of} `).trim());

/** A latency from a class of latencies: the lowest class reaches up to 1 ms. */
export const latency = (value: number | null | undefined): string => (value != null && value <= 1 ? unit("< 1 ms") : ms(value));

/** A difference with its sign. */
export const signed = (value: number, digits = 3): string => change(value, (size) => size.toFixed(digits));

/** A difference with its sign, written as numbers of its kind are. None has no sign: `±` would be an uncertainty. */
export const change = (value: number, show: (size: number) => string): string => `${value > 0 ? "+" : value < 0 ? "−" : ""}${show(Math.abs(value))}`;

/** A difference of shares, in percentage points: `%` would be a share of the share. */
export const points = (value: number | null | undefined): string => percent(value).replace("%", "pp");

/** A change in words, for beside the number that changed: what else stands there is its uncertainty. */
export function moved(value: number, show: (size: number) => string): string {
  const size = show(Math.abs(value));
  return size === show(0) ? "unchanged" : `${value > 0 ? "↑" : "↓"} ${size}`;
}

/** The interval of a mean, with its n; one observation has none. */
export const within = ({ lower, upper, n }: { lower: number; upper: number; n: number }, show: (value: number) => string = score): string => `${n > 1 ? `${show(lower)}–${show(upper)}` : "no interval"} · n\u00a0${whole(n)}`;

/** The two ends of an interval. */
export const range = (lower: number, upper: number, show: (value: number) => string = score): string => `${show(lower)} – ${show(upper)}`;

const UNITS: [number, string][] = [
  [60, "s"],
  [60, "min"],
  [24, "h"],
  [7, "d"],
];

/** How long ago, in one unit; from two weeks on the date. */
export function ago(time: string, now: number = Date.now()): string {
  const then = new Date(time).getTime();
  const future = then > now;
  let size = Math.abs(now - then) / 1000;
  if (size < 10) return "just now";
  if (size >= 14 * 86_400) return new Date(time).toLocaleDateString("en-GB", { day: "numeric", month: "short", year: "numeric" });
  for (const [length, name] of UNITS) {
    if (Math.round(size) < length || name === "d") return unit(future ? `in ${Math.round(size)} ${name}` : `${Math.round(size)} ${name} ago`);
    size /= length;
  }
  return time;
}

/** Date and time in the reader's zone, with seconds. */
export function moment(time: string | number): string {
  return new Date(time).toLocaleString("en-GB", { day: "2-digit", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit" });
}

/** Day and time without year, for axes and tips. */
export function short(time: string | number): string {
  return new Date(time).toLocaleString("en-GB", { day: "2-digit", month: "short", hour: "2-digit", minute: "2-digit" });
}

/** A day of UTC, in seconds since 1970 and as it is written. Days are those of the server, wherever the reader is. */
export const dayOf = (name: string): number => Date.parse(`${name}T00:00:00Z`) / 1000;
export const day = (seconds: number): string => new Date(seconds * 1000).toLocaleDateString("en-GB", { day: "numeric", month: "short", timeZone: "UTC" });

/** The short form of a content hash. */
export const hash = (value: string | null | undefined): string => value?.slice(0, 12) ?? "–";

/** `n thing(s)` */
export const plural = (n: number, one: string, many = `${one}s`): string => `${whole(n)} ${n === 1 ? one : many}`;

/** With a capital at its beginning, unless that is a name such as `support-bot`. */
export const sentence = (text: string): string => text.replace(/^\p{Ll}(?=\p{L}*(?:$|[\s,.:;!?’]))/u, (first) => first.toUpperCase());

const TERMS: [RegExp, string][] = [
  [/\brouge ([l\d])\b/g, "ROUGE-$1"],
  [/\bROUGE-l\b/g, "ROUGE-L"],
  [/\bf1\b/g, "F1"],
  [/\bbleu\b/g, "BLEU"],
  [/\bbertscore\b/g, "BERTScore"],
  [/\bjson\b/g, "JSON"],
  // A minus, not the hyphen of a name.
  [/(?<![\w.])-(?=\d)/g, "−"],
  [/(?<=\d) (?=%)/g, "\u00a0"],
];

/** Names of metrics and categories as people write them, also within a sentence. */
export const words = (name: string): string => TERMS.reduce((text, [term, written]) => text.replace(term, written), name.replaceAll("_", " "));
