import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { environmentTable } from "./describe-environment.ts";

test("the README's table names every variable as it is", () => {
  const readme = readFileSync(join(import.meta.dirname, "../../README.md"), "utf8");
  expect(readme).toContain(`\n${environmentTable()}\n\n`);
});
