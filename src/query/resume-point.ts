import { OpsDbError } from "../errors.ts";
import { quoteIdentifier as quote } from "../postgres/quote.ts";
import type { TextValue } from "../value.ts";
import { comparableReader } from "./comparable.ts";
import type { OrderColumn } from "./condition-sql.ts";
import type { Verdict } from "./in-memory-match.ts";
import { cell, type OverlaidRow } from "./overlaid-table.ts";

/** Where an ordered result was interrupted. */
export interface ResumePoint {
  /** The last row's values of the order's columns. */
  values: readonly TextValue[];
  /** Rows so far. */
  rowCount: number;
}

/** As opaque bytes, bound to the query's identity. */
export function encodeResumePoint(identity: string, { values, rowCount }: ResumePoint): Uint8Array {
  return Buffer.from(JSON.stringify([1, identity, rowCount, values]));
}

/** Throws INVALID_FIELD for anything but a resume point of the same query. */
export function decodeResumePoint(identity: string, bytes: Uint8Array, order: readonly OrderColumn[]): ResumePoint {
  const parts = parse(bytes);
  if (!parts) throw invalid("resume_after is not a resume point");
  const [, of, rowCount, values] = parts;
  if (of !== identity || values.length !== order.length)
    throw invalid("resume_after is from another query: only batch_size may differ");
  return { values, rowCount };
}

function parse(bytes: Uint8Array): [1, string, number, TextValue[]] | undefined {
  let parts: unknown;
  try {
    parts = JSON.parse(Buffer.from(bytes).toString("utf8"));
  } catch {
    return undefined;
  }
  if (!Array.isArray(parts)) return undefined;
  const [version, identity, rowCount, values] = parts as unknown[];
  if (version !== 1 || typeof identity !== "string" || !Array.isArray(values)) return undefined;
  if (typeof rowCount !== "number" || !Number.isSafeInteger(rowCount) || rowCount < 0) return undefined;
  if (!values.every((value) => value === null || (typeof value === "string" && !value.includes("\0"))))
    return undefined;
  return [1, identity, rowCount, values as TextValue[]];
}

function invalid(message: string): OpsDbError {
  return new OpsDbError("INVALID_FIELD", message, { field: "resume_after" });
}

/** The condition on `t` that a row comes after the point in the order. */
export function afterSql(order: readonly OrderColumn[], point: ResumePoint, values: unknown[]): string {
  const terms = order.map(({ column, descending, nullsFirst }, i) => {
    const value = point.values[i] ?? null;
    const name = `t.${quote(column.name)}`;
    if (value !== null) values.push(value);
    const parameter = `$${values.length}::text::${column.type.cast}`;
    return { name, parameter, isNull: value === null, nullable: column.nullable, descending, nullsFirst };
  });
  const [first] = terms;
  const plain = terms.every(
    ({ isNull, nullable, descending }) => !isNull && !nullable && descending === first?.descending,
  );
  if (plain)
    return `(${terms.map(({ name }) => name).join(", ")}) ${first?.descending ? "<" : ">"} (${terms.map(({ parameter }) => parameter).join(", ")})`;
  // "IS NULL" of a composite value is also true where all of its fields are NULL; in an order that is a value like others.
  const absent = (name: string): string => `${name} is not distinct from null`;
  const equal = terms.map(({ name, parameter, isNull }) => (isNull ? absent(name) : `${name} = ${parameter}`));
  const after = terms.map(({ name, parameter, isNull, nullable, descending, nullsFirst }) => {
    if (isNull) return nullsFirst ? `${name} is distinct from null` : "false";
    const beyond = `${name} ${descending ? "<" : ">"} ${parameter}`;
    return nullable && !nullsFirst ? `(${beyond} or ${absent(name)})` : beyond;
  });
  const any = terms.map((_, i) => `(${[...equal.slice(0, i), after[i]].join(" and ")})`).join(" or ");
  // Says nothing new, but lets an index on the first column begin at the point.
  const bound =
    first && !first.isNull && (!first.nullable || first.nullsFirst)
      ? `${first.name} ${first.descending ? "<=" : ">="} ${first.parameter} and `
      : "";
  return `${bound}(${any})`;
}

/** The same of a row in memory, where that can be told. */
export function afterInMemory(order: readonly OrderColumn[], point: ResumePoint): (row: OverlaidRow) => Verdict {
  const terms = order.map(({ column, descending, nullsFirst }, i) => {
    const reader = comparableReader(column);
    const text = point.values[i] ?? null;
    return { reader, text, value: text === null ? null : reader?.read(text), descending, nullsFirst };
  });
  const indexes = order.map(({ index }) => index);
  return (row) => {
    for (const [i, { reader, value, descending, nullsFirst }] of terms.entries()) {
      if (!reader?.ordered || value === undefined) return undefined;
      const own = cell(row, indexes[i] ?? 0, reader);
      if (own === undefined) return undefined;
      if (own === value) continue;
      if (own === null) return !nullsFirst;
      if (value === null) return nullsFirst;
      return own > value !== descending;
    }
    return false;
  };
}
