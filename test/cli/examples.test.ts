import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, expect, test } from "vitest";
import { optionsOf } from "../../src/cli/command.ts";
import { commands } from "../../src/cli/commands.ts";
import { helpText } from "../../src/cli/help-text.ts";
import { parseInvocation } from "../../src/cli/parse-invocation.ts";
import { removeAtEnd } from "../support/janitor.ts";
import { projectRoot, runHere } from "../support/opsdb.ts";
import { startTwoSite, type TwoSite } from "../support/two-site.ts";

/** These go on until they are ended, or change a shell. They are read, and not run. */
const notRun = new Set(["serve", "watch", "writes watch", "completion"]);
/** Exit codes other than 0 that an example may end with, where its row, write or token is not there. */
const mayFail: Record<string, number[]> = {
  "writes retry": [3],
  "writes discard": [3],
  "writes get": [3],
  "tokens revoke": [1],
  write: [3], // its update names a row of another night
};

let sites: TwoSite;
let directory: string;

beforeAll(async () => {
  sites = await startTwoSite({ env: { secondary: { SQL_QUERIES: "on" } } });
  directory = mkdtempSync(join(tmpdir(), "opsdb-examples-"));
  removeAtEnd(directory);
  const program = (name: string, script: string): void => {
    writeFileSync(join(directory, name), `#!/bin/sh\n${script}\n`);
    chmodSync(join(directory, name), 0o755);
  };
  program("opsdb", `exec '${process.execPath}' '${projectRoot}/src/cli.ts' "$@"`);
  program("psql", "exec cat >/dev/null"); // what is printed for it is tested elsewhere
  writeFileSync(join(directory, "night.jsonl"), '{"delete": "sources", "key": {"id": 5}}\n');
});

afterAll(async () => {
  rmSync(directory, { recursive: true, force: true });
  await sites[Symbol.asyncDispose]();
});

const examples = commands.flatMap(({ name, examples: each }) =>
  each.map((example): [string, string] => [name, example]),
);

test.each(examples.filter(([name]) => !notRun.has(name)))("of %s: %s", { timeout: 60_000 }, async (name, example) => {
  const { SITE_TYPE: _type, SITE_NAME: _name, ...main } = sites.environment("main");
  // Names of hosts in examples are those of the site; what else they say is what runs.
  const line = example.replace(/MAIN_DB_\w+=\S+ /g, "").replace(/chile:8080/g, sites.secondary.grpc);
  const child = spawn("bash", ["-o", "pipefail", "-c", line], {
    stdio: ["ignore", "ignore", "pipe"],
    cwd: directory,
    env: { ...main, PATH: `${directory}:${process.env.PATH}`, HOME: directory, OPSDB_SERVER: sites.secondary.grpc },
  });
  const [stderr, [status]] = await Promise.all([text(child.stderr), once(child, "close")]);
  expect([0, ...(mayFail[name] ?? [])], `${line}\n${stderr}`).toContain(status);
  if (status !== 0) expect(stderr).toMatch(/WRITE_NOT_FOUND|ROW_NOT_FOUND|there is no token/);
});

test.each(examples.filter(([name]) => notRun.has(name) && name !== "completion"))(
  "of %s, read: %s",
  (name, example) => {
    const [, words = ""] = /^(?:.* )?(?:opsdb|src\/cli\.ts) ([^|<>#]*)/.exec(example) ?? [];
    expect(parseInvocation(words.trim().split(/\s+/))).toMatchObject({ kind: "command", command: { name } });
  },
);

test("help has every command with its options and examples, and every group", async () => {
  const all = helpText(undefined);
  for (const command of commands) {
    expect(all).toContain(`  ${command.name} `);
    const { code, out } = await runHere([...command.name.split(" "), "--help"]);
    expect(code).toBe(0);
    expect(out).toContain(`Usage: opsdb ${command.name}`);
    expect(out).toMatch(/\nExamples:\n {2}\S/);
    for (const option of optionsOf(command)) expect(out).toContain(`--${option}`);
    for (const line of out.split("\n\nConfigured by")[0]?.split("\n") ?? [])
      expect(line.length, line).toBeLessThanOrEqual(140);
  }
  expect((await runHere(["writes", "--help"])).out.match(/^Usage: opsdb writes /gm)).toHaveLength(5);
});

test("what is no command, option or operand is told in one sentence", async () => {
  const wrong: [string[], RegExp][] = [
    [["writ"], /^there is no command "writ"\. Try: opsdb --help\n$/],
    [["tokens"], /^opsdb tokens is one of tokens create, tokens list, tokens revoke\. Try: opsdb --help\n$/],
    [
      ["query", "a", "b"],
      /^opsdb query takes TABLE, or --sql SELECT, and not "b" as well\. Try: opsdb query --help\n$/,
    ],
    [["write"], /^something is missing: opsdb write insert\|/],
    [["query", "a", "--wait", "applied"], /^opsdb query has no option --wait\. Try: opsdb query --help\n$/],
    [["query", "a", "--limi", "3"], /^Unknown option '--limi'\. Try: opsdb query --help\n$/],
    [["completion", "csh"], /^opsdb completion: the shell is one of bash, zsh, fish, not csh/],
  ];
  for (const [args, said] of wrong)
    expect(await runHere(args), args.join(" ")).toEqual({ code: 2, out: "", err: expect.stringMatching(said) });
});
