import { NullValue } from "@bufbuild/protobuf/wkt";
import type { Value } from "../../gen/ts/opsdb/v1/value_pb.ts";
import { UsageError } from "./command.ts";
import { type ExactJson, isExactNumber, parseExactJson } from "./exact-json.ts";

/** What is given for a column: text as a person types it, or JSON as a program makes it. */
export type Given = { text: string } | { json: ExactJson };

/** A column by its name and its type as the catalog shows it; the type is unknown where the catalog lacks the column. */
export interface TypedColumn {
  name: string;
  type: string | undefined;
}

/** Of these types no value is written NULL, so that the word can only mean NULL. */
const neverTheWordNull =
  /^(smallint|integer|bigint|oid|real|double precision|numeric|boolean|uuid|bytea|date|time|timestamp|interval|json|jsonb|inet|cidr)\b/;

/** The value to send. Most go as text, which the service reads as PostgreSQL's own form of the column's type. */
export function columnValue(column: TypedColumn, given: Given): Value {
  return "text" in given ? fromText(column, given.text) : fromJson(column.type ?? "", given.json);
}

/** A value that PostgreSQL reads as it is written. */
export function textValue(value: string): Value {
  return message({ case: "stringValue", value });
}

function fromText({ name, type }: TypedColumn, text: string): Value {
  if (text === "NULL") {
    if (type !== undefined && (neverTheWordNull.test(type) || type.endsWith("[]"))) return NULL;
    throw new UsageError(`${name}=NULL may be NULL or the four letters: say ${name}:=null, or '${name}:="NULL"'`);
  }
  if (text === "now" && type?.startsWith("timestamp")) return textValue(new Date().toISOString());
  if (text.startsWith("[") && type?.endsWith("[]")) {
    const list = jsonList(text);
    if (list !== undefined) return fromJson(type, list);
  }
  return textValue(text);
}

function fromJson(type: string, json: ExactJson): Value {
  if (json === null) return NULL;
  if (type === "json" || type === "jsonb") return message({ case: "jsonValue", value: JSON.stringify(json) });
  if (typeof json === "string") return textValue(json);
  if (typeof json === "boolean") return message({ case: "boolValue", value: json });
  if (isExactNumber(json)) return textValue(json.rawJSON);
  if (!Array.isArray(json)) return message({ case: "jsonValue", value: JSON.stringify(json) });
  const values = json.map((item) => fromJson(Array.isArray(item) ? type : type.replace(/\[\]$/, ""), item));
  return message({ case: "arrayValue", value: { $typeName: "opsdb.v1.ArrayValue", values } });
}

function jsonList(text: string): ExactJson | undefined {
  try {
    return parseExactJson(text);
  } catch {
    return undefined; // PostgreSQL's own form, such as [0:1]={1,2}
  }
}

function message(kind: Value["kind"]): Value {
  return { $typeName: "opsdb.v1.Value", kind };
}

const NULL: Value = Object.freeze(message({ case: "nullValue", value: NullValue.NULL_VALUE }));
