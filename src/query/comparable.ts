import type { Column, ColumnType } from "../catalog/catalog.ts";
import { parseTimestamp } from "../postgres/parse-timestamp.ts";

/**
 * A value such that two of one column compare in JavaScript as they do in PostgreSQL: a number by size, a string for
 * types of which only equality is told, or by code units where those are the order. Undefined where that cannot be told,
 * so that PostgreSQL has to be asked.
 */
export type Comparable = number | string | undefined;

/** How to make comparables of a column's texts. Undefined where the type has none. */
export interface ComparableReader {
  read(text: string): Comparable;
  /** Whether < holds as in PostgreSQL; otherwise only equality does. */
  ordered: boolean;
  /** Whether equal values have equal texts. */
  exact?: boolean;
}

/** The reader for a column. A generated one is computed by PostgreSQL when it is read. */
export function comparableReader({
  type,
  nondeterministic,
  generatedExpression,
}: Column): ComparableReader | undefined {
  if (type.array || type.domain || generatedExpression !== undefined) return undefined;
  if (type.enumValues.length > 0) return enumReader(type);
  switch (type.base) {
    case "int2":
    case "int4":
    case "int8":
    case "oid":
      return { read: integer, ordered: true, exact: true };
    case "float8":
      return { read: (text) => finite(Number(text)), ordered: true };
    case "float4":
      return { read: (text) => finite(Math.fround(Number(text))), ordered: true };
    case "bool":
      return { read: (text) => (text === "t" || text === "true" ? 1 : 0), ordered: true };
    case "timestamptz":
    case "timestamp":
      return { read: timestamp, ordered: true };
    case "date":
      return { read: date, ordered: true };
    case "uuid":
      return { read: (text) => (text.length === 36 ? text.toLowerCase() : undefined), ordered: true, exact: true };
    case "text":
    case "varchar":
      return nondeterministic ? undefined : { read: (text) => text, ordered: false, exact: true };
    default:
      return undefined;
  }
}

function enumReader({ enumValues }: ColumnType): ComparableReader {
  const places = new Map(enumValues.map((label, i) => [label, i]));
  return { read: (text) => places.get(text), ordered: true };
}

function integer(text: string): Comparable {
  const number = Number(text);
  return Number.isSafeInteger(number) ? number : undefined;
}

/** NaN is not what JavaScript says it is: PostgreSQL has it equal to itself and above everything. */
function finite(number: number): Comparable {
  return Number.isNaN(number) ? undefined : number;
}

/** Microseconds since 1970. */
function timestamp(text: string): Comparable {
  const instant = parseTimestamp(text);
  if (!instant) return undefined;
  const micros = instant.seconds * 1_000_000 + instant.nanos / 1_000;
  return Number.isSafeInteger(micros) ? micros : undefined;
}

/** "2026-11-25" and no other form: not "0044-03-15 BC". */
const DATE_LENGTH = 10;

function date(text: string): Comparable {
  return text.length === DATE_LENGTH ? timestamp(`${text} 00:00:00`) : undefined;
}
