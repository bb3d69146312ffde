import { expect, test } from "vitest";
import { named } from "./statement.ts";

test("equal texts have one name, and neither a very long text nor one after thousands of others has any", () => {
  const { name } = named("select 1", []);
  expect(name).toMatch(/^opsdb_[0-9a-f]{24}$/);
  expect(named(`select ${"1 + ".repeat(3_000)}1`, []).name).toBe("");
  for (let i = 0; i < 2_000; i++) named(`select ${i} + 1`, []);
  expect(named("select 'one more'", []).name).toBe("");
  expect(named("select 1", []).name).toBe(name);
});
