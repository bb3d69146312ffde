import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";
import { variables } from "../../src/config-variables.ts";

const projectRoot = join(import.meta.dirname, "..", "..");
const path = "docs/operating.md";
const guide = read(path);
const alertRules = "ops/prometheus/alerts.yml";

test("every alert has its section, and every section its alert", () => {
  const links = [...read(alertRules).matchAll(/runbook_url: (\S+)#(\S+)$/gm)];
  expect(links.length).toBeGreaterThan(0);
  expect([...new Set(links.map(([, page]) => page))]).toEqual([path]);
  const sections = [...guide.matchAll(/^<a id="([a-z-]+)"><\/a>$/gm)].map(([, anchor]) => anchor);
  expect(sections.sort()).toEqual(links.map(([, , anchor]) => anchor).sort());
});

test("every link of the guide leads somewhere", () => {
  const links = [...guide.matchAll(/\]\(([^)#\s]*)(?:#([^)\s]+))?\)/g)];
  expect(links.length).toBeGreaterThan(20);
  const broken = links.filter(([, file = "", anchor]) => {
    const target = file === "" ? path : join(dirname(path), file);
    if (!existsSync(join(projectRoot, target))) return true;
    return anchor !== undefined && !anchorsOf(read(target)).includes(anchor);
  });
  expect(broken.map(([link]) => link)).toEqual([]);
});

test("the guide names no variable that the service does not have", () => {
  const others = [
    "NODE_OPTIONS",
    "OPSDB_TOKEN",
    "CONSISTENCY_MAIN",
    "LOCAL_UNAVAILABLE",
    "MAIN_UNAVAILABLE",
    "BUFFER_FULL",
  ];
  const codes = ["SEQUENCE_EXHAUSTED", "TOKEN_TIMELINE"];
  // What a container takes from a file.
  const files = ["MAIN_DB_PASSWORD_FILE", "LOCAL_DB_PASSWORD_FILE", "REDIS_URL_FILE"];
  const known = new Set([...variables.map(({ name }) => name), ...others, ...codes, ...files]);
  const named = [...guide.matchAll(/`([A-Z]+_[A-Z_]+)`/g)].map(([, name = ""]) => name);
  expect(named.filter((name) => !known.has(name))).toEqual([]);
});

function read(file: string): string {
  return readFileSync(join(projectRoot, file), "utf8");
}

/** Anchors of headings, as hosting sites make them, and those that are written out. */
function anchorsOf(text: string): string[] {
  const headings = [...text.matchAll(/^#+ (.+)$/gm)].map(([, title = ""]) =>
    title
      .toLowerCase()
      .replace(/[^\w\- ]/g, "")
      .replaceAll(" ", "-"),
  );
  return [...headings, ...[...text.matchAll(/<a id="([^"]+)">/g)].map(([, anchor = ""]) => anchor)];
}
