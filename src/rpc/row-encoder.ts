import type { QueryResponse, Row } from "../../gen/ts/opsdb/v1/query_pb.ts";
import type { Value } from "../../gen/ts/opsdb/v1/value_pb.ts";
import { type ResultRow, textsOf } from "../postgres/row-bytes.ts";
import type { TextValue } from "../value.ts";
import { parseArray } from "./postgres-array.ts";
import { type EncodedColumn, valueEncoder } from "./value-codec.ts";

/** Turns a batch of rows into one message. */
export type RowEncoder = (rows: readonly ResultRow[], resumePoint?: Uint8Array) => QueryResponse;

/** The shape of the rows: their columns, and those of the related rows, whose text follows the columns. */
export interface RowShape {
  columns: readonly EncodedColumn[];
  related: readonly { columns: readonly EncodedColumn[] }[];
}

/** Related rows as their columns' texts, from the text of a text[][]. */
export function relatedTexts(text: TextValue): TextValue[][] {
  const rows = parseArray<Nested>(text ?? "{}", { delimiter: ",", element: (item) => item, nest: (items) => items });
  return Array.isArray(rows) ? rows.map((row) => (Array.isArray(row) ? (row as TextValue[]) : [])) : [];
}

type Nested = TextValue | Nested[];

const none = new Uint8Array();

/** For any serialization: one message object for each value. */
export function messageRowEncoder({ columns, related }: RowShape): RowEncoder {
  const encodeValues = valuesEncoder(columns);
  const encodeRelated = related.map((other) => valuesEncoder(other.columns));
  const encodeRow = (row: readonly TextValue[]): Row => ({
    $typeName: "opsdb.v1.Row",
    values: encodeValues(row),
    related: encodeRelated.map((encode, i) => ({
      $typeName: "opsdb.v1.RelatedRows",
      rows: relatedTexts(row[columns.length + i] ?? null).map((texts) => ({
        $typeName: "opsdb.v1.Row",
        values: encode(texts),
        related: [],
      })),
    })),
  });
  return (rows, resumePoint) => ({
    $typeName: "opsdb.v1.QueryResponse",
    part: {
      case: "batch",
      value: {
        $typeName: "opsdb.v1.RowBatch",
        rows: rows.map((row) => encodeRow(textsOf(row))),
        resumePoint: resumePoint ?? none,
      },
    },
  });
}

function valuesEncoder(columns: readonly EncodedColumn[]): (row: readonly TextValue[]) => Value[] {
  const encoders = columns.map((column) => valueEncoder(column));
  return (row) => encoders.map((encode, i) => encode(row[i] ?? null));
}
