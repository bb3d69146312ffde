import { execFile, spawnSync } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { missingTool, needTools, type Skip } from "../support/tools.ts";

const run = promisify(execFile);

export const projectRoot = join(import.meta.dirname, "..", "..");
/** Where clients/cpp/README.md builds too, so that everything is compiled once. */
export const cppBuild = join(projectRoot, ".tmp", "cpp");
/** Compiling takes long on a busy machine. */
export const compileMs = 600_000;

/** Skips, or fails with CI set, where something is missing that the C++ client is built with. */
export function needCpp(skip: Skip): void {
  needTools(["g++", "cmake", "make", "pkg-config", "protoc", "grpc_cpp_plugin"], skip);
  const missing = ["grpc++", "protobuf"].filter((name) => spawnSync("pkg-config", ["--exists", name]).status !== 0);
  if (missing.length > 0) missingTool(`development files of ${missing.join(" and ")}`, skip);
}

/** Builds the client, its example and its tests; what has not changed is not compiled again. */
export async function buildCpp(): Promise<void> {
  await compile("cmake", ["-S", "clients/cpp", "-B", cppBuild, "-D", "OPSDB_BUILD_TESTS=ON"]);
  await compile("cmake", ["--build", cppBuild, "--parallel", "2"]);
}

/** Runs one command of a build in the project's root; fails with what the command said. */
export async function compile(command: string, args: string[]): Promise<void> {
  try {
    await run(command, args, { cwd: projectRoot, timeout: compileMs, maxBuffer: 64 * 1024 * 1024 });
  } catch (error) {
    const { stdout, stderr } = error as { stdout?: string; stderr?: string };
    throw new Error(`${command} ${args.join(" ")} failed\n${stdout ?? ""}${stderr ?? ""}`, { cause: error });
  }
}
