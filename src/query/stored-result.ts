import { textsOf } from "../postgres/row-bytes.ts";
import type { TextValue } from "../value.ts";
import type { QueryHeader, QueryPart } from "./table-query.ts";

type Batch = Extract<QueryPart, { kind: "batch" }>;

/** A whole result, as it was read. */
export interface StoredResult {
  header: QueryHeader;
  batches: Batch[];
}

/**
 * A result's parts for a reader, in batches of at most so many rows. Undefined where the batches would have to be cut
 * at rows that have no resume point: nobody knows it but for the last row of each batch.
 */
export function partsOf({ header, batches }: StoredResult, ageMs: number, batchSize: number): QueryPart[] | undefined {
  const rebatched = batches.some(({ resumePoint }) => resumePoint)
    ? joined(batches, batchSize)
    : cut(batches, batchSize);
  if (!rebatched) return undefined;
  const rowCount = rebatched.reduce((sum, { rows }) => sum + rows.length, 0);
  return [{ kind: "header", header: { ...header, ageMs } }, ...rebatched, { kind: "trailer", rowCount }];
}

function joined(batches: readonly Batch[], batchSize: number): Batch[] | undefined {
  const result: Batch[] = [];
  for (const batch of batches) {
    if (batch.rows.length > batchSize) return undefined;
    const last = result.at(-1);
    if (last && last.rows.length + batch.rows.length <= batchSize)
      result[result.length - 1] = { ...batch, rows: [...last.rows, ...batch.rows] };
    else result.push(batch);
  }
  return result;
}

function cut(batches: readonly Batch[], batchSize: number): Batch[] {
  const rows = batches.flatMap((batch) => batch.rows);
  const parts: Batch[] = [];
  for (let from = 0; from < rows.length; from += batchSize)
    parts.push({ kind: "batch", rows: rows.slice(from, from + batchSize) });
  return parts;
}

/** As text, to be kept by somebody else. */
export function encodeResult({ header, batches }: StoredResult): string {
  const shown = header.columns.length + header.related.length;
  return JSON.stringify({
    header: { ...header, lsn: String(header.lsn), token: toText(header.token) },
    batches: batches.map(({ rows, resumePoint }) => ({
      rows: rows.map((row) => textsOf(row).slice(0, shown)),
      ...(resumePoint && { resumePoint: toText(resumePoint) }),
    })),
  } satisfies Encoded);
}

/** Reads such a text. Throws where it is none. */
export function decodeResult(text: string): StoredResult {
  const { header, batches } = JSON.parse(text) as Encoded;
  return {
    header: {
      ...header,
      lsn: BigInt(header.lsn),
      token: toBytes(header.token),
      replicaAgeMs: header.replicaAgeMs, // JSON has left it out where it is undefined
    },
    batches: batches.map(({ rows, resumePoint }) => ({
      kind: "batch",
      rows,
      ...(resumePoint !== undefined && { resumePoint: toBytes(resumePoint) }),
    })),
  };
}

interface Encoded {
  header: Omit<QueryHeader, "lsn" | "token"> & { lsn: string; token: string };
  batches: { rows: TextValue[][]; resumePoint?: string }[];
}

function toText(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("base64");
}

function toBytes(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, "base64"));
}
