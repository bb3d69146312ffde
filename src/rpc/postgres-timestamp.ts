/** An instant as seconds since 1970-01-01T00:00:00Z and nanoseconds 0..999,999,999. */
export interface Instant {
  seconds: bigint;
  nanos: number;
}

/** Of 0001-01-01T00:00:00Z: what google.protobuf.Timestamp can hold begins here. */
export const minSeconds = -62135596800;
/** Of 9999-12-31T23:59:59Z. */
export const maxSeconds = 253402300799;

/**
 * Reads what PostgreSQL prints for timestamptz and timestamp with ISO dates; without an offset it is read as UTC.
 * Undefined for what a Timestamp cannot hold: the infinities, BC, and years after 9999.
 */
export function parseTimestamp(text: string): Instant | undefined {
  if (text.length < 19 || text[4] !== "-" || text[10] !== " ") return undefined;
  const days = daysSinceEpoch(digits(text, 0, 4), digits(text, 5, 7), digits(text, 8, 10));
  let seconds = days * 86400 + digits(text, 11, 13) * 3600 + digits(text, 14, 16) * 60 + digits(text, 17, 19);
  let nanos = 0;
  let at = 19;
  if (text[at] === ".") {
    let unit = 100_000_000;
    for (at += 1; isDigit(text, at); at += 1, unit /= 10) nanos += digits(text, at, at + 1) * unit;
  }
  const sign = text[at];
  if (sign === "+" || sign === "-") {
    const match = /^(\d\d)(?::(\d\d))?(?::(\d\d))?$/.exec(text.slice(at + 1));
    if (!match) return undefined;
    const offset = Number(match[1]) * 3600 + Number(match[2] ?? 0) * 60 + Number(match[3] ?? 0);
    seconds += sign === "+" ? -offset : offset;
  } else if (at !== text.length) {
    return undefined;
  }
  if (seconds < minSeconds || seconds > maxSeconds) return undefined;
  return { seconds: BigInt(seconds), nanos };
}

function digits(text: string, from: number, to: number): number {
  let value = 0;
  for (let i = from; i < to; i += 1) value = value * 10 + text.charCodeAt(i) - 48;
  return value;
}

function isDigit(text: string, at: number): boolean {
  const code = text.charCodeAt(at);
  return code >= 48 && code <= 57;
}

/** Days of the proleptic Gregorian calendar; years are counted from March, so that leap days come last. */
function daysSinceEpoch(year: number, month: number, day: number): number {
  const y = month > 2 ? year : year - 1;
  const dayOfYear = Math.floor((153 * (month + (month > 2 ? -3 : 9)) + 2) / 5) + day - 1;
  return y * 365 + Math.floor(y / 4) - Math.floor(y / 100) + Math.floor(y / 400) + dayOfYear - 719468;
}
