/** An instant as seconds since 1970-01-01T00:00:00Z and nanoseconds 0..999,999,999. */
export interface Instant {
  seconds: number;
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
  return readTimestamp(Buffer.from(text, "latin1"), 0, text.length);
}

/** The same, of text in a buffer. */
export function readTimestamp(text: Buffer, from: number, end: number): Instant | undefined {
  if (end - from < 19 || text[from + 4] !== dash || text[from + 10] !== space) return undefined;
  const days = daysSinceEpoch(digits(text, from, 4), digits(text, from + 5, 2), digits(text, from + 8, 2));
  let seconds =
    days * 86400 + digits(text, from + 11, 2) * 3600 + digits(text, from + 14, 2) * 60 + digits(text, from + 17, 2);
  let nanos = 0;
  let at = from + 19;
  if (at < end && text[at] === dot) {
    let unit = 100_000_000;
    for (at += 1; at < end && isDigit(text[at]); at += 1, unit /= 10) nanos += digits(text, at, 1) * unit;
  }
  if (at !== end) {
    const offset = offsetSeconds(text, at, end);
    if (offset === undefined) return undefined;
    seconds -= offset;
  }
  if (seconds < minSeconds || seconds > maxSeconds) return undefined;
  return { seconds, nanos };
}

const dash = 45;
const space = 32;
const dot = 46;
const plus = 43;
const zero = 48;

/** What follows the time: "+00" nearly always. Undefined for anything but an offset, as " BC". */
function offsetSeconds(text: Buffer, at: number, end: number): number | undefined {
  if (end === at + 3 && text[at] === plus && text[at + 1] === zero && text[at + 2] === zero) return 0;
  const match = /^([+-])(\d\d)(?::(\d\d))?(?::(\d\d))?$/.exec(text.toString("latin1", at, end));
  if (!match) return undefined;
  const seconds = Number(match[2]) * 3600 + Number(match[3] ?? 0) * 60 + Number(match[4] ?? 0);
  return match[1] === "-" ? -seconds : seconds;
}

function digits(text: Buffer, from: number, count: number): number {
  let value = 0;
  for (let i = from; i < from + count; i += 1) value = value * 10 + (text[i] ?? 0) - zero;
  return value;
}

function isDigit(code = 0): boolean {
  return code >= zero && code <= zero + 9;
}

/** Days of the proleptic Gregorian calendar; years are counted from March, so that leap days come last. */
function daysSinceEpoch(year: number, month: number, day: number): number {
  const y = month > 2 ? year : year - 1;
  const dayOfYear = Math.floor((153 * (month + (month > 2 ? -3 : 9)) + 2) / 5) + day - 1;
  return y * 365 + Math.floor(y / 4) - Math.floor(y / 100) + Math.floor(y / 400) + dayOfYear - 719468;
}
