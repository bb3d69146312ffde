/** A decimal number as its digits without leading zeros ("0" for zero) and how many of them follow the point. */
export interface Decimal {
  negative: boolean;
  digits: string;
  scale: number;
}

/** PostgreSQL holds 131,072 digits before the point and 16,383 after it. */
const MAX_INTEGER_DIGITS = 131_072;
const MAX_SCALE = 16_383;
/**
 * Most zeros that an exponent may stand for; every double has fewer. Values are kept written out, so a message full of
 * 1e100000 would become ten thousand times as large.
 */
const MAX_ZEROS = 400;

/** Reads "-12.50" and "1.25e3". Undefined for anything else, and for what cannot be held. */
export function parseDecimal(text: string): Decimal | undefined {
  const match = /^([+-]?)(\d*)(?:\.(\d*))?(?:e([+-]?\d{1,9}))?$/i.exec(text);
  const [, sign = "", whole = "", fraction = "", exponentText = "0"] = match ?? [];
  if (whole === "" && fraction === "") return undefined;
  const scale = fraction.length - Number(exponentText);
  const digits = stripZeros(`${whole}${fraction}`);
  if (Math.max(-scale, scale - whole.length - fraction.length) > MAX_ZEROS) return undefined;
  const decimal: Decimal =
    scale >= 0
      ? { negative: sign === "-", digits, scale }
      : { negative: sign === "-", digits: digits === "0" ? "0" : digits + "0".repeat(-scale), scale: 0 };
  if (decimal.scale > MAX_SCALE || decimal.digits.length - decimal.scale > MAX_INTEGER_DIGITS) return undefined;
  return decimal;
}

/** Rounds half away from zero, or pads with zeros; a negative scale rounds before the point. */
export function roundDecimal(decimal: Decimal, scale: number): Decimal {
  const { negative, digits } = decimal;
  const excess = decimal.scale - scale;
  if (excess <= 0) return { negative, digits: digits === "0" ? "0" : digits + "0".repeat(-excess), scale };
  const padded = digits.padStart(excess + 1, "0");
  const kept = padded.slice(0, -excess);
  const up = (padded.at(-excess) ?? "0") >= "5";
  const rounded = stripZeros(up ? (BigInt(kept) + 1n).toString() : kept);
  if (scale >= 0) return { negative, digits: rounded, scale };
  return { negative, digits: rounded === "0" ? "0" : rounded + "0".repeat(-scale), scale: 0 };
}

/** Writes it with all digits of its scale, as PostgreSQL does. There is no negative zero. */
export function formatDecimal({ negative, digits, scale }: Decimal): string {
  const padded = digits.padStart(scale + 1, "0");
  const point = padded.length - scale;
  const text = scale === 0 ? padded : `${padded.slice(0, point)}.${padded.slice(point)}`;
  return negative && /[1-9]/.test(digits) ? `-${text}` : text;
}

function stripZeros(digits: string): string {
  return digits.replace(/^0+(?=\d)/, "");
}
