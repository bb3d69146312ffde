import type { Change } from "./history.ts";

/** What a trigger on the table sees; the value of a DELETE is the one that went. */
export interface ModelEffect {
  operation: "INSERT" | "UPDATE" | "DELETE";
  key: number;
  value: string;
}

/** Keys from here on are written by clients of the main site alone; all others by those of the secondary site alone. */
export const FIRST_KEY_OF_MAIN = 1_000_000;

/** A write that is poison has keys below this and no other write has. */
export const FIRST_KEY = 0;

/** What the changes do to the rows, one after the other; or why the write as a whole is refused. The rows stay as they are. */
export function decide(
  rows: ReadonlyMap<number, string>,
  changes: readonly Change[],
): { effects: ModelEffect[] } | { refusal: string } {
  const after = new Map<number, string | undefined>();
  const effects: ModelEffect[] = [];
  for (const change of changes) {
    const { operation, key } = change;
    const before = after.has(key) ? after.get(key) : rows.get(key);
    if (operation === "insert" && before !== undefined) return { refusal: `row ${key} exists` };
    if (operation === "update" && before === undefined) return { refusal: `row ${key} does not exist` };
    if (operation === "delete") {
      if (before !== undefined) effects.push({ operation: "DELETE", key, value: before });
      after.set(key, undefined);
    } else {
      effects.push({ operation: before === undefined ? "INSERT" : "UPDATE", key, value: change.value });
      after.set(key, change.value);
    }
  }
  return { effects };
}
