import type { Timestamp } from "@bufbuild/protobuf/wkt";
import type { Value } from "../../gen/ts/opsdb/v1/value_pb.ts";
import { formatArrayText, type Nested } from "../catalog/array-text.ts";

/** A value as PostgreSQL reads it; undefined for NULL. Times are ISO 8601, in UTC. */
export function valueText({ kind }: Value): string | undefined {
  switch (kind.case) {
    case "nullValue":
    case undefined:
      return undefined;
    case "boolValue":
      return kind.value ? "true" : "false";
    case "int64Value":
      return kind.value.toString();
    case "doubleValue":
      return doubleText(kind.value);
    case "bytesValue":
      return `\\x${Buffer.from(kind.value).toString("hex")}`;
    case "timestampValue":
      return timestampText(kind.value);
    case "arrayValue":
      return formatArrayText(kind.value.values.map(element), ",");
    default:
      return kind.value;
  }
}

/** A value as JSON, with every digit of a number. What JSON has no number for, such as NaN, is a text. */
export function valueJson({ kind }: Value): string {
  switch (kind.case) {
    case "nullValue":
    case undefined:
      return "null";
    case "boolValue":
    case "int64Value":
      return kind.value.toString();
    case "doubleValue":
      return Number.isFinite(kind.value) ? doubleText(kind.value) : `"${doubleText(kind.value)}"`;
    case "numericValue":
      return /^-?\d/.test(kind.value) ? kind.value : JSON.stringify(kind.value);
    case "jsonValue":
      return kind.value;
    case "arrayValue":
      return `[${kind.value.values.map(valueJson).join(",")}]`;
    default:
      return JSON.stringify(valueText({ kind } as Value));
  }
}

function element(value: Value): Nested<string>[number] {
  if (value.kind.case === "arrayValue") return value.kind.value.values.map(element);
  return valueText(value) ?? null;
}

function doubleText(value: number): string {
  return Object.is(value, -0) ? "-0" : String(value);
}

/** "2026-04-02T03:04:05.25Z". */
function timestampText({ seconds, nanos }: Timestamp): string {
  const whole = new Date(Number(seconds) * 1_000).toISOString().slice(0, 19);
  const fraction = nanos === 0 ? "" : `.${String(nanos).padStart(9, "0").replace(/0+$/, "")}`;
  return `${whole}${fraction}Z`;
}
