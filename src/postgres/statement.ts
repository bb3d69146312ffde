import { createHash } from "node:crypto";
import type { Statement } from "./connection.ts";

/** `unnest($1::text[], ...) v(c0, ...)`: one text array for each column. */
export function unnest(alias: string, columns: number, firstParameter: number): string {
  const numbers = Array.from({ length: columns }, (_, i) => i);
  const parameters = numbers.map((i) => `$${firstParameter + i + 1}::text[]`).join(", ");
  return `unnest(${parameters}) ${alias}(${numbers.map((i) => `c${i}`).join(", ")})`;
}

const names = new Map<string, string>();

/** A statement that is prepared once for each connection, under a name made from its text. */
export function named(text: string, values: unknown[]): Required<Statement> {
  let name = names.get(text);
  if (name === undefined) {
    name = `opsdb_${createHash("sha256").update(text).digest("hex").slice(0, 24)}`;
    if (names.size < 10_000) names.set(text, name);
  }
  return { name, text, values };
}
