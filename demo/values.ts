import { create, toJsonString } from "@bufbuild/protobuf";
import { NullValue, timestampFromDate } from "@bufbuild/protobuf/wkt";
import { type Value, ValueSchema } from "../gen/ts/opsdb/v1/value_pb.ts";

export const text = (value: string): Value => of({ case: "stringValue", value });
export const uuid = (value: string): Value => of({ case: "uuidValue", value });
export const integer = (value: number | bigint): Value => of({ case: "int64Value", value: BigInt(value) });
export const double = (value: number): Value => of({ case: "doubleValue", value });
export const numeric = (value: string): Value => of({ case: "numericValue", value });
export const time = (value: Date): Value => of({ case: "timestampValue", value: timestampFromDate(value) });
export const bytes = (value: Uint8Array): Value => of({ case: "bytesValue", value: new Uint8Array(value) });
export const json = (value: unknown): Value => of({ case: "jsonValue", value: JSON.stringify(value) });
export const list = (values: Value[]): Value =>
  of({ case: "arrayValue", value: { $typeName: "opsdb.v1.ArrayValue", values } });
export const nothing = (): Value => of({ case: "nullValue", value: NullValue.NULL_VALUE });

/** One text for each value, so that values can be compared and shown. */
export function show(value: Value | undefined): string {
  return value ? toJsonString(ValueSchema, value) : "nothing";
}

function of(kind: Value["kind"]): Value {
  return create(ValueSchema, { kind });
}
