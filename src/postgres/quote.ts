/** Quotes an SQL identifier. Only names that the catalog read from the database come here, never a client's text. */
export function quoteIdentifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}
