// The little arithmetic that pages need. What is decided is decided by the server.

export interface Band {
  value: number;
  lower: number;
  upper: number;
  n: number;
}

/** Wilson's 95 % interval of a rate. */
export function wilson(hits: number, n: number): Band {
  if (n === 0) return { value: Number.NaN, lower: 0, upper: 1, n };
  const z = 1.959963984540054;
  const p = hits / n;
  const centre = (p + (z * z) / (2 * n)) / (1 + (z * z) / n);
  const half = (z / (1 + (z * z) / n)) * Math.sqrt((p * (1 - p)) / n + (z * z) / (4 * n * n));
  return { value: p, lower: Math.max(0, centre - half), upper: Math.min(1, centre + half), n };
}

/** Mean over a trailing window, with the interval that the spread of its values gives. */
export function rolling(values: (number | null)[], window: number): (Band | null)[] {
  return values.map((_, end) => {
    const part = values.slice(Math.max(0, end - window + 1), end + 1).filter((v): v is number => v !== null);
    if (part.length === 0) return null;
    const mean = part.reduce((sum, v) => sum + v, 0) / part.length;
    if (part.length < 2) return { value: mean, lower: mean, upper: mean, n: part.length };
    const variance = part.reduce((sum, v) => sum + (v - mean) ** 2, 0) / (part.length - 1);
    const half = studentT(part.length - 1) * Math.sqrt(variance / part.length);
    return { value: mean, lower: mean - half, upper: mean + half, n: part.length };
  });
}

/** The rolling mean at each of the runs that evaluated all samples; runs of a part of them are in no mean, and have none. */
export function means<T extends { partial?: boolean }>(points: T[], window: number, valueOf: (point: T) => number | null): (number | null)[] {
  const whole = points.filter((point) => !point.partial);
  const bands = new Map(rolling(whole.map(valueOf), window).map((band, i) => [whole[i], band?.value ?? null]));
  return points.map((point) => bands.get(point) ?? null);
}

const T975 = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.16, 2.145, 2.131];

/** The 97.5 % point of Student's distribution. */
export function studentT(df: number): number {
  return T975[df - 1] ?? 1.959964 + 2.37227 / df + 2.8225 / (df * df);
}
