import type { QueryResponse, Row } from "../../gen/ts/opsdb/v1/query_pb.ts";
import type { Value } from "../../gen/ts/opsdb/v1/value_pb.ts";
import type { TextValue } from "../value.ts";
import { type EncodedColumn, valueEncoder } from "./value-codec.ts";

/** Turns a batch of rows into one message. */
export type RowEncoder = (rows: readonly (readonly TextValue[])[]) => QueryResponse;

const none = new Uint8Array();

/** For any serialization: one message object for each value. */
export function messageRowEncoder(columns: readonly EncodedColumn[]): RowEncoder {
  const encoders = columns.map((column) => valueEncoder(column));
  const encodeRow = (row: readonly TextValue[]): Row => {
    const values: Value[] = encoders.map((encode, i) => encode(row[i] ?? null));
    return { $typeName: "opsdb.v1.Row", values, related: [] };
  };
  return (rows) => ({
    $typeName: "opsdb.v1.QueryResponse",
    part: { case: "batch", value: { $typeName: "opsdb.v1.RowBatch", rows: rows.map(encodeRow), resumePoint: none } },
  });
}
