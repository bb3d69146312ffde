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

const seeds = chosenSeeds();

function chosenSeeds(): number[] {
  const { TEST_SEED, TEST_SEEDS, TEST_NIGHTLY } = process.env;
  if (TEST_SEED !== undefined) return [Number(TEST_SEED)];
  const [from = 0, count = TEST_NIGHTLY ? 5_000 : 360] = (TEST_SEEDS ?? "").split("+").filter(Boolean).map(Number);
  return Array.from({ length: count }, (_, i) => from + i);
}

test(`G6: a merged read is what the database answers once the pending writes are executed (${seeds.length} random cases)`, {
  timeout: 60_000 + seeds.length * 1_000,
}, async () => {
  const facts: CaseFacts[] = [];
  const failures: string[] = [];
  for (const seed of seeds) {
    const outcome = await outcomeOf(planCase(seed));
    if ("pending" in outcome) facts.push(outcome);
    else failures.push(await report(seed));
    if (failures.length >= (process.env.TEST_SURVEY ? 1_000 : 1)) break;
  }
  if (failures.length > 0) expect.fail(failures.join("\n\n"));
  const total = (of: keyof CaseFacts): number => facts.reduce((sum, each) => sum + each[of], 0);
  if (process.env.TEST_FACTS)
    console.log({
      cases: facts.length,
      pending: total("pending"),
      foreseen: total("foreseen"),
      unforeseen: total("unforeseen"),
      rows: total("rows"),
    });
  if (seeds.length < 100) return;
  // The generator is worth its time only while all of this happens.
  expect(total("pending")).toBeGreaterThan(seeds.length);
  expect(total("foreseen")).toBeGreaterThan(seeds.length / 10);
  expect(total("unforeseen")).toBeGreaterThan(seeds.length / 50);
  expect(total("rows")).toBeGreaterThan(seeds.length * 4);
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
