/**
 * Where a write stands in its site's order: a Redis stream entry id "milliseconds-sequence" as one integer, so that
 * positions compare. The two halves are 64 bits each.
 */
export type Position = bigint;

/** Before every write. */
export const START: Position = 0n;

/** Reads "ms-seq". Throws a RangeError for anything else. */
export function parsePosition(text: string): Position {
  const match = /^(\d{1,20})-(\d{1,20})$/.exec(text);
  if (!match) throw new RangeError(`not a position: ${text}`);
  return (BigInt(match[1] ?? 0) << 64n) | BigInt(match[2] ?? 0);
}

/** Writes "ms-seq". */
export function formatPosition(position: Position): string {
  return `${position >> 64n}-${position & 0xffffffffffffffffn}`;
}
