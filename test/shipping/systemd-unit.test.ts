import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { variables } from "../../src/config-variables.ts";

const unit = readFileSync(join(import.meta.dirname, "..", "..", "ops", "systemd", "opsdb.service"), "utf8");
const installed = spawnSync("systemd-analyze", ["--version"]).status === 0;

test.skipIf(!installed)(`systemd takes the unit${installed ? "" : " (skipped: no systemd-analyze)"}`, () => {
  const directory = mkdtempSync(join(tmpdir(), "opsdb-unit-"));
  try {
    const path = join(directory, "opsdb.service");
    // It looks for the program too, which is not installed here.
    writeFileSync(path, unit.replace("/opt/opsdb/bin/opsdb", process.execPath));
    const { status, stdout, stderr } = spawnSync("systemd-analyze", ["verify", "--man=no", path], { encoding: "utf8" });
    expect({ status, stdout, stderr }).toEqual({ status: 0, stdout: "", stderr: "" });
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});

test("systemd waits longer for the end than running calls may take", () => {
  const graceMs = Number(variables.find(({ name }) => name === "SHUTDOWN_GRACE_MS")?.default);
  expect(Number(/^TimeoutStopSec=(\d+)$/m.exec(unit)?.[1]) * 1_000).toBeGreaterThan(graceMs + 2_000);
});
