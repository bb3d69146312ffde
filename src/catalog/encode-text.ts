import type { Value } from "../value.ts";
import { excerpt, Unfit } from "./unfit.ts";

/** Text columns take every kind whose content is text. */
export function encodeText(base: "text" | "varchar" | "bpchar" | "name", modifier: number, value: Value): string {
  const text = textOf(value);
  if (base === "name") {
    if (Buffer.byteLength(text) > 63) throw new Unfit(`${excerpt(text)} is longer than 63 bytes`);
    return text;
  }
  if (base === "text" || modifier < 4) return text;
  const limit = modifier - 4;
  const points = text.length <= limit ? undefined : [...text];
  if (points === undefined || points.length <= limit) {
    if (base === "varchar") return text;
    return text + " ".repeat(limit - (points ?? [...text]).length);
  }
  // The standard lets go of spaces beyond the limit, and of nothing else.
  if (points.slice(limit).some((point) => point !== " "))
    throw new Unfit(`${excerpt(text)} is longer than ${limit} characters`);
  return points.slice(0, limit).join("");
}

export function encodeUuid(value: Value): string {
  const text = value.kind === "string" || value.kind === "uuid" ? value.value : undefined;
  if (text === undefined) throw new Unfit(`a ${value.kind} is not a UUID`);
  const bare = /^\{.*\}$/.test(text) ? text.slice(1, -1) : text;
  if (!/^(?:[0-9a-f]{4}-?){7}[0-9a-f]{4}$/i.test(bare)) throw new Unfit(`${excerpt(text)} is not a UUID`);
  const hex = bare.replaceAll("-", "").toLowerCase();
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

/** Bytes, or their text in hex form. The escape form is refused: any text would be one. */
export function encodeBytes(value: Value): string {
  if (value.kind === "bytes") return `\\x${Buffer.from(value.value).toString("hex")}`;
  if (value.kind !== "string") throw new Unfit(`a ${value.kind} is not a bytes value`);
  if (!/^\\x(?:[0-9a-f]{2})*$/i.test(value.value))
    throw new Unfit(`${excerpt(value.value)} is not of the form \\x00ff`);
  return value.value.toLowerCase();
}

/** Bits as digits, or as PostgreSQL's b'...' and x'...' without the quotes; as many as the column has, or at most. */
export function encodeBits(base: "bit" | "varbit", modifier: number, value: Value): string {
  if (value.kind !== "string") throw new Unfit(`a ${value.kind} is not a bit string`);
  const match = /^(?:b?([01]*)|x([0-9a-f]*))$/i.exec(value.value);
  if (!match) throw new Unfit(`${excerpt(value.value)} is not a bit string such as 0101`);
  const bits =
    match[1] ?? [...(match[2] ?? "")].map((digit) => Number.parseInt(digit, 16).toString(2).padStart(4, "0")).join("");
  const fits = modifier === -1 || (base === "bit" ? bits.length === modifier : bits.length <= modifier);
  if (!fits) throw new Unfit(`${excerpt(value.value)} has ${bits.length} bits, not ${modifier}`);
  return bits;
}

export function encodeEnum(labels: readonly string[], value: Value): string {
  if (value.kind !== "string") throw new Unfit(`a ${value.kind} is not a string`);
  if (!labels.includes(value.value)) throw new Unfit(`${excerpt(value.value)} is not one of ${labels.join(", ")}`);
  return value.value;
}

/** The text of a value whose type only the database can check. */
export function encodeUnchecked(value: Value): string {
  if (value.kind === "string") return value.value;
  throw new Unfit(`a ${value.kind} is not accepted here; send PostgreSQL's text form as a string`);
}

function textOf(value: Value): string {
  switch (value.kind) {
    case "string":
    case "uuid":
    case "json":
    case "numeric":
      return value.value;
    default:
      throw new Unfit(`a ${value.kind} is not a text`);
  }
}
