import { spawnSync } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";

const projectRoot = join(import.meta.dirname, "..", "..");
/** What `./dev tools` installs. */
const tools = join(projectRoot, ".tmp", "tools");
const installed = join(tools, "bin");

/** What a test says where it cannot run. */
export type Skip = (reason: string) => void;

/** A program that tests may do without: what `./dev tools` has installed, or else what is on the path. */
export function findTool(name: string): string | undefined {
  const directories = [installed, ...(process.env.PATH ?? "").split(delimiter)];
  return directories.map((directory) => join(directory, name)).find(isProgram);
}

/** The programs. Where one is missing the test is skipped with that reason, or fails where CI is set: there all belong. */
export function needTools<const Names extends readonly string[]>(
  names: Names,
  skip: Skip,
): { [I in keyof Names]: string } {
  const found = names.map((name) => findTool(name));
  const missing = names.filter((_, i) => found[i] === undefined);
  if (missing.length > 0) missingTool(missing.join(", "), skip);
  return found as { [I in keyof Names]: string };
}

/** A Python with grpcio: `TEST_PYTHON`, or what `./dev tools` has installed, or the system's. */
export function needPython(skip: Skip): string {
  const pythons = [process.env.TEST_PYTHON, join(tools, "python", "bin", "python"), "/usr/bin/python3"];
  const found = pythons.find(
    (python) => python !== undefined && spawnSync(python, ["-c", "import grpc, google.protobuf"]).status === 0,
  );
  if (found === undefined) missingTool("a Python with grpcio", skip);
  return found ?? "";
}

/** Skips, or fails where CI is set. */
export function missingTool(what: string, skip: Skip): void {
  const reason = `missing: ${what} (./dev tools installs it)`;
  if (process.env.CI) throw new Error(reason);
  skip(reason);
}

/** The environment with what `./dev tools` has installed first on the path. */
export function toolEnv(more: Record<string, string> = {}): NodeJS.ProcessEnv {
  return { ...process.env, PATH: [installed, process.env.PATH].join(delimiter), ...more };
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
