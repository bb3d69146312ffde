import { randomUUID } from "node:crypto";
import type pg from "pg";
import type { RawEntry } from "../../src/buffer/buffered-writes.ts";
import { encodeWrite, withIdUnchecked } from "../../src/buffer/entry-codec.ts";
import type { Catalog } from "../../src/catalog/catalog.ts";
import { checkOnReplica } from "../../src/catalog/check-on-replica.ts";
import { completeWrite } from "../../src/catalog/complete-write.ts";
import { OpsDbError } from "../../src/errors.ts";
import type { Write } from "../../src/write.ts";
import type { PlannedCase } from "./planned-case.ts";
import type { PlannedWrite } from "./random-writes.ts";

/** An entry of the buffer, and the planned write that it comes from. */
export interface AcceptedWrite extends RawEntry {
  write: Write;
  planned: number;
}

/** Completes and checks the writes of a case as a secondary site does. Those that it refuses are left out. */
export async function acceptWrites(
  { writes }: PlannedCase,
  { pool, catalog, namespace }: { pool: pg.Pool; catalog: Catalog; namespace: string },
): Promise<AcceptedWrite[]> {
  const accepted: AcceptedWrite[] = [];
  const resent = new Map<number, Omit<AcceptedWrite, "position" | "planned">[]>();
  const append = (planned: number, entry: Omit<AcceptedWrite, "position" | "planned">): void => {
    accepted.push({ ...entry, planned, position: BigInt(accepted.length + 1) });
  };
  for (const [i, planned] of writes.entries()) {
    const write = await accept(planned, pool, catalog, namespace);
    if (write) {
      const payload = encodeWrite(write);
      append(i, { writeId: write.writeId, payload, write });
      if (planned.resentAfter !== undefined) {
        const at = Math.min(i + planned.resentAfter, writes.length - 1);
        const again = { writeId: write.writeId, payload: withIdUnchecked(payload), write };
        resent.set(at, [...(resent.get(at) ?? []), again]);
      }
    }
    for (const again of resent.get(i) ?? []) append(i, again);
  }
  return accepted;
}

async function accept(
  { mutations, unasked }: PlannedWrite,
  pool: pg.Pool,
  catalog: Catalog,
  namespace: string,
): Promise<Write | undefined> {
  const requested = {
    writeId: randomUUID(),
    fresh: false,
    payloadHash: Buffer.from("hash"),
    mutations: mutations.map((mutation) => ({ ...mutation, table: nameOf(catalog, namespace, mutation.table) })),
  };
  try {
    const { write, unchecked } = completeWrite(catalog, requested, {
      generateAtMain: false,
      now: new Date("2026-11-23T04:00:00.123Z"),
    });
    // A default that only a database can tell is not in the row that is shown; see ARCHITECTURE.md.
    const asked = !unasked || unchecked.some(({ kind }) => kind === "default");
    if (asked && unchecked.length > 0) await checkOnReplica(pool, catalog, write, unchecked);
    return write;
  } catch (error) {
    if (error instanceof OpsDbError) return undefined;
    throw error;
  }
}

/** What clients call the table. */
export function nameOf(catalog: Catalog, namespace: string, table: string): string {
  const found = catalog.tables.find((each) => each.schema === namespace && each.table === table);
  if (!found) throw new Error(`no table ${table}`);
  return found.name;
}
