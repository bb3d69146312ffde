import { expect, test } from "vitest";
import { CatalogKeeper } from "../../src/catalog/catalog-keeper.ts";
import { deserializeCatalog } from "../../src/catalog/create-catalog.ts";
import { createLogger } from "../../src/lib/logger.ts";
import { createPool } from "../../src/postgres/connection.ts";
import { addressOf } from "../support/drain.ts";
import { eventually } from "../support/eventually.ts";
import { createDatabase } from "../support/test-database.ts";

test("G7: a copy of the catalog that cannot be kept when it is read is kept long before the next reading", async () => {
  await using database = await createDatabase();
  const pool = createPool(addressOf(database.primaryUrl), { applicationName: "test" }, 1);
  await using _pool = { [Symbol.asyncDispose]: () => pool.end() };
  const saved: string[] = [];
  let failures = 0;
  const keeper = new CatalogKeeper({
    pool,
    refreshMs: 3_600_000,
    timeoutMs: 5_000,
    logger: createLogger({ level: "silent" }),
    copy: {
      load: () => Promise.resolve(undefined),
      save(text) {
        if (failures++ < 2) return Promise.reject(new Error("Redis is not connected yet"));
        saved.push(text);
        return Promise.resolve();
      },
    },
  });
  const stop = new AbortController();
  const running = keeper.run(stop.signal);
  await eventually(
    () => saved.length,
    (copies) => copies > 0,
    { what: "that a copy is kept" },
  );
  stop.abort(new Error("the test is over"));
  await running;
  expect(deserializeCatalog(saved[0] ?? "").fingerprint).toBe(keeper.get().fingerprint);
  expect(saved).toHaveLength(1);
});
