import { spawn } from "node:child_process";
import { once } from "node:events";
import { connect } from "node:net";
import { join } from "node:path";
import { expect, test } from "vitest";

const projectRoot = join(import.meta.dirname, "..", "..");

function run(args: string[]): {
  lines: AsyncIterable<string>;
  exited: Promise<unknown[]>;
  kill: (signal: NodeJS.Signals) => void;
} {
  const child = spawn(process.execPath, args, { cwd: projectRoot, stdio: ["ignore", "pipe", "pipe"] });
  child.stdout.setEncoding("utf8");
  child.stderr.setEncoding("utf8");
  return { lines: child.stdout, exited: once(child, "exit"), kill: (signal) => child.kill(signal) };
}

test("the demo tells its story, and every comparison holds", { timeout: 120_000 }, async () => {
  const demo = run(["demo/night.ts"]);
  let told = "";
  for await (const text of demo.lines) told += text;
  expect(told).toMatch(/\d+ comparisons held, 0 failed/);
  expect(await demo.exited).toEqual([0, null]);
});

test("both sites come up, say where, and end on SIGTERM with nothing left listening", { timeout: 60_000 }, async () => {
  const up = run(["demo/up.ts", "--json"]);
  let said = "";
  for await (const text of up.lines) {
    said += text;
    if (said.includes("\n")) break;
  }
  const { main, secondary, link } = JSON.parse(said) as Record<"main" | "secondary" | "link", Record<string, string>>;
  const cut = await fetch(`${link.url}/cut`, { method: "POST", headers: { connection: "close" } });
  expect(await cut.json()).toMatchObject({ cut: { mode: "reset" } });
  const urls = [`http://${main.grpc}`, `http://${secondary.grpc}`, main.postgres, secondary.postgres, secondary.redis];
  up.kill("SIGTERM");
  expect(await up.exited).toEqual([0, null]);
  for (const url of urls) {
    const { hostname, port } = new URL(url ?? "");
    await expect(once(connect(Number(port), hostname), "connect")).rejects.toThrow("ECONNREFUSED");
  }
});
