// Numbers that people type. What cannot be read is told at its field: it never becomes a default, or 0, in silence.

/** The number of a field: null where nothing stands there, undefined where it is no number. Decimals have a point. */
export function typed(text: string): number | null | undefined {
  const trimmed = text.trim();
  if (trimmed === "") return null;
  return /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(trimmed) && Number.isFinite(Number(trimmed)) ? Number(trimmed) : undefined;
}

interface Bounds {
  /** It may not be empty. */
  needed?: boolean;
  whole?: boolean;
  least?: number;
  most?: number;
  /** It must be larger than this. */
  above?: number;
}

/** What is wrong with a field's number; null where nothing is. */
export function wrongNumber(text: string, { needed, whole, least, most, above }: Bounds = {}): string | null {
  const value = typed(text);
  if (value === null) return needed ? "A number is needed" : null;
  if (value === undefined) return /\d,\d/.test(text) ? "Not a number: decimals have a point, as in 0.5" : "Not a number";
  if (whole && !Number.isInteger(value)) return "A whole number";
  if (above !== undefined && value <= above) return `More than ${above}`;
  if (least !== undefined && most !== undefined && (value < least || value > most)) return `From ${least} to ${most}`;
  if (least !== undefined && value < least) return `${least} or more`;
  if (most !== undefined && value > most) return `${most} at most`;
  return null;
}
