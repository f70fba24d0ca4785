import type { Schemas } from "../api/client";

const HOUR = 3_600_000;
/** The most that the server counts at once. */
const MOST = 2160;

/** The hours that an address asks for; a day, where it names none that can be shown. */
export function hoursOf(text: string | undefined): number {
  const hours = Number(text ?? "24");
  return Number.isInteger(hours) && hours >= 1 && hours <= MOST ? hours : 24;
}

/** Every hour of a stretch of time, also those without calls, which the server leaves out. */
export function hourly({ from, to, hours }: Schemas["Traffic"]): { x: number[]; hours: (Schemas["TrafficHour"] | null)[] } {
  const known = new Map(hours.map((hour) => [Math.floor(new Date(hour.at).getTime() / HOUR), hour]));
  const [first, last] = [from, to].map((time) => Math.floor(new Date(time).getTime() / HOUR)) as [number, number];
  const all = Array.from({ length: Math.max(0, last - first + 1) }, (_, i) => first + i);
  return { x: all.map((hour) => (hour * HOUR) / 1000), hours: all.map((hour) => known.get(hour) ?? null) };
}
