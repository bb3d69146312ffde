import { randomBytes } from "node:crypto";
import { Redis } from "ioredis";
import { inject } from "vitest";
import { eventually } from "./eventually.ts";
import * as replay from "./postgres-pair.ts";
import { sql } from "./sql.ts";

/** A test's own database on the shared pair, and its own name of a site in the shared Redis. */
export interface TestDatabase extends AsyncDisposable {
  readonly name: string;
  readonly site: string;
  readonly primaryUrl: string;
  readonly standbyUrl: string;
  readonly redisUrl: string;
  /** One statement on the primary. */
  onPrimary<Row extends Record<string, unknown>>(text: string, values?: readonly unknown[]): Promise<Row[]>;
  /** One statement on the standby. */
  onStandby<Row extends Record<string, unknown>>(text: string, values?: readonly unknown[]): Promise<Row[]>;
  pauseReplay(): Promise<void>;
  resumeReplay(): Promise<void>;
  /** Resolves when the standby shows all that the primary has committed by now. */
  caughtUp(): Promise<void>;
}

/**
 * A fresh database with the service's tables and the observatory schema, on both servers. In the end replay goes on
 * again, and whoever left a connection to the database open fails the test.
 */
export async function createDatabase(): Promise<TestDatabase> {
  const [primary, standby, redisUrl] = [inject("primaryUrl"), inject("standbyUrl"), inject("redisUrl")];
  const name = `t${randomBytes(6).toString("hex")}`;
  await sql(primary, `create database ${name} template ${inject("templateDatabase")}`);
  await replay.caughtUp(primary, standby);
  const primaryUrl = inDatabase(primary, name);
  const standbyUrl = inDatabase(standby, name);
  return {
    name,
    site: name,
    primaryUrl,
    standbyUrl,
    redisUrl,
    onPrimary: (text, values) => sql(primaryUrl, text, values),
    onStandby: (text, values) => sql(standbyUrl, text, values),
    pauseReplay: () => replay.pauseReplay(standby),
    resumeReplay: () => replay.resumeReplay(standby),
    caughtUp: () => replay.caughtUp(primary, standby),
    async [Symbol.asyncDispose]() {
      await replay.resumeReplay(standby);
      await removeKeys(redisUrl, name);
      try {
        await Promise.all([nobodyLeft(primary, name), nobodyLeft(standby, name)]);
      } finally {
        await sql(primary, `drop database ${name} with (force)`);
      }
    },
  };
}

async function nobodyLeft(url: string, database: string): Promise<void> {
  await eventually(
    () => sql(url, "select application_name, state, query from pg_stat_activity where datname = $1", [database]),
    (rows) => rows.length === 0,
    { timeoutMs: 2_000, what: "that no connection is left open" },
  );
}

async function removeKeys(url: string, site: string): Promise<void> {
  const redis = new Redis(url);
  try {
    const keys = await redis.keys(`*${site}*`);
    if (keys.length > 0) await redis.del(...keys);
  } finally {
    redis.disconnect();
  }
}

function inDatabase(url: string, database: string): string {
  const changed = new URL(url);
  changed.pathname = `/${database}`;
  return changed.href;
}
