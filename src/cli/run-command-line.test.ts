import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { variables } from "../config-variables.ts";
import { runCommandLine } from "./run-command-line.ts";

let out: string[];
let err: string[];

beforeEach(() => {
  out = [];
  err = [];
  vi.spyOn(console, "log").mockImplementation((line: string) => void out.push(line));
  vi.spyOn(console, "error").mockImplementation((line: string) => void err.push(line));
});

afterEach(() => {
  vi.restoreAllMocks();
});

test("help names every variable and shows examples", async () => {
  expect(await runCommandLine(["--help"], {})).toBe(0);
  expect(out.join()).toMatch(/Examples:/);
  for (const { name } of variables) expect(out.join()).toContain(name);
  expect(await runCommandLine(["serve", "-h"], {})).toBe(0);
});

test("the version is the package's", async () => {
  expect(await runCommandLine(["--version"], {})).toBe(0);
  expect(out).toEqual([expect.stringMatching(/^\d+\.\d+\.\d+$/)]);
});

test.each([[[]], [["bogus"]], [["serve", "now"]], [["--bogus"]]])("wrong usage: %j", async (args) => {
  expect(await runCommandLine(args, {})).toBe(2);
  expect(err.join()).toMatch(/Try: opsdb (serve )?--help/);
});

test.each(["serve", "migrate"])("%s without a configuration lists what is missing", async (command) => {
  expect(await runCommandLine([command], {})).toBe(78);
  expect(err.join()).toContain("MAIN_DB_HOST: is not set");
});

test("a failure is one sentence", async () => {
  const env = { MAIN_DB_HOST: "127.0.0.1", MAIN_DB_PORT: "1", MAIN_DB_USER: "u", MAIN_DB_NAME: "n" };
  expect(await runCommandLine(["migrate"], env)).toBe(1);
  expect(err).toEqual([expect.stringMatching(/^opsdb migrate: .*ECONNREFUSED/)]);
});
