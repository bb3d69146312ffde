import type { TestProject } from "vitest/node";
import { caughtUp } from "./postgres-pair.ts";
import { startPair, startRedisServer } from "./services.ts";
import { sql } from "./sql.ts";
import { prepareDatabase } from "./two-site.ts";

declare module "vitest" {
  export interface ProvidedContext {
    primaryUrl: string;
    standbyUrl: string;
    redisUrl: string;
    templateDatabase: string;
  }
}

/**
 * One pair and one Redis for all test files, and a template with migrations and schema. TEST_PRIMARY_URL with
 * TEST_STANDBY_URL, and TEST_REDIS_URL, name services that are there already.
 */
export async function setup(project: TestProject): Promise<() => Promise<void>> {
  await using stack = new AsyncDisposableStack();
  const databases = await findDatabases(stack);
  const redisUrl = process.env.TEST_REDIS_URL ?? stack.use(await startRedisServer()).url;
  const templateDatabase = `opsdb_template_${process.pid}`;
  await sql(databases.primaryUrl, `create database ${templateDatabase}`);
  stack.defer(async () => {
    await sql(databases.primaryUrl, `drop database ${templateDatabase} with (force)`);
  });
  await prepareDatabase(inDatabase(databases.primaryUrl, templateDatabase));
  await caughtUp(databases.primaryUrl, databases.standbyUrl);
  project.provide("primaryUrl", databases.primaryUrl);
  project.provide("standbyUrl", databases.standbyUrl);
  project.provide("redisUrl", redisUrl);
  project.provide("templateDatabase", templateDatabase);
  const kept = stack.move();
  return () => kept.disposeAsync();
}

async function findDatabases(stack: AsyncDisposableStack): Promise<{ primaryUrl: string; standbyUrl: string }> {
  const { TEST_PRIMARY_URL: primaryUrl, TEST_STANDBY_URL: standbyUrl } = process.env;
  if (primaryUrl && standbyUrl) return { primaryUrl, standbyUrl };
  if (primaryUrl || standbyUrl) throw new Error("TEST_PRIMARY_URL and TEST_STANDBY_URL go together");
  const { primary, standby } = stack.use(await startPair());
  return { primaryUrl: primary.url, standbyUrl: standby.url };
}

function inDatabase(url: string, database: string): string {
  const changed = new URL(url);
  changed.pathname = `/${database}`;
  return changed.href;
}
