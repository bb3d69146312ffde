import type { TwoSite } from "../support/two-site.ts";
import { startChaosParts } from "./chaos-sites.ts";
import { runSeed, type SeedOptions, type SeedResult } from "./run-seed.ts";

// A process that runs the seeds that its parent sends, one after the other, on databases that it starts once.
let parts: TwoSite | undefined;

process.on("message", (options: SeedOptions) => {
  void run(options).then((result) => process.send?.(result));
});
process.once("disconnect", () => void (parts?.[Symbol.asyncDispose]() ?? Promise.resolve()).then(() => process.exit()));
// Ctrl-C of the terminal reaches this process too; it ends with its parent.
process.on("SIGINT", () => {});

async function run(options: SeedOptions): Promise<SeedResult> {
  parts ??= await startChaosParts();
  const result = await runSeed(parts, options);
  if (result.broken) {
    await parts[Symbol.asyncDispose]();
    parts = undefined;
  }
  return result;
}
