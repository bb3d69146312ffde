import { afterAll, beforeAll, expect, test } from "vitest";
import { describeCase, type PlannedCase, planCase } from "./planned-case.ts";
import { type CaseFacts, type Mismatch, runCase } from "./run-case.ts";
import { shrinkCase } from "./shrink-case.ts";
import { openWorld, type World } from "./world.ts";

let world: World;

beforeAll(async () => {
  world = await openWorld();
});

afterAll(async () => {
  await world[Symbol.asyncDispose]();
});

/** TEST_SEED=7 is one case, TEST_SEED=1000+500 so many from one on. */
const { TEST_SEED = "", TEST_NIGHTLY } = process.env;
const [first = 0, count = TEST_SEED === "" ? (TEST_NIGHTLY ? 5_000 : 240) : 1] = TEST_SEED.split("+")
  .filter((part) => part !== "")
  .map(Number);
const seeds = Array.from({ length: count }, (_, i) => first + i);
const MOST_FAILURES = 5;

test(`G6: a merged read is what the database answers once the pending writes are executed (${seeds.length} random cases)`, {
  timeout: 60_000 + seeds.length * 1_000,
}, async () => {
  const facts: CaseFacts[] = [];
  const failures: string[] = [];
  for (const seed of seeds) {
    const outcome = await outcomeOf(planCase(seed));
    if ("pending" in outcome) facts.push(outcome);
    else failures.push(await report(seed));
    if (failures.length >= MOST_FAILURES) break;
  }
  if (failures.length > 0) expect.fail(failures.join("\n\n"));
  const total = (of: keyof CaseFacts): number => facts.reduce((sum, each) => sum + each[of], 0);
  const totals = {
    pending: total("pending"),
    foreseen: total("foreseen"),
    unforeseen: total("unforeseen"),
    rows: total("rows"),
    refused: total("refused"),
  };
  if (TEST_SEED !== "" || TEST_NIGHTLY) console.info(`${seeds.length} cases`, totals);
  if (seeds.length < 100) return;
  // The generator is worth its time only while all of this happens.
  expect(totals.pending).toBeGreaterThan(seeds.length * 3);
  expect(totals.pending - totals.foreseen).toBeGreaterThan(seeds.length);
  expect(totals.foreseen).toBeGreaterThan(seeds.length / 10);
  expect(totals.unforeseen).toBeGreaterThan(seeds.length / 50);
  expect(totals.rows).toBeGreaterThan(seeds.length * 4);
  expect(totals.refused).toBeLessThan(seeds.length);
});

/** What a case came to; an error that nothing in it explains is a failure as well. */
async function outcomeOf(planned: PlannedCase): Promise<CaseFacts | Mismatch | { thrown: unknown }> {
  try {
    return await runCase(world, planned);
  } catch (error) {
    return { thrown: error };
  }
}

/** The smallest case of this seed that fails as well. */
async function report(seed: number): Promise<string> {
  const smallest = await shrinkCase(
    planCase(seed),
    async (planned) => !("pending" in (await outcomeOf(planned))),
    10_000,
  );
  const outcome = await outcomeOf(smallest);
  const what =
    "when" in outcome
      ? `${outcome.when}:\nmerged   ${JSON.stringify(outcome.merged)}\nexpected ${JSON.stringify(outcome.expected)}`
      : "thrown" in outcome && outcome.thrown instanceof Error
        ? (outcome.thrown.stack ?? "")
        : "";
  return `${what}\n${describeCase(smallest)}`;
}
