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
  if (text.length < 19 || text.charCodeAt(4) !== dash || text.charCodeAt(10) !== space) return undefined;
  const days = daysSinceEpoch(digits(text, 0, 4), digits(text, 5, 7), digits(text, 8, 10));
  let seconds = days * 86400 + digits(text, 11, 13) * 3600 + digits(text, 14, 16) * 60 + digits(text, 17, 19);
  let nanos = 0;
  let at = 19;
  if (text.charCodeAt(at) === dot) {
    let unit = 100_000_000;
    for (at += 1; isDigit(text, at); at += 1, unit /= 10) nanos += digits(text, at, at + 1) * unit;
  }
  if (at !== text.length) {
    const offset = offsetSeconds(text, at);
    if (offset === undefined) return undefined;
    seconds -= offset;
  }
  if (seconds < minSeconds || seconds > maxSeconds) return undefined;
  return { seconds, nanos };
}

const dash = 45;
const space = 32;
const dot = 46;

/** What follows the time: "+00" nearly always. Undefined for anything but an offset, as " BC". */
function offsetSeconds(text: string, at: number): number | undefined {
  if (text.length === at + 3 && text.endsWith("+00")) return 0;
  const match = /^([+-])(\d\d)(?::(\d\d))?(?::(\d\d))?$/.exec(text.slice(at));
  if (!match) return undefined;
  const seconds = Number(match[2]) * 3600 + Number(match[3] ?? 0) * 60 + Number(match[4] ?? 0);
  return match[1] === "-" ? -seconds : seconds;
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
