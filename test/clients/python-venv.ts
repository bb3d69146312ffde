import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);
export const projectRoot = join(import.meta.dirname, "..", "..");

export const pythonProject = join(projectRoot, "clients", "python");

/** A virtual environment, by its Python. */
export interface Venv {
  readonly python: string;
  readonly sitePackages: string;
}

/** Name of the Python that venvs are made with. */
export const basePython = process.env.TEST_PYTHON ?? "python3";

/** What is missing for venvs with packages from PyPI; undefined where nothing is. */
export async function whatPythonLacks(): Promise<string | undefined> {
  try {
    await run(basePython, ["-c", "import sys, ensurepip, venv; assert sys.version_info >= (3, 9)"]);
  } catch {
    return `${basePython} is missing, older than 3.9, or has no venv (Debian: apt-get install python3-venv)`;
  }
  try {
    await run(basePython, [
      "-m",
      "pip",
      "download",
      "--quiet",
      "--no-deps",
      "--dest",
      join(projectRoot, ".tmp", "pypi"),
      "hatchling",
    ]);
  } catch {
    return "PyPI cannot be reached";
  }
  return undefined;
}

/** Packages of the oldest and the newest environment that the client is for; old ones have wheels for some Pythons only. */
export async function supportedPackages(): Promise<{ oldest: string[]; newest: string[] }> {
  const minor = Number((await run(basePython, ["-c", "import sys; print(sys.version_info[1])"])).stdout);
  const grpcio = minor <= 11 ? "1.51.1" : minor === 12 ? "1.59.0" : minor === 13 ? "1.66.2" : "1.75.1";
  return {
    oldest: [`grpcio==${grpcio}`, "protobuf==4.21.12"],
    newest: ["grpcio", "protobuf", "numpy", "pandas", "mypy"],
  };
}

/**
 * A venv with these packages and with this checkout's opsdb, built and installed as a user would. The packages are
 * kept in .tmp between runs and fetched anew every day, for the newest may be others by then.
 */
export async function makeVenv(name: string, packages: readonly string[]): Promise<Venv> {
  const path = join(projectRoot, ".tmp", `python-${name}`);
  const python = join(path, "bin", "python");
  const base = (await run(basePython, ["-c", "import sys; print(sys.executable, sys.version)"])).stdout;
  const wanted = [base, new Date().toISOString().slice(0, 10), ...packages].join("\n");
  const marker = join(path, "complete");
  if (!existsSync(marker) || (await readFile(marker, "utf8")) !== wanted) {
    await rm(path, { recursive: true, force: true });
    await run(basePython, ["-m", "venv", path]);
    const install = ["-m", "pip", "install", "--quiet", "--only-binary", ":all:"];
    await run(python, [...install, ...packages, "pytest", "hatchling"]);
    await writeFile(marker, wanted); // last: a run that is broken off leaves no half of a venv behind
  }
  const install = ["-m", "pip", "install", "--quiet", "--no-deps", "--force-reinstall", "--no-build-isolation"];
  await run(python, [...install, pythonProject]);
  const purelib = "import sysconfig; print(sysconfig.get_path('purelib'))";
  return { python, sitePackages: (await run(python, ["-c", purelib])).stdout.trim() };
}
