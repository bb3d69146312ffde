import { OpsDbError } from "../errors.ts";
import type { TextValue, Value } from "../value.ts";
import { formatArrayText, type Nested, parseArrayText } from "./array-text.ts";
import type { ColumnType } from "./catalog.ts";
import { encodeJson } from "./encode-json.ts";
import { encodeBoolean, encodeFloat, encodeInteger, encodeNumeric } from "./encode-number.ts";
import { encodeBits, encodeBytes, encodeEnum, encodeText, encodeUnchecked, encodeUuid } from "./encode-text.ts";
import { encodeDate, encodeTime, encodeTimestamp } from "./encode-time.ts";
import { Unfit } from "./unfit.ts";

/**
 * Checks one value against its column's type and returns the text that PostgreSQL would print for it once stored.
 * Throws INVALID_VALUE for what main would surely refuse. Where the type is not fully checked the text of a string
 * passes through, and only the database can tell.
 */
export function encodeValue(type: ColumnType, value: Value, field: string): TextValue {
  if (value.kind === "null") return null;
  try {
    return type.array ? encodeArray(type, value, field) : encodeElement(type, value);
  } catch (error) {
    throw error instanceof Unfit ? invalidValue(type, error.message, field) : error;
  }
}

/**
 * Whether encodeValue is the last word: what it accepts the type accepts, and the text is PostgreSQL's own. (Where two
 * texts of a float are equally short the last digit may differ; both mean the same number.)
 */
export function isFullyChecked(type: ColumnType): boolean {
  return !type.domain && (type.enumValues.length > 0 || checkedBases.has(type.base));
}

/** The error for a value that does not fit its column. */
export function invalidValue(type: ColumnType, problem: string, field: string): OpsDbError {
  return new OpsDbError("INVALID_VALUE", `${problem} (the column is of type ${type.display})`, {
    field,
    metadata: { type: type.display },
  });
}

const checkedBases: ReadonlySet<string> = new Set([
  "bool",
  "int2",
  "int4",
  "int8",
  "oid",
  "float4",
  "float8",
  "numeric",
  "text",
  "varchar",
  "bpchar",
  "name",
  "uuid",
  "bytea",
  "bit",
  "varbit",
  "json",
  "jsonb",
  "timestamptz",
  "timestamp",
  "date",
  "time",
]);

function encodeElement(type: ColumnType, value: Value): string {
  if ("value" in value && typeof value.value === "string") refuseUnstorable(value.value);
  if (type.enumValues.length > 0) return encodeEnum(type.enumValues, value);
  switch (type.base) {
    case "bool":
      return encodeBoolean(value);
    case "int2":
    case "int4":
    case "int8":
    case "oid":
      return encodeInteger(type.base, value);
    case "float4":
    case "float8":
      return encodeFloat(type.base, value);
    case "numeric":
      return encodeNumeric(type.modifier, value);
    case "text":
    case "varchar":
    case "bpchar":
    case "name":
      return encodeText(type.base, type.modifier, value);
    case "uuid":
      return encodeUuid(value);
    case "bytea":
      return encodeBytes(value);
    case "bit":
    case "varbit":
      return encodeBits(type.base, type.modifier, value);
    case "json":
    case "jsonb":
      return encodeJson(type.base, value);
    case "timestamptz":
    case "timestamp":
      return encodeTimestamp(type.base, type.modifier, value);
    case "date":
      return encodeDate(value);
    case "time":
      return encodeTime(type.modifier, value);
    default:
      return encodeUnchecked(value);
  }
}

function encodeArray(type: ColumnType, value: Value, field: string): string {
  if (value.kind === "string") {
    refuseUnstorable(value.value);
    const { bounds, items } = parseArrayText(value.value, type.delimiter);
    return formatArrayText(encodeTexts(type, items), type.delimiter, bounds);
  }
  if (value.kind !== "array") throw new Unfit(`a ${value.kind} is not an array`);
  return formatArrayText(encodeItems(type, value.values, field), type.delimiter);
}

function encodeTexts(type: ColumnType, items: Nested<string>): Nested<string> {
  return items.map((item) => {
    if (item === null) return null;
    return Array.isArray(item) ? encodeTexts(type, item) : encodeElement(type, { kind: "string", value: item });
  });
}

function encodeItems(type: ColumnType, values: readonly Value[], field: string): Nested<string> {
  return values.map((value, index) => {
    const inner = `${field}.array_value.values[${index}]`;
    if (value.kind === "null") return null;
    if (value.kind === "array") return encodeItems(type, value.values, inner);
    try {
      return encodeElement(type, value);
    } catch (error) {
      throw error instanceof Unfit ? invalidValue(type, error.message, inner) : error;
    }
  });
}

function refuseUnstorable(text: string): void {
  if (text.includes("\0")) throw new Unfit("a text has a NUL character, which PostgreSQL cannot store");
  if (!text.isWellFormed()) throw new Unfit("a text has half of a surrogate pair, which is not valid Unicode");
}
