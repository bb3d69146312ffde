import { type Environment, readMainDatabase } from "../config.ts";
import { migrate } from "../postgres/migrate.ts";

/** Migrates the main database that the environment names, and says what it did. */
export async function migrateMain(env: Environment): Promise<void> {
  const { pool: _, password, ...address } = readMainDatabase(env);
  const target = { ...address, ...(password === undefined ? {} : { password }), connectionTimeoutMillis: 10_000 };
  const applied = await migrate(target, (line) => console.log(line));
  if (applied.length === 0) console.log("up to date");
}
