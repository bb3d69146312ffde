import type pg from "pg";
import type { Catalog } from "../../src/catalog/catalog.ts";
import { connectPipelined, createPool, type PipelinedConnection } from "../../src/postgres/connection.ts";
import { quoteIdentifier as quote } from "../../src/postgres/quote.ts";
import { addressOf, readCatalog } from "../support/drain.ts";
import { createDatabase } from "../support/test-database.ts";
import { Chance } from "./chance.ts";
import { type PlannedSchema, randomSchema, schemaSql } from "./random-schema.ts";
import { sampledTypesSql } from "./sampled-type.ts";

/** The database that all cases share: one schema at a time, and its twin without what a merged read does not foresee. */
export interface World extends AsyncDisposable {
  readonly pool: pg.Pool;
  /** What the processor applies writes on. */
  readonly main: PipelinedConnection;
  /** Makes the schema of this seed and its twin, unless they are there, and leaves their tables empty. */
  empty(schemaSeed: number): Promise<Schema>;
  /** A name of a site that nobody had before. */
  nextSite(): string;
}

export interface Schema {
  catalog: Catalog;
  /** Namespaces. */
  real: string;
  twin: string;
}

export async function openWorld(): Promise<World> {
  await using stack = new AsyncDisposableStack();
  const database = stack.use(await createDatabase());
  await database.onPrimary(sampledTypesSql);
  const address = addressOf(database.primaryUrl);
  const main = stack.use(await connectPipelined(address, { applicationName: "test" }));
  const pool = createPool(address, { applicationName: "test" }, 3);
  stack.defer(() => pool.end());
  const run = async (text: string): Promise<void> => void (await pool.query(text));
  let made: { seed: number; plan: PlannedSchema; schema: Schema } | undefined;
  let sites = 0;
  const kept = stack.move();
  return {
    pool,
    main,
    nextSite: () => `${database.site}_${++sites}`,
    async empty(seed) {
      if (made?.seed !== seed) {
        if (made) await run(dropSql(made.schema));
        const plan = randomSchema(new Chance(seed));
        const [real, twin] = [`Case ${seed}`, `Twin ${seed}`];
        await run(`${schemaSql(real, plan, false)};\n${schemaSql(twin, plan, true)}`);
        made = { seed, plan, schema: { catalog: await readCatalog(database.primaryUrl), real, twin } };
      }
      const { plan, schema } = made;
      const tables = [schema.real, schema.twin].flatMap((namespace) =>
        plan.tables.toReversed().map(({ name }) => `delete from ${quote(namespace)}.${quote(name)}`),
      );
      await run(tables.join(";"));
      return schema;
    },
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}

function dropSql({ real, twin }: Schema): string {
  return `set client_min_messages = error; drop schema ${quote(real)} cascade; drop schema ${quote(twin)} cascade`;
}
