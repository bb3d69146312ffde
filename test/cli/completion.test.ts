import { spawnSync } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { removeAtEnd } from "../support/janitor.ts";
import { projectRoot, runHere } from "../support/opsdb.ts";
import { startTwoSite, type TwoSite } from "../support/two-site.ts";

const slowly = { timeout: 120_000 };
/** Not every machine has these shells; bash is on all of them. */
const has = (shell: string): boolean => spawnSync(shell, ["--version"]).status === 0;

let sites: TwoSite;
let directory: string;

beforeAll(async () => {
  sites = await startTwoSite();
  directory = mkdtempSync(join(tmpdir(), "opsdb-completion-"));
  removeAtEnd(directory);
  const program = join(directory, "opsdb");
  writeFileSync(program, `#!/bin/sh\nexec '${process.execPath}' '${projectRoot}/src/cli.ts' "$@"\n`);
  chmodSync(program, 0o755);
  for (const shell of ["bash", "zsh", "fish"])
    writeFileSync(join(directory, shell), (await runHere(["completion", shell])).out);
});

afterAll(async () => {
  rmSync(directory, { recursive: true, force: true });
  await sites[Symbol.asyncDispose]();
});

test.each([
  ["opsdb wri", ["write", "writes"]],
  ["opsdb writes re", ["rejected", "retry"]],
  ["opsdb drain show --js", ["--json"]],
  [
    "opsdb watch --",
    ["--lines", "--limit", "--json", "--server", "--token-file", "--tls", "--ca", "--cert", "--key", "--help"],
  ],
  ["opsdb query --format ", ["table", "json", "csv"]],
  ["opsdb query --format=c", ["csv"]],
  ["opsdb --server 127.0.0.1:80 query --consistency m", ["merged", "main"]],
  ["opsdb write ", ["insert", "update", "upsert", "delete", "-"]],
  ["opsdb completion ", ["bash", "zsh", "fish"]],
  ["opsdb migrate --", ["--print-roles", "--help"]],
])("bash completes %j", slowly, (line, expected) => {
  expect(inBash(line)).toEqual(expected);
});

test("bash completes tables and columns of the server that the line or the environment names", slowly, () => {
  expect(inBash("opsdb query raw")).toEqual(["raw_data_files", "raw_data_packages"]);
  expect(inBash("opsdb tables weather_s")).toEqual(["weather_samples"]);
  expect(inBash("opsdb write update sour")).toEqual(["sources"]);
  expect(inBash("opsdb write insert weather_samples s")).toEqual(["station=", "sampled_at="]);
  expect(inBash("opsdb write insert weather_samples station=cerro pw")).toEqual(["pwv_mm="]);
  expect(inBash("opsdb query sources --columns ra")).toEqual(["ra_deg"]);
  expect(inBash(`opsdb query --server ${sites.main.grpc} raw`, "127.0.0.1:1")).toHaveLength(2);
  expect(inBash("opsdb query raw", "127.0.0.1:1")).toEqual([]); // nobody answers, and nothing is said
});

test.skipIf(!has("fish"))("fish completes the same", slowly, () => {
  const complete = (line: string): string[] => {
    const script = `source ${directory}/fish; complete -C '${line}'`;
    const { stdout, stderr } = spawnSync("fish", ["--no-config", "-c", script], {
      env: environment(),
      encoding: "utf8",
    });
    expect(stderr).toBe("");
    return stdout
      .trim()
      .split("\n")
      .map((each) => each.split("\t")[0] ?? "");
  };
  expect(complete("opsdb wri")).toEqual(["write", "writes"]);
  expect(complete("opsdb writes re")).toEqual(["rejected", "retry"]);
  expect(complete("opsdb query --format ").sort()).toEqual(["csv", "json", "table"]);
  expect(complete("opsdb drain show --js")).toEqual(["--json"]);
  expect(complete("opsdb query raw")).toEqual(["raw_data_files", "raw_data_packages"]);
  expect(complete("opsdb write insert weather_samples pw")).toEqual(["pwv_mm="]);
});

test.skipIf(!has("zsh"))("zsh understands its script", slowly, () => {
  const script = `autoload -U compinit; compinit -u -D; source ${directory}/zsh; (( $+functions[_opsdb] )) && print -r -- $_comps[opsdb]`;
  const { stdout, stderr } = spawnSync("zsh", ["-f", "-c", script], { env: environment(), encoding: "utf8" });
  expect([stdout, stderr]).toEqual(["_opsdb\n", ""]);
});

/** What a bash offers where the cursor stands behind the line; words are split as bash does at its prompt. */
function inBash(line: string, server = sites.secondary.grpc): string[] {
  const words: string[] = line.match(/[^ =:]+|[=:]/g) ?? [];
  if (/[ ]$/.test(line)) words.push("");
  const quoted = words.map((word) => `'${word}'`).join(" ");
  const script = `source ${directory}/bash
    compopt() { :; } # it works in a completion alone
    COMP_WORDS=(${quoted}); COMP_CWORD=${words.length - 1}; COMP_LINE='${line}'
    _opsdb opsdb "\${COMP_WORDS[COMP_CWORD]}" "\${COMP_WORDS[COMP_CWORD-1]}"
    printf '%s\\n' "\${COMPREPLY[@]}"`;
  const { stdout, stderr } = spawnSync("bash", ["--norc", "-c", script], {
    env: environment(server),
    encoding: "utf8",
  });
  expect(stderr).toBe("");
  return stdout.trim() === "" ? [] : stdout.trim().split("\n");
}

function environment(server = sites.secondary.grpc): NodeJS.ProcessEnv {
  return { PATH: `${directory}:${process.env.PATH}`, HOME: directory, OPSDB_SERVER: server };
}
