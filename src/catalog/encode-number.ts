import type { Value } from "../value.ts";
import { formatDecimal, parseDecimal, roundDecimal } from "./decimal.ts";
import { excerpt, Unfit } from "./unfit.ts";

const limits = {
  int2: [-(2n ** 15n), 2n ** 15n - 1n],
  int4: [-(2n ** 31n), 2n ** 31n - 1n],
  int8: [-(2n ** 63n), 2n ** 63n - 1n],
  oid: [0n, 2n ** 32n - 1n],
} as const;

export type IntegerType = keyof typeof limits;

/** Integers come as int64, as digits, or as a double or numeric without a fraction. */
export function encodeInteger(base: IntegerType, value: Value): string {
  const number = toInteger(value);
  const [min, max] = limits[base];
  if (number < min || number > max) throw new Unfit(`${number} is out of range`);
  return number.toString();
}

/** Doubles and their text with NaN and the infinities; integers only where nothing is lost. */
export function encodeFloat(base: "float4" | "float8", value: Value): string {
  const round = base === "float4" ? Math.fround : (x: number) => x;
  switch (value.kind) {
    case "double":
      return formatFloat(base, checkRange(round(value.value), value.value, String(value.value)));
    case "int64": {
      const rounded = round(Number(value.value));
      if (BigInt(rounded) !== value.value) throw new Unfit(`${value.value} cannot be held without loss`);
      return formatFloat(base, rounded);
    }
    case "numeric":
    case "string": {
      const text = trim(value.value);
      const special = specialFloat(text);
      if (special !== undefined) return formatFloat(base, special);
      if (!DECIMAL.test(text)) throw new Unfit(`${excerpt(value.value)} is not a number`);
      // A text that is not zero must not become zero, nor a finite one infinite.
      const written = /[1-9]/.test(text.replace(/e.*$/i, "")) ? 1 : 0;
      return formatFloat(base, checkRange(round(Number(text)), written, excerpt(text)));
    }
    default:
      throw new Unfit(`a ${value.kind} is not a number`);
  }
}

/** Exact decimals, rounded half away from zero to the scale of the column as PostgreSQL does it. */
export function encodeNumeric(modifier: number, value: Value): string {
  const text = numericText(value);
  const special = specialFloat(text);
  if (special !== undefined) {
    if (modifier !== -1 && !Number.isNaN(special)) throw new Unfit("an infinity does not fit a limited precision");
    return String(special);
  }
  const decimal = parseDecimal(text);
  if (!decimal) throw new Unfit(`${excerpt(text)} is not a number, or far too large`);
  if (modifier === -1) return formatDecimal(decimal);
  const precision = ((modifier - 4) >> 16) & 0xffff;
  const scale = (((modifier - 4) & 0x7ff) ^ 1024) - 1024;
  const rounded = roundDecimal(decimal, scale);
  const digits = rounded.digits === "0" ? 0 : rounded.digits.length;
  // The digits of a negative scale end in zeros that the precision does not count.
  if (digits > precision + Math.max(0, -scale)) throw new Unfit(`${excerpt(text)} has too many digits`);
  return formatDecimal(rounded);
}

export function encodeBoolean(value: Value): string {
  if (value.kind === "bool") return value.value ? "t" : "f";
  if (value.kind !== "string") throw new Unfit(`a ${value.kind} is not a boolean`);
  const text = trim(value.value).toLowerCase();
  if (text !== "" && ["true", "yes"].some((word) => word.startsWith(text))) return "t";
  if (text !== "" && ["false", "no"].some((word) => word.startsWith(text))) return "f";
  if (["on", "1"].includes(text)) return "t";
  if (["off", "of", "0"].includes(text)) return "f";
  throw new Unfit(`${excerpt(value.value)} is not a boolean`);
}

const SPACE = /[ \t\n\v\f\r]/;
const DECIMAL = /^[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?$/i;

function toInteger(value: Value): bigint {
  switch (value.kind) {
    case "int64":
      return value.value;
    case "double":
      if (!Number.isInteger(value.value)) throw new Unfit(`${value.value} is not an integer`);
      return BigInt(value.value);
    case "numeric": {
      const decimal = parseDecimal(trim(value.value));
      const whole = decimal && roundDecimal(decimal, 0);
      if (!decimal || !whole || /[1-9]/.test(decimal.digits.slice(decimal.digits.length - decimal.scale))) {
        throw new Unfit(`${excerpt(value.value)} is not an integer`);
      }
      return BigInt(formatDecimal(whole));
    }
    case "string": {
      const text = trim(value.value);
      if (!/^[+-]?\d{1,1000}$/.test(text)) throw new Unfit(`${excerpt(value.value)} is not an integer`);
      return text.startsWith("+") ? BigInt(text.slice(1)) : BigInt(text);
    }
    default:
      throw new Unfit(`a ${value.kind} is not an integer`);
  }
}

function numericText(value: Value): string {
  switch (value.kind) {
    case "int64":
      return value.value.toString();
    case "double":
      return String(value.value);
    case "numeric":
    case "string":
      return trim(value.value);
    default:
      throw new Unfit(`a ${value.kind} is not a number`);
  }
}

function specialFloat(text: string): number | undefined {
  const match = /^(?:(nan)|([+-]?)inf(?:inity)?)$/i.exec(text);
  if (!match) return undefined;
  if (match[1]) return Number.NaN;
  return match[2] === "-" ? -Infinity : Infinity;
}

function checkRange(result: number, original: number, shown: string): number {
  const overflow = !Number.isFinite(result) && Number.isFinite(original);
  if (overflow || (result === 0 && original !== 0)) throw new Unfit(`${shown} is out of range`);
  return result;
}

/** As PostgreSQL prints it: the shortest digits that give the number back; exponents below -4 and from 6 or 15 on. */
function formatFloat(base: "float4" | "float8", number: number): string {
  if (!Number.isFinite(number)) return String(number);
  if (number === 0) return Object.is(number, -0) ? "-0" : "0";
  const [mantissa = "", exponentText = "0"] = shortest(base, number).split("e");
  const exponent = Number(exponentText);
  if (exponent < -4 || exponent >= (base === "float4" ? 6 : 15)) {
    const size = String(Math.abs(exponent)).padStart(2, "0");
    return `${mantissa}e${exponent < 0 ? "-" : "+"}${size}`;
  }
  const negative = mantissa.startsWith("-");
  const digits = mantissa.replace(/[-.]/g, "");
  const decimal = formatDecimal(
    exponent >= 0
      ? { negative, digits: digits.padEnd(exponent + 1, "0"), scale: Math.max(0, digits.length - 1 - exponent) }
      : { negative, digits, scale: digits.length - 1 - exponent },
  );
  return decimal;
}

function shortest(base: "float4" | "float8", number: number): string {
  if (base === "float8") return number.toExponential();
  for (let digits = 0; digits < 9; digits++) {
    const text = number.toExponential(digits);
    if (Math.fround(Number(text)) === number) return text;
  }
  return number.toExponential(9);
}

/** What PostgreSQL's input functions skip around a number. */
function trim(text: string): string {
  let [from, to] = [0, text.length];
  while (from < to && SPACE.test(text.charAt(from))) from++;
  while (to > from && SPACE.test(text.charAt(to - 1))) to--;
  return text.slice(from, to);
}
