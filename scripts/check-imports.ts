import { globSync, readFileSync } from "node:fs";
import { dirname, normalize } from "node:path";

/** Which way imports may point; what keeps the parts apart. */
const rules: { says: string; broken: (from: string, to: string) => boolean }[] = [
  {
    says: "only src/rpc and src/cli import gen",
    broken: (from, to) => inside(to, "gen") && !inside(from, "src/rpc") && !inside(from, "src/cli"),
  },
  {
    says: "nothing but src/main.ts and src/cli imports src/rpc",
    broken: (from, to) =>
      inside(to, "src/rpc") && !["src/rpc", "src/cli", "src/cli.ts", "src/main.ts"].some((part) => inside(from, part)),
  },
  {
    says: "query and processor never import each other",
    broken: (from, to) =>
      (inside(from, "src/query") && inside(to, "src/processor")) ||
      (inside(from, "src/processor") && inside(to, "src/query")),
  },
  {
    says: "src/lib has no domain words",
    broken: (from, to) => inside(from, "src/lib") && inside(to, "src") && !inside(to, "src/lib"),
  },
  {
    says: "the service does not import tests",
    broken: (_from, to) => inside(to, "test"),
  },
];

const problems: string[] = [];
for (const file of globSync("src/**/*.ts").sort()) {
  const text = readFileSync(file, "utf8");
  const test = file.endsWith(".test.ts");
  for (const [, target = ""] of text.matchAll(/\b(?:from|import)\s*\(?\s*"(\.[^"]+)"/g)) {
    const to = normalize(`${dirname(file)}/${target}`);
    for (const rule of rules) {
      if (!test && rule.broken(file, to)) problems.push(`${file} imports ${to}: ${rule.says}`);
    }
  }
  // The entry point hands the environment over; what it means is read in one place.
  const mayNameIt = test || file === "src/config.ts" || file === "src/cli.ts";
  if (!mayNameIt && /\bprocess\.env\b/.test(text)) {
    problems.push(`${file}: process.env is read in src/config.ts alone`);
  }
}
for (const problem of problems) console.log(problem);
process.exitCode = problems.length === 0 ? 0 : 1;

function inside(file: string, part: string): boolean {
  return file === part || file.startsWith(`${part}/`);
}
