import type { Value } from "../value.ts";
import { civilFromDays, daysFromCivil } from "./calendar.ts";
import { excerpt, Unfit } from "./unfit.ts";

const MICROS_PER_SECOND = 1_000_000n;
const MICROS_PER_DAY = 86_400n * MICROS_PER_SECOND;
/** 2000-01-01 after 1970-01-01: PostgreSQL counts, and rounds, from there. */
const EPOCH_DAYS = 10_957;
const FIRST_DAY = -2_451_545; // 4713-11-24 BC
const FIRST_TIMESTAMP = BigInt(FIRST_DAY) * MICROS_PER_DAY;
const END_TIMESTAMP = 9_223_371_331_200_000_000n; // 294277-01-01
const END_DATE = 2_145_031_949; // 5874898-01-01

/** An instant (timestamptz, always with a zone) or a wall-clock time (timestamp, read as UTC), in microseconds. */
export function encodeTimestamp(base: "timestamp" | "timestamptz", modifier: number, value: Value): string {
  const infinity = infinityOf(value);
  if (infinity) return infinity;
  const given = value.kind === "timestamp" ? fromInstant(value) : fromText(base, value);
  const micros = round(given, modifier);
  if (given < FIRST_TIMESTAMP || micros >= END_TIMESTAMP) throw new Unfit("the time is out of range");
  const days = floorDivide(micros, MICROS_PER_DAY);
  const { date, suffix } = formatDay(Number(days));
  return `${date} ${formatTime(micros - days * MICROS_PER_DAY)}${base === "timestamptz" ? "+00" : ""}${suffix}`;
}

export function encodeDate(value: Value): string {
  const infinity = infinityOf(value);
  if (infinity) return infinity;
  const days = value.kind === "timestamp" ? midnight(fromInstant(value)) : readDate(value);
  if (days < FIRST_DAY || days >= END_DATE) throw new Unfit("the date is out of range");
  const { date, suffix } = formatDay(days);
  return `${date}${suffix}`;
}

export function encodeTime(modifier: number, value: Value): string {
  const text = onlyString(value);
  if (/^24:00(?::00(?:\.0+)?)?$/.test(text)) return "24:00:00";
  const match = /^(\d\d):(\d\d)(?::(\d\d)(?:\.(\d+))?)?$/.exec(text);
  if (!match) throw new Unfit(`${excerpt(text)} is not a time of day such as 23:59:59.5`);
  return formatTime(round(timeOfDay(match, 1), modifier));
}

function infinityOf(value: Value): string | undefined {
  if (value.kind !== "string") return undefined;
  const match = /^\s*([+-]?)infinity\s*$/i.exec(value.value);
  return match ? `${match[1] === "-" ? "-" : ""}infinity` : undefined;
}

function fromInstant(value: Extract<Value, { kind: "timestamp" }>): bigint {
  if (value.nanos % 1000 !== 0) throw new Unfit("a time is finer than a microsecond");
  if (value.nanos < 0 || value.nanos >= 1_000_000_000) throw new Unfit("nanos are not within a second");
  return (value.seconds - BigInt(EPOCH_DAYS) * 86_400n) * MICROS_PER_SECOND + BigInt(value.nanos / 1000);
}

const TIMESTAMP =
  /^(\d{4,6})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d+))?)?)? ?(Z|UTC|[+-]\d\d(?::?\d\d(?::?\d\d)?)?)?( BC)?$/i;

function fromText(base: "timestamp" | "timestamptz", value: Value): bigint {
  const text = onlyString(value);
  const match = TIMESTAMP.exec(text);
  if (!match)
    throw new Unfit(`${excerpt(text)} is not a time such as ${base === "timestamptz" ? EXAMPLE_ZONED : EXAMPLE}`);
  const zone = match[8];
  if (base === "timestamptz" && zone === undefined)
    throw new Unfit(`${excerpt(text)} has no time zone; write ${EXAMPLE_ZONED}`);
  const offset = zoneSeconds(zone);
  if (base === "timestamp" && offset !== 0n)
    throw new Unfit(`${excerpt(text)} has a time zone, which the column cannot keep`);
  const day = dayOf(match, match[9] !== undefined);
  return BigInt(day) * MICROS_PER_DAY + timeOfDay(match, 4) - offset * MICROS_PER_SECOND;
}

const EXAMPLE = "2026-11-23T04:00:00";
const EXAMPLE_ZONED = "2026-11-23T04:00:00Z";

function readDate(value: Value): number {
  const text = onlyString(value);
  const match = /^(\d{4,7})-(\d\d)-(\d\d)( BC)?$/i.exec(text);
  if (!match) throw new Unfit(`${excerpt(text)} is not a date such as 2026-11-23`);
  return dayOf(match, match[4] !== undefined);
}

function midnight(micros: bigint): number {
  if (micros % MICROS_PER_DAY !== 0n) throw new Unfit("the time is not midnight UTC, so it is not a date");
  return Number(micros / MICROS_PER_DAY);
}

function onlyString(value: Value): string {
  if (value.kind === "string") return value.value.trim();
  throw new Unfit(`a ${value.kind} is not a time`);
}

/** Days since 2000-01-01 of the year, month and day that stand first in the match. */
function dayOf(match: RegExpExecArray, bc: boolean): number {
  const [year, month, day] = [Number(match[1]), Number(match[2]), Number(match[3])];
  const astronomical = bc ? 1 - year : year;
  const days = daysFromCivil(astronomical, month, day);
  const back = civilFromDays(days);
  // A day that does not exist comes back as another one.
  if (year === 0 || back.month !== month || back.day !== day)
    throw new Unfit(`${excerpt(match[0])} is a day that does not exist`);
  return days - EPOCH_DAYS;
}

/** Microseconds of the hour, minute, second and fraction that stand in the match from one group on. */
function timeOfDay(match: RegExpExecArray, group: number): bigint {
  const [hour, minute, second] = [0, 1, 2].map((i) => Number(match[group + i] ?? 0)) as [number, number, number];
  if (hour > 23 || minute > 59 || second > 59)
    throw new Unfit(`${excerpt(match[0])} has a time of day that does not exist`);
  const fraction = match[group + 3] ?? "";
  if (/[1-9]/.test(fraction.slice(6))) throw new Unfit(`${excerpt(match[0])} is finer than a microsecond`);
  return BigInt(hour * 3600 + minute * 60 + second) * MICROS_PER_SECOND + BigInt(fraction.slice(0, 6).padEnd(6, "0"));
}

function zoneSeconds(zone: string | undefined): bigint {
  const match = /^([+-])(\d\d):?(\d\d)?:?(\d\d)?$/.exec(zone ?? "");
  if (!match) return 0n;
  const [hour, minute, second] = [2, 3, 4].map((i) => Number(match[i] ?? 0)) as [number, number, number];
  if (hour > 15 || minute > 59 || second > 59) throw new Unfit(`the time zone ${zone} does not exist`);
  return BigInt(hour * 3600 + minute * 60 + second) * (match[1] === "-" ? -1n : 1n);
}

/** To the column's precision, half away from PostgreSQL's epoch as PostgreSQL does it. */
function round(micros: bigint, modifier: number): bigint {
  if (modifier < 0 || modifier >= 6) return micros;
  const unit = 10n ** BigInt(6 - modifier);
  const half = unit / 2n;
  return micros >= 0n ? ((micros + half) / unit) * unit : -((-micros + half) / unit) * unit;
}

function formatDay(days: number): { date: string; suffix: string } {
  const { year, month, day } = civilFromDays(days + EPOCH_DAYS);
  const shown = String(year > 0 ? year : 1 - year).padStart(4, "0");
  return { date: `${shown}-${pad(month)}-${pad(day)}`, suffix: year > 0 ? "" : " BC" };
}

function formatTime(micros: bigint): string {
  const seconds = Number(micros / MICROS_PER_SECOND);
  const fraction = (micros % MICROS_PER_SECOND).toString().padStart(6, "0").replace(/0+$/, "");
  const clock = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60].map(pad).join(":");
  return fraction === "" ? clock : `${clock}.${fraction}`;
}

function pad(number: number): string {
  return String(number).padStart(2, "0");
}

function floorDivide(a: bigint, b: bigint): bigint {
  return a >= 0n || a % b === 0n ? a / b : a / b - 1n;
}
