import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { promisify } from "node:util";
import pg from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import { insert } from "../../demo/mutations.ts";
import type { MutationInit } from "../../demo/site-client.ts";
import { text } from "../../demo/values.ts";
import { WriteState } from "../../gen/ts/opsdb/v1/write_pb.ts";
import { SiteCaller } from "../e2e/site-caller.ts";
import { ApiServer } from "../support/api-server.ts";
import { demandPassword } from "../support/demand-password.ts";
import { eventually } from "../support/eventually.ts";
import { removeAtEnd } from "../support/janitor.ts";
import type { Address, PostgresPair } from "../support/postgres-pair.ts";
import type { RedisServer } from "../support/redis-server.ts";
import { startPair, startRedisServer } from "../support/services.ts";
import { sql } from "../support/sql.ts";

const run = promisify(execFile);
const projectRoot = join(import.meta.dirname, "..", "..");
const directory = mkdtempSync(join(tmpdir(), "opsdb-package-"));
removeAtEnd(directory);
const consumer = join(directory, "consumer");
const opsdb = join(consumer, "node_modules", ".bin", "opsdb");
const database = "observatory";
const passwords = {
  owner: "owner's %pass/word",
  opsdb_api: "api's %pass/word",
  opsdb_reader: "reader's %pass/word",
};

let pair: PostgresPair;
let redis: RedisServer;
let packed: string[];

beforeAll(async () => {
  const tarball = await pack();
  mkdirSync(consumer);
  writeFileSync(join(consumer, "package.json"), '{"private":true}\n');
  // What is optional brings Node and PostgreSQL for a checkout, some 250 MB.
  await npm(consumer, "install", "--omit=optional", "--no-audit", "--no-fund", tarball);
  [pair, redis] = await Promise.all([startPair(), startRedisServer()]);
  for (const role of Object.keys(passwords)) {
    await demandPassword(pair.primary.url, role);
    await demandPassword(pair.standby.url, role);
  }
  await sql(pair.primary.url, `create role owner login createrole password ${pg.escapeLiteral(passwords.owner)}`);
  await sql(pair.primary.url, "grant pg_monitor to owner with admin option");
  await sql(pair.primary.url, `create database ${database} owner owner`);
}, 300_000);

afterAll(async () => {
  await pair?.[Symbol.asyncDispose]();
  await redis?.[Symbol.asyncDispose]();
  rmSync(directory, { recursive: true, force: true });
});

test("the package has what runs, and nothing of tests and development", () => {
  expect(packed).toEqual(expect.arrayContaining(["package.json", "README.md", ".env.example", "dist/src/cli.js"]));
  expect(packed).toContain("sql/001_ledger_and_cursor.sql");
  expect(packed).toContain("ops/systemd/opsdb.service");
  const folders = new Set(packed.map((path) => path.split("/", 1)[0]));
  expect([...folders].sort()).toEqual([".env.example", "README.md", "dist", "docs", "ops", "package.json", "sql"]);
  expect(packed.filter((path) => /\.test\.|\.ts$|\.map$|^ops\/docker/.test(path))).toEqual([]);
});

test("it tells its version and its commands", async () => {
  const { version } = JSON.parse(readFileSync(join(projectRoot, "package.json"), "utf8")) as { version: string };
  expect(await said("--version")).toBe(`${version}\n`);
  expect(await said("--help")).toContain("Usage: opsdb <command>");
});

test("it migrates, and serves two sites with passwords and least rights to a merged read", async () => {
  const owner = databaseEnv("MAIN", pair.primary, "owner");
  expect(await said("migrate", owner)).toContain("applied 001_ledger_and_cursor");
  expect(await said("migrate", owner)).toBe("up to date\n");
  const url = new URL(pair.primary.urlOf(database));
  url.username = "owner";
  url.password = encodeURIComponent(passwords.owner);
  await sql(url.href, readFileSync(join(projectRoot, "test/support/observatory.sql"), "utf8"));
  await sql(url.href, await said("migrate", {}, "--print-roles"));
  for (const role of ["opsdb_api", "opsdb_reader"] as const)
    await sql(url.href, `alter role ${role} password ${pg.escapeLiteral(passwords[role])}`);
  await pair.standby.caughtUp();

  await using main = server("main", {
    SITE_TYPE: "main",
    SITE_NAME: "cologne",
    ...databaseEnv("MAIN", pair.primary, "opsdb_api"),
  });
  await using secondary = server("secondary", {
    SITE_TYPE: "secondary",
    SITE_NAME: "chile",
    ...databaseEnv("MAIN", pair.primary, "opsdb_api"),
    ...databaseEnv("LOCAL", pair.standby, "opsdb_reader"),
    REDIS_URL: redis.url,
  });
  for (const each of [main, secondary]) {
    await each.start();
    await each.ready();
  }
  using cologne = new SiteCaller(main);
  using chile = new SiteCaller(secondary);

  const written = await chile.write([sample("chile")], { waitFor: WriteState.REPLICATED });
  expect(written.status?.state).toBe(WriteState.REPLICATED);
  expect(await stations(cologne)).toEqual(["chile"]);

  await pair.standby.pauseReplay();
  await chile.write([sample("merged")]);
  expect(await stations(chile)).toEqual(["chile", "merged"]);
  expect(await sql(pair.standby.urlOf(database), "select from weather_samples")).toHaveLength(1);
  await pair.standby.resumeReplay();
  await eventually(
    () => sql(pair.standby.urlOf(database), "select from weather_samples"),
    (rows) => rows.length === 2,
    { timeoutMs: 20_000, what: "that the write is on the replica" },
  );
}, 120_000);

async function pack(): Promise<string> {
  const { stdout } = await npm(projectRoot, "pack", "--json", "--pack-destination", directory);
  // Before npm's own lines, the build may say something.
  const [tarball] = JSON.parse(stdout.slice(stdout.indexOf("[\n"))) as {
    filename: string;
    files: { path: string }[];
  }[];
  packed = (tarball?.files ?? []).map(({ path }) => path);
  return join(directory, tarball?.filename ?? "");
}

function npm(cwd: string, ...args: string[]): Promise<{ stdout: string; stderr: string }> {
  // Under `npm test` the environment names the folder of the project.
  const { npm_config_local_prefix: _, ...env } = process.env;
  return run("npm", args, { cwd, env, maxBuffer: 16 * 1024 * 1024 });
}

/** What the installed program says, run as a user would by its name. */
async function said(command: string, env: Record<string, string> = {}, ...options: string[]): Promise<string> {
  const path = [dirname(process.execPath), process.env.PATH].join(delimiter);
  const { stdout } = await run(opsdb, [command, ...options], { cwd: "/", env: { PATH: path, ...env } });
  return stdout;
}

function server(name: string, env: Record<string, string>): ApiServer {
  return new ApiServer({ env, log: join(directory, `${name}.log`), program: opsdb });
}

function databaseEnv(prefix: string, { host, port }: Address, role: keyof typeof passwords): Record<string, string> {
  return {
    [`${prefix}_DB_HOST`]: host,
    [`${prefix}_DB_PORT`]: String(port),
    [`${prefix}_DB_USER`]: role,
    [`${prefix}_DB_PASSWORD`]: passwords[role],
    [`${prefix}_DB_NAME`]: database,
  };
}

function sample(station: string): MutationInit {
  return insert("weather_samples", { station: text(station), sampled_at: text("2026-04-02 03:04:05Z") });
}

async function stations(site: SiteCaller): Promise<unknown[]> {
  const { rows } = await site.query("weather_samples", { columns: ["station"] });
  return rows.map(({ station }) => station?.kind.value).sort();
}
