import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { sql } from "../support/sql.ts";
import type { TwoSite } from "../support/two-site.ts";
import { startChaosParts } from "./chaos-sites.ts";
import { checkRun } from "./check-run.ts";
import { runChaos } from "./run-chaos.ts";
import { runSeed } from "./run-seed.ts";
import { addUp, faultsIn, type RunSummary } from "./run-summary.ts";

// Faults stop, kill and freeze everything, so these parts are not those of the other tests.
let parts: TwoSite;
const directory = join(import.meta.dirname, "..", "..", ".tmp", "chaos-test");
const summaries: RunSummary[] = [];

beforeAll(async () => {
  parts = await startChaosParts();
});

afterAll(async () => {
  await parts[Symbol.asyncDispose]();
});

test.each([1, 2, 3])(
  "G1 G2 G3 G4 G5 G8 G9: whatever fails, nothing acknowledged is lost, doubled, reordered or forgotten (seed %i)",
  async (seed) => {
    const { violations, summary } = await runSeed(parts, { seed, seconds: 10, clients: 6, directory, keep: false });
    expect(violations).toEqual([]);
    summaries.push(summary);
  },
  60_000,
);

test("the runs before had operations, faults and outcomes of many kinds", () => {
  const total = addUp(summaries);
  expect(Object.keys(total.faults).length).toBeGreaterThan(8);
  expect(faultsIn(total)).toBeGreaterThan(10);
  for (const kind of ["write ok", "write ok (had it already)", "write unknown", "read merged ok", "read merged failed"])
    expect(total.operations[`secondary ${kind}`], kind).toBeGreaterThan(5);
  expect(total.operations["main write ok"]).toBeGreaterThan(50);
});

test("a row that is gone from main in the end is found", async () => {
  const lost = await runChaos(parts, {
    seed: 4,
    seconds: 2,
    clients: 4,
    directory: join(directory, "planted"),
    drained: async ({ mainUrl }) => {
      await sql(
        mainUrl,
        `begin; set local session_replication_role = replica;
         delete from chaos.register where k = (select min(k) from chaos.register); commit`,
      );
    },
  });
  expect(checkRun(lost)).not.toEqual([]);
}, 60_000);
