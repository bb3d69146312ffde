import { NullValue, type Timestamp } from "@bufbuild/protobuf/wkt";
import type * as pb from "../../gen/ts/opsdb/v1/value_pb.ts";
import { OpsDbError } from "../errors.ts";
import { type Instant, maxSeconds, minSeconds, parseTimestamp } from "../postgres/parse-timestamp.ts";
import type { TextValue, Value, ValueKind } from "../value.ts";
import { hasBounds, parseArray } from "./postgres-array.ts";

/** Where a value stands in its request. A function, because only errors need the text. */
export type FieldPath = () => string;

/** Reads a map of column names to values. */
export function decodeValues(values: Record<string, pb.Value>, path: FieldPath): Record<string, Value> {
  // Without a prototype, so that a column called __proto__ is a column like any other.
  const decoded = Object.create(null) as Record<string, Value>;
  for (const name of Object.keys(values)) {
    decoded[name] = decodeValue(values[name], () => `${path()}[${JSON.stringify(name)}]`);
  }
  return decoded;
}

/** Reads one value that a client sent. Whether it fits its column is for the catalog to say. */
export function decodeValue(value: pb.Value | undefined, path: FieldPath): Value {
  const kind = value?.kind;
  switch (kind?.case) {
    case "nullValue":
      return { kind: "null" };
    case "boolValue":
      return { kind: "bool", value: kind.value };
    case "int64Value":
      return { kind: "int64", value: kind.value };
    case "doubleValue":
      return { kind: "double", value: kind.value };
    case "numericValue":
      return { kind: "numeric", value: text(kind.value, path) };
    case "stringValue":
      return { kind: "string", value: text(kind.value, path) };
    case "bytesValue":
      return { kind: "bytes", value: kind.value };
    case "timestampValue":
      return timestamp(kind.value, path);
    case "uuidValue":
      return { kind: "uuid", value: text(kind.value, path) };
    case "jsonValue":
      return { kind: "json", value: text(kind.value, path) };
    case "arrayValue":
      return {
        kind: "array",
        values: kind.value.values.map((item, i) => decodeValue(item, () => `${path()}.array_value.values[${i}]`)),
      };
    case undefined:
      throw new OpsDbError("INVALID_FIELD", "a value has no kind; NULL is null_value", { field: path() });
  }
}

/** What of a column decides how its values go out. */
export interface EncodedColumn {
  kind: ValueKind;
  array: boolean;
  delimiter: string;
}

/** Makes the function that turns a column's text values into messages. */
export function valueEncoder(column: EncodedColumn): (text: TextValue) => pb.Value {
  const scalar = scalarEncoders[column.kind];
  const element = (text: TextValue): pb.Value => (text === null ? NULL : message(scalar(text)));
  if (!column.array) return element;
  const nest = (values: pb.Value[]): pb.Value =>
    message({ case: "arrayValue", value: { $typeName: "opsdb.v1.ArrayValue", values } });
  const shape = { delimiter: column.delimiter, element, nest };
  return (text) => {
    if (text === null) return NULL;
    return hasBounds(text) ? message({ case: "stringValue", value: text }) : parseArray(text, shape);
  };
}

type Kind = pb.Value["kind"];

function timestampMessage({ seconds, nanos }: Instant): Timestamp {
  return { $typeName: "google.protobuf.Timestamp", seconds: BigInt(seconds), nanos };
}

const scalarEncoders: Record<ValueKind, (text: string) => Kind> = {
  bool: (text) => ({ case: "boolValue", value: text === "t" || text === "true" }),
  int64: (text) => ({ case: "int64Value", value: BigInt(text) }),
  double: (text) => ({ case: "doubleValue", value: Number(text) }),
  numeric: (text) => ({ case: "numericValue", value: text }),
  bytes: (text) => ({ case: "bytesValue", value: Buffer.from(text.slice(2), "hex") }),
  timestamp: (text) => {
    const instant = parseTimestamp(text);
    if (instant === undefined) return { case: "stringValue", value: text };
    return { case: "timestampValue", value: timestampMessage(instant) };
  },
  uuid: (text) => ({ case: "uuidValue", value: text }),
  json: (text) => ({ case: "jsonValue", value: text }),
  text: (text) => ({ case: "stringValue", value: text }),
};

function message(kind: Kind): pb.Value {
  return { $typeName: "opsdb.v1.Value", kind };
}

const NULL: pb.Value = Object.freeze(message({ case: "nullValue", value: NullValue.NULL_VALUE }));

/** PostgreSQL's text holds neither U+0000 nor half of a surrogate pair. */
function text(value: string, path: FieldPath): string {
  if (value.includes("\0"))
    throw new OpsDbError("INVALID_VALUE", "text with U+0000 cannot be stored", { field: path() });
  if (!value.isWellFormed()) throw new OpsDbError("INVALID_VALUE", "text is not valid Unicode", { field: path() });
  return value;
}

function timestamp(value: { seconds: bigint; nanos: number }, path: FieldPath): Value {
  const { seconds, nanos } = value;
  if (seconds < minSeconds || seconds > maxSeconds)
    throw new OpsDbError("INVALID_VALUE", "a timestamp is outside years 1 to 9999", { field: path() });
  if (nanos < 0 || nanos > 999_999_999)
    throw new OpsDbError("INVALID_VALUE", "a timestamp's nanos are outside 0 to 999,999,999", { field: path() });
  if (nanos % 1000 !== 0)
    throw new OpsDbError("INVALID_VALUE", "a timestamp is finer than microseconds", { field: path() });
  return { kind: "timestamp", seconds, nanos };
}
