import { spawnSync } from "node:child_process";
import type { TestContext } from "vitest";

/** Skips the test where the program is missing, with the Debian package that has it. With CI=true that fails instead. */
export function needsProgram(command: string, debianPackage: string, skip: TestContext["skip"]): void {
  if (spawnSync(command, ["--version"]).status === 0) return;
  const reason = `${command} is not on the path; it comes with Debian's package ${debianPackage}`;
  if (process.env.CI === "true") throw new Error(reason);
  skip(reason);
}
