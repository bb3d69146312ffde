import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { PythonSites } from "./python-sites.ts";
import { makeVenv, projectRoot, pythonProject, supportedPackages, type Venv, whatPythonLacks } from "./python-venv.ts";

const run = promisify(execFile);

/** Longest run of one set of Python tests, on a busy machine. */
const PYTEST_MS = 280_000;

const lack = await whatPythonLacks();
if (lack !== undefined && process.env.CI) throw new Error(lack);

describe.skipIf(lack !== undefined)(`the Python client${lack === undefined ? "" : `: ${lack}`}`, () => {
  const venvs: Partial<Record<"oldest" | "newest", Venv>> = {};
  let sites: PythonSites;

  beforeAll(async () => {
    const packages = await supportedPackages();
    [sites, venvs.oldest, venvs.newest] = await Promise.all([
      PythonSites.start(),
      makeVenv("oldest", packages.oldest),
      makeVenv("newest", packages.newest),
    ]);
  }, 300_000);

  afterAll(async () => {
    await sites?.[Symbol.asyncDispose]();
  });

  describe.each(["oldest", "newest"] as const)("on the %s gRPC and protobuf", (name) => {
    test("converts values, decides on retries and reads errors as it says", { timeout: 300_000 }, async () => {
      await pytest(name, [
        "test_values.py",
        "test_steps.py",
        "test_status_details.py",
        "test_conditions.py",
        "test_connection.py",
      ]);
    });

    test("does with two sites what its methods say", { timeout: 300_000 }, async () => {
      await pytest(name, ["test_sites.py"]);
    });

    test("G2: neither loses nor doubles a write when calls are cut, the server is killed or answers are lost", {
      timeout: 300_000,
    }, async () => {
      await pytest(name, ["test_faults.py"]);
    });
  });

  test("comes with the stubs of gen/python, and with its types", async () => {
    const installed = join(venvs.newest?.sitePackages ?? "", "opsdb");
    const generated = join(projectRoot, "gen", "python", "opsdb", "v1");
    const files = (await readdir(generated)).filter((file) => file.includes("."));
    expect(files.length).toBeGreaterThan(10);
    for (const file of files) {
      expect(await readFile(join(installed, "v1", file), "utf8")).toBe(await readFile(join(generated, file), "utf8"));
    }
    expect(await readdir(installed)).toContain("py.typed");
  });

  test("is typed throughout", { timeout: 120_000 }, async () => {
    const { stdout } = await run(
      venvs.newest?.python ?? "",
      ["-m", "mypy", "--cache-dir", join(projectRoot, ".tmp", "mypy")],
      { cwd: pythonProject },
    );
    expect(stdout).toMatch(/^Success: no issues found/);
  });

  test("goes from nothing to a replicated write by the commands of its README", { timeout: 300_000 }, async () => {
    const readme = await readFile(join(pythonProject, "README.md"), "utf8");
    const commands = /```sh\n(.*?)```/s.exec(readme)?.[1] ?? "";
    expect(commands.trim().split("\n").length).toBeLessThanOrEqual(5);
    await rm(join(projectRoot, ".tmp", "opsdb"), { recursive: true, force: true });
    // A group of its own, for the last command leaves the sites running.
    const shell = spawn("bash", ["-e", "-c", commands], {
      cwd: projectRoot,
      detached: true,
      stdio: ["ignore", "pipe", "pipe"],
    });
    const ended = once(shell, "close");
    let told = "";
    shell.stderr.on("data", (text) => (told += text));
    try {
      for await (const text of shell.stdout) {
        told += text;
        if (told.includes("\nREPLICATED\n")) break;
      }
      expect(told).toMatch(/^ACCEPTED [0-9a-f-]{36}\n\{.*'pwv_mm': 0.42\}\n(.*\n)*REPLICATED\n/m);
    } finally {
      if (shell.pid !== undefined) process.kill(-shell.pid, "SIGTERM");
      await ended;
    }
  });

  async function pytest(name: "oldest" | "newest", files: string[]): Promise<void> {
    const args = [
      "-m",
      "pytest",
      "-q",

      "-p",
      "no:cacheprovider",
      ...files.map((file) => join("tests", file)),
    ];
    const env = { ...process.env, OPSDB_TEST_SITES: JSON.stringify(sites.described) };
    const { stdout } = await run(venvs[name]?.python ?? "", args, {
      cwd: pythonProject,
      env,
      timeout: PYTEST_MS,
    }).catch(toldWhole);
    expect(stdout).toMatch(/\d+ passed/);
  }
});

function toldWhole(error: { stdout?: string; stderr?: string }): never {
  throw new Error(`${error.stdout}\n${error.stderr}`);
}
