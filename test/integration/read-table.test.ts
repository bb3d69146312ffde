import type pg from "pg";
import { expect, test } from "vitest";
import { BufferedWrites } from "../../src/buffer/buffered-writes.ts";
import { encodeWrite } from "../../src/buffer/entry-codec.ts";
import { createPool } from "../../src/postgres/connection.ts";
import { TableReader } from "../../src/query/read-table.ts";
import { addressOf, readCatalog, writeOf } from "../support/drain.ts";
import { createDatabase } from "../support/test-database.ts";
import { wholeTable } from "../support/whole-table.ts";

test("G5: a write that is proven right after the snapshot was taken is still merged into it", async () => {
  await using database = await createDatabase();
  await database.onPrimary("create table log (n int primary key)");
  const catalog = await readCatalog(database.primaryUrl);
  const pool = createPool(addressOf(database.primaryUrl), { applicationName: "test" }, 1);
  await using _pool = { [Symbol.asyncDispose]: () => pool.end() };
  const pending = new BufferedWrites();
  const write = writeOf({ table: "public.log", operation: "insert", key: ["1"], columns: ["n"], values: ["1"] });
  pending.add(1n, write.writeId, encodeWrite(write));

  // The snapshot does not have the write; by the time that its facts arrive, the tracker has seen a later one that has.
  let proven = false;
  pool.on("connect", (client) => {
    const query = client.query.bind(client) as (...args: unknown[]) => Promise<pg.QueryResult>;
    client.query = ((statement: { text?: string }, ...more: unknown[]) => {
      const answer = query(statement, ...more);
      if (!statement.text?.includes("pg_current_snapshot")) return answer;
      return answer.then((result) => {
        pending.prove(1n);
        proven = true;
        return result;
      });
    }) as never;
  });

  const parts = await Array.fromAsync(
    new TableReader({ site: database.site, pending }).read(catalog, wholeTable({ table: "log" }), {
      pool,
      unavailable: "LOCAL_UNAVAILABLE",
      timeoutMs: 10_000,
      signal: new AbortController().signal,
      header: () => ({ kind: "trailer", rowCount: -1 }),
    }),
  );
  expect(proven).toBe(true);
  expect(parts.flatMap((part) => (part.kind === "batch" ? part.rows : []))).toEqual([["1"]]);
});
