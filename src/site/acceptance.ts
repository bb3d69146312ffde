import type pg from "pg";
import type { BufferedWrites } from "../buffer/buffered-writes.ts";
import { type Catalog, keyColumns, type Table } from "../catalog/catalog.ts";
import { OpsDbError } from "../errors.ts";
import { quoteIdentifier as quote } from "../postgres/quote.ts";
import { named } from "../postgres/statement.ts";
import { queryRows } from "../postgres/use-client.ts";
import { type Mutation, type RequestedWrite, samePayload, type Write } from "../write.ts";

interface Question {
  table: Table;
  mutation: Mutation;
  index: number;
}

/**
 * Refuses at once what the merged view already shows to be wrong: an insert of a row that exists, an update of a row
 * that does not, a write id that was used with other content. Answers whether the id is in the ledger already.
 */
export async function checkAgainstMergedView(options: {
  pool: pg.Pool;
  catalog: Catalog;
  /** undefined: not all of them are known, so that nothing can be said of any row. */
  pending: BufferedWrites | undefined;
  requested: RequestedWrite;
  write: Write;
  signal: AbortSignal;
}): Promise<{ known: boolean }> {
  const { pool, catalog, pending, requested, write, signal } = options;
  // Memory before the replica: a write that leaves memory in between is on the replica by then.
  const questions = pending ? openQuestions(catalog, pending, requested, write) : [];
  if (questions.length === 0 && requested.fresh) return { known: false };

  const values: unknown[] = [write.writeId];
  const answers = questions.map(({ table, mutation }) => {
    const match = keyColumns(table).map(({ name, type }, i) => {
      values.push(mutation.key[i] ?? null);
      return `t.${quote(name)} = $${values.length}::text::${type.castWithModifier}`;
    });
    return `exists (select from ${table.ownSql} t where ${match.join(" and ")})`;
  });
  const ledger = "(select payload_hash from opsdb.ledger where write_id = $1::uuid)";
  const [row] = await queryRows(pool, signal, named(`select ${[ledger, ...answers].join(", ")}`, values));
  const [hash, ...exists] = row ?? [];
  if (hash != null) {
    checkPayload(requested, Buffer.from(hash.slice(2), "hex"));
    return { known: true };
  }
  questions.forEach((question, i) => {
    checkExistence(question.table, question.mutation, question.index, exists[i] === "t");
  });
  return { known: false };
}

/** Throws WRITE_ID_REUSED unless both are the same content. */
export function checkPayload(requested: RequestedWrite, payloadHash: Uint8Array): void {
  if (samePayload(requested.payloadHash, payloadHash)) return;
  throw new OpsDbError("WRITE_ID_REUSED", `write ${requested.writeId} was accepted before with other content`, {
    field: "write_id",
    metadata: { write_id: requested.writeId },
  });
}

/** Settles what memory and the write itself tell; answers the rows that the replica must be asked about. */
function openQuestions(catalog: Catalog, pending: BufferedWrites, requested: RequestedWrite, write: Write): Question[] {
  const questions: Question[] = [];
  const here = new Map<string, boolean>();
  const loose = new Set<string>();
  write.mutations.forEach((mutation, index) => {
    const table = catalog.byId(mutation.table);
    // Another text may name the same row, and memory cannot tell: then main decides.
    if (!table || loose.has(table.id) || (table.looseKey && pending.touches(table.id))) return;
    if (table.looseKey) loose.add(table.id);
    const row = `${mutation.table}\n${JSON.stringify(mutation.key)}`;
    if (mutation.operation === "insert" || mutation.operation === "update") {
      const exists = here.get(row) ?? pending.rowExists(mutation.table, mutation.key);
      if (typeof exists === "boolean") checkExistence(table, mutation, index, exists);
      else if (exists !== "unknown" && !keyIsNew(table, mutation, requested.mutations[index]?.values ?? {}))
        questions.push({ table, mutation, index });
    }
    here.set(row, mutation.operation !== "delete");
  });
  return questions;
}

/** A key with a UUID that the server has just made cannot exist. */
function keyIsNew(table: Table, mutation: Mutation, given: Record<string, unknown>): boolean {
  return (
    mutation.operation === "insert" &&
    keyColumns(table).some(({ name, type }) => type.base === "uuid" && !Object.hasOwn(given, name))
  );
}

function checkExistence(table: Table, mutation: Mutation, index: number, exists: boolean): void {
  const metadata = { table: table.name, key: JSON.stringify(mutation.key) };
  if (mutation.operation === "insert" && exists)
    throw new OpsDbError("ROW_EXISTS", `table ${table.name} has a row with this key already`, {
      field: `mutations[${index}].insert.values`,
      metadata,
    });
  if (mutation.operation === "update" && !exists)
    throw new OpsDbError("ROW_NOT_FOUND", `table ${table.name} has no row with this key`, {
      field: `mutations[${index}].update.key`,
      metadata,
    });
}
