import { createHash } from "node:crypto";
import type { Statement } from "./connection.ts";

/** `unnest($1::text[], ...) v(c0, ...)`: one text array for each column. */
export function unnest(alias: string, columns: number, firstParameter: number): string {
  const numbers = Array.from({ length: columns }, (_, i) => i);
  const parameters = numbers.map((i) => `$${firstParameter + i + 1}::text[]`).join(", ");
  return `unnest(${parameters}) ${alias}(${numbers.map((i) => `c${i}`).join(", ")})`;
}

const names = new Map<string, string>();
/** What is prepared stays: here, with each connection, and in PostgreSQL. The shapes that callers can think of have no end. */
const MAX_NAMES = 2_000;
const MAX_TEXT = 10_000;

/**
 * A statement that is prepared once for each connection, under a name made from its text. One that is very long, or comes
 * after many others, has no name and is not prepared.
 */
export function named(text: string, values: unknown[]): Required<Statement> {
  if (text.length > MAX_TEXT) return { name: "", text, values };
  let name = names.get(text);
  if (name === undefined) {
    if (names.size >= MAX_NAMES) return { name: "", text, values };
    name = `opsdb_${createHash("sha256").update(text).digest("hex").slice(0, 24)}`;
    names.set(text, name);
  }
  return { name, text, values };
}
