import { createHash } from "node:crypto";
import { OpsDbError } from "../errors.ts";
import type { TextValue, Value } from "../value.ts";
import type { Column, ColumnType } from "./catalog.ts";
import { encodeValue, isFullyChecked } from "./encode-value.ts";

export interface DefaultContext {
  now: Date;
  /** Names the place of the value; the same place gets the same UUID, so that a retried write gets the same keys. */
  seed: readonly (string | number)[];
}

/** The value of a column's default where memory can tell it: constants, the time, UUIDs. Undefined where it cannot. */
export function evaluateDefault(column: Column, context: DefaultContext): { value: TextValue } | undefined {
  const understood = understoodDefaults.get(column) ?? understand(column);
  understoodDefaults.set(column, understood);
  switch (understood.kind) {
    case "unknown":
      return undefined;
    case "constant":
      return understood;
    case "time":
      return encodeOrNothing(column.type, timeOf(column.type, context.now));
    case "uuid":
    case "uuidv7":
      return encodeOrNothing(column.type, { kind: "uuid", value: uuidOf(understood.kind === "uuidv7", context) });
  }
}

type UnderstoodDefault = { kind: "unknown" | "time" | "uuid" | "uuidv7" } | { kind: "constant"; value: TextValue };

/** Reading expressions costs more than evaluating them; a column lives as long as its catalog. */
const understoodDefaults = new WeakMap<Column, UnderstoodDefault>();

const unknown: UnderstoodDefault = { kind: "unknown" };

function understand({ type, defaultExpression, identity }: Column): UnderstoodDefault {
  if (defaultExpression === undefined || identity !== "none" || type.domain) return unknown;
  const expression = unwrap(defaultExpression, type);
  if (/^NULL(::.*)?$/.test(expression)) return { kind: "constant", value: null };
  const literal = literalOf(expression, type);
  // PostgreSQL printed this text itself, so it is canonical for types that memory does not know as well.
  if (literal !== undefined && !isFullyChecked(type) && type.modifier === -1)
    return { kind: "constant", value: literal };
  if (!isFullyChecked(type)) return unknown;
  if (literal !== undefined) return constant(type, { kind: "string", value: literal });
  if (/^(true|false)$/.test(expression)) return constant(type, { kind: "bool", value: expression === "true" });
  if (/^-?\d+(\.\d+)?$/.test(expression)) return constant(type, { kind: "numeric", value: expression });
  if (TIME.test(expression) || (type.base === "timestamp" && UTC_TIME.test(expression))) return { kind: "time" };
  const uuid = /^(?:\w+\.)?(gen_random_uuid|uuid_generate_v4|uuidv4|uuidv7)\(\)$/.exec(expression)?.[1];
  if (uuid !== undefined) return { kind: uuid === "uuidv7" ? "uuidv7" : "uuid" };
  return unknown;
}

function constant(type: ColumnType, value: Value): UnderstoodDefault {
  const encoded = encodeOrNothing(type, value);
  return encoded ? { kind: "constant", ...encoded } : unknown;
}

const TIME =
  /^(CURRENT_TIMESTAMP|LOCALTIMESTAMP|CURRENT_DATE|(now|clock_timestamp|transaction_timestamp|statement_timestamp)\(\))$/;
const UTC_TIME =
  /^\(?(now\(\)|CURRENT_TIMESTAMP) AT TIME ZONE 'utc'::text\)?$|^timezone\('utc'::text, (now\(\)|CURRENT_TIMESTAMP)\)$/i;

/** The text of a quoted literal that is of the column's own type. */
function literalOf(expression: string, type: ColumnType): string | undefined {
  const match = /^(E?)'((?:[^']|'')*)'::(.+)$/s.exec(expression);
  if (!match || ![type.cast, type.castWithModifier].includes(match[3] ?? "")) return undefined;
  const text = (match[2] ?? "").replaceAll("''", "'");
  return match[1] === "" ? text : text.replaceAll("\\\\", "\\");
}

/** Takes off casts to the column's own type: `(0)::numeric`, `('a'::text)::character varying`, `'-1'::integer`. */
function unwrap(expression: string, type: ColumnType): string {
  const array = /^ARRAY\[\]::(.+)$/.exec(expression);
  if (array?.[1] === type.cast) return `'{}'::${type.cast}`;
  for (const cast of new Set([type.castWithModifier, type.cast])) {
    const suffix = `)::${cast}`;
    if (!expression.startsWith("(") || !expression.endsWith(suffix)) continue;
    const inner = expression.slice(1, -suffix.length);
    const text = /^('(?:[^']|'')*')::(?:text|character varying)$/s.exec(inner)?.[1];
    return text === undefined ? unwrap(inner, type) : `${text}::${type.cast}`;
  }
  const number = /^'(-\d+(?:\.\d+)?)'::(?:smallint|integer|bigint|numeric)$/.exec(expression)?.[1];
  return number ?? expression;
}

function timeOf(type: ColumnType, now: Date): Value {
  const milliseconds = BigInt(now.getTime());
  if (type.base === "date") return { kind: "string", value: now.toISOString().slice(0, 10) };
  return { kind: "timestamp", seconds: milliseconds / 1000n, nanos: Number(milliseconds % 1000n) * 1_000_000 };
}

/** Version 8 of RFC 9562, which leaves the bits to whoever makes it; or version 7, which starts with the time. */
function uuidOf(timeOrdered: boolean, { now, seed }: DefaultContext): string {
  const bytes = createHash("sha256").update(JSON.stringify(seed)).digest().subarray(0, 16);
  if (timeOrdered) bytes.writeUIntBE(now.getTime(), 0, 6);
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | (timeOrdered ? 0x70 : 0x80);
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  return bytes.toString("hex").replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

/** A constant that the column's type refuses (it is rounded, or fails) is the database's to evaluate. */
function encodeOrNothing(type: ColumnType, value: Value): { value: TextValue } | undefined {
  try {
    return { value: encodeValue(type, value, "") };
  } catch (error) {
    if (error instanceof OpsDbError) return undefined;
    throw error;
  }
}
