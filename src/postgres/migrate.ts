import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import pg from "pg";

/** How long to wait for another process that migrates, or for a table's lock. */
const LOCK_TIMEOUT_MS = 60_000;
/** "opsdb" in ASCII: the advisory lock under which one process at a time migrates. */
const LOCK_KEY = 0x6f70736462;

/**
 * Applies the migrations of sql/ that the database does not have yet, each in its own transaction, and returns their
 * names. Running it again does nothing; two processes at once take turns. Throws where a migration that was applied
 * has changed since, or where the database has one that this version does not know: a newer version was here.
 */
export async function migrate(
  target: string | pg.ClientConfig,
  log: (line: string) => void = () => {},
  directory = migrationsDirectory(),
): Promise<string[]> {
  const client = new pg.Client(target);
  client.on("error", () => {}); // the statement under way rejects with the cause
  try {
    await client.connect();
    await client.query(`set lock_timeout = ${LOCK_TIMEOUT_MS}`);
    await client.query("select pg_advisory_lock($1::bigint)", [LOCK_KEY]);
    return await applyMissing(client, readMigrations(directory), log);
  } finally {
    await client.end(); // and with the session its lock
  }
}

/** The SQL that makes the roles with the least rights; for psql, as the owner of the tables. */
export function rolesSql(): string {
  return readFileSync(join(migrationsDirectory(), "roles.sql"), "utf8");
}

interface Migration {
  name: string;
  sql: string;
  checksum: string;
}

async function applyMissing(
  client: pg.Client,
  migrations: Migration[],
  log: (line: string) => void,
): Promise<string[]> {
  const applied = await readApplied(client);
  for (const name of applied.keys()) {
    if (!migrations.some((m) => m.name === name))
      throw new Error(`the database has migration ${name}, which this version does not know`);
  }
  const done: string[] = [];
  for (const migration of migrations) {
    const checksum = applied.get(migration.name);
    if (checksum === undefined) {
      await apply(client, migration);
      log(`applied ${migration.name}`);
      done.push(migration.name);
    } else if (checksum !== migration.checksum) {
      throw new Error(`migration ${migration.name} has changed since it was applied; add a new one instead`);
    }
  }
  return done;
}

async function apply(client: pg.Client, { name, sql, checksum }: Migration): Promise<void> {
  await client.query("begin");
  try {
    await client.query(sql);
    // After the statements: the first migration makes the schema that the table is in.
    await client.query(`create table if not exists opsdb.migrations (
      name text primary key, checksum text not null, applied_at timestamptz not null default clock_timestamp())`);
    await client.query("insert into opsdb.migrations (name, checksum) values ($1, $2)", [name, checksum]);
    await client.query("commit");
  } catch (error) {
    await client.query("rollback").catch(() => {}); // the cause is what is worth telling
    throw new Error(`migration ${name} failed: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    });
  }
}

async function readApplied(client: pg.Client): Promise<Map<string, string>> {
  const table = await client.query<{ found: boolean }>("select to_regclass('opsdb.migrations') is not null as found");
  if (!table.rows[0]?.found) return new Map();
  const { rows } = await client.query<{ name: string; checksum: string }>(
    "select name, checksum from opsdb.migrations",
  );
  return new Map(rows.map((row) => [row.name, row.checksum]));
}

function readMigrations(directory: string): Migration[] {
  return readdirSync(directory)
    .filter((name) => /^\d{3}_\w+\.sql$/.test(name))
    .sort()
    .map((name) => {
      const sql = readFileSync(join(directory, name), "utf8");
      return { name, sql, checksum: createHash("sha256").update(sql).digest("hex") };
    });
}

/** Beside src/ when the sources run, two levels above it in dist/src/. */
function migrationsDirectory(): string {
  const candidates = ["../../sql", "../../../sql"].map((path) => join(import.meta.dirname, path));
  const found = candidates.find((path) => existsSync(path));
  if (found === undefined) throw new Error(`no migrations found at ${candidates.join(" or ")}`);
  return found;
}
