import { expect, test } from "vitest";
import { planChaos } from "./chaos-plan.ts";
import { faults } from "./faults.ts";
import { type OperationsOptions, plannedOperations } from "./planned-operation.ts";

const client: OperationsOptions = { seed: 7, client: "secondary-1", index: 0, site: "secondary" };
const first = (options: OperationsOptions) => plannedOperations(options).take(500).toArray();

test("a seed names the faults with their times, and what each client does", () => {
  expect(planChaos({ seed: 7, seconds: 30 })).toEqual(planChaos({ seed: 7, seconds: 30 }));
  expect(planChaos({ seed: 7, seconds: 30 })).not.toEqual(planChaos({ seed: 8, seconds: 30 }));
  expect(first(client)).toEqual(first(client));
  expect(first(client)).not.toEqual(first({ ...client, seed: 8 }));
  expect(first(client)).not.toEqual(first({ ...client, index: 1 }));
});

test("no two faults at the same part overlap, and many seeds have every fault", () => {
  const seen = new Set<string>();
  for (let seed = 0; seed < 50; seed++) {
    const { faults: planned, ms } = planChaos({ seed, seconds: 30 });
    for (const [i, one] of planned.entries()) {
      seen.add(one.name);
      expect(one.at).toBeLessThan(ms);
      const parts = faults[one.name]?.parts ?? [];
      for (const other of planned.slice(i + 1).filter(({ at }) => at < one.at + one.ms))
        expect(faults[other.name]?.parts.filter((part) => parts.includes(part))).toEqual([]);
    }
  }
  expect([...seen].sort()).toEqual(Object.keys(faults).sort());
});

test("every value is written by one change, keys below 0 by poison alone, and each site has keys of its own", () => {
  const values = new Set<string>();
  const ids = new Set<string>();
  for (const [index, site] of (["secondary", "secondary", "main"] as const).entries()) {
    for (const operation of first({ seed: 3, client: `${site}-${index}`, index, site })) {
      if (operation.kind !== "write") continue;
      const { writeId, changes, poison } = operation.write;
      expect(ids).not.toContain(writeId);
      ids.add(writeId);
      for (const change of changes) {
        expect(change.key < 0).toBe(poison !== undefined);
        expect(change.key >= 1_000_000).toBe(site === "main");
        if (change.operation === "delete") continue;
        expect(values).not.toContain(change.value);
        values.add(change.value);
      }
    }
  }
  expect(values.size).toBeGreaterThan(500);
});
