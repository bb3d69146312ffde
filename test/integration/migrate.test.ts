import { cpSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, inject, test, vi } from "vitest";
import { runCommandLine } from "../../src/cli/run-command-line.ts";
import { migrate } from "../../src/postgres/migrate.ts";
import { sql } from "../support/sql.ts";

const source = join(import.meta.dirname, "../../sql");
const names = readdirSync(source)
  .filter((name) => /^\d{3}_/.test(name))
  .sort();
let directory: string;
let url: string;

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "opsdb-sql-"));
  cpSync(source, directory, { recursive: true });
  const target = new URL(inject("primaryUrl"));
  target.pathname = `/migrate_${process.pid}`;
  await sql(inject("primaryUrl"), `create database ${target.pathname.slice(1)}`);
  url = target.href;
});

afterEach(async () => {
  rmSync(directory, { recursive: true });
  await sql(inject("primaryUrl"), `drop database ${new URL(url).pathname.slice(1)}`);
});

test("an empty database gets every migration once, and a second run does nothing", async () => {
  const lines: string[] = [];
  expect(await migrate(url, (line) => lines.push(line))).toEqual(names);
  expect(lines).toEqual(names.map((name) => `applied ${name}`));
  expect(await migrate(url)).toEqual([]);
  expect(await sql(url, "select name from opsdb.migrations order by name")).toEqual(names.map((name) => ({ name })));
});

test("several processes at once apply each migration once", async () => {
  const applied = await Promise.all([1, 2, 3, 4].map(() => migrate(url)));
  expect(applied.flat().sort()).toEqual(names);
});

test("a migration that has changed since is an error", async () => {
  await migrate(url, undefined, directory);
  writeFileSync(join(directory, names[0] ?? ""), "select 1");
  await expect(migrate(url, undefined, directory)).rejects.toThrow(
    `migration ${names[0]} has changed since it was applied`,
  );
});

test("a database that a newer version has migrated is left alone", async () => {
  writeFileSync(join(directory, "999_later.sql"), "select 1");
  await migrate(url, undefined, directory);
  await expect(migrate(url)).rejects.toThrow("999_later.sql, which this version does not know");
});

test("a migration that fails leaves nothing behind, and the ones before it stay", async () => {
  writeFileSync(join(directory, "998_bad.sql"), "create table public.half (a int); select 1 / 0");
  await expect(migrate(url, undefined, directory)).rejects.toThrow("migration 998_bad.sql failed: division by zero");
  expect(await sql(url, "select to_regclass('public.half') as half")).toEqual([{ half: null }]);
  expect(await migrate(url)).toEqual([]);
});

test("the command migrates the main database that the environment names", async () => {
  const { hostname, port, username, password, pathname } = new URL(url);
  const env = {
    MAIN_DB_HOST: hostname,
    MAIN_DB_PORT: port,
    MAIN_DB_USER: username,
    MAIN_DB_PASSWORD: password,
    MAIN_DB_NAME: pathname.slice(1),
  };
  const log = vi.spyOn(console, "log").mockImplementation(() => {});
  expect(await runCommandLine(["migrate"], env)).toBe(0);
  expect(log.mock.calls.flat()).toEqual(names.map((name) => `applied ${name}`));
  log.mockRestore();
  expect(await migrate(url)).toEqual([]);
});

test("the command prints the SQL of the database roles, and changes nothing", async () => {
  const out = vi.spyOn(process.stdout, "write").mockReturnValue(true);
  try {
    expect(await runCommandLine(["migrate", "--print-roles"], {})).toBe(0);
    expect(out.mock.calls.join()).toContain("create role");
  } finally {
    out.mockRestore();
  }
});
