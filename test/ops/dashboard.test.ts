import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { needsProgram } from "../support/needs-program.ts";
import { type Panel, queriesOf, readDashboard, withVariables } from "./dashboard.ts";
import { promtool } from "./promtool.ts";

const dashboard = readDashboard();
const columns = 24;

test("the dashboard has the form that Grafana loads", () => {
  expect(dashboard).toMatchObject({ uid: "ops-db-api", title: "ops-db-api", schemaVersion: 39 });
  const ids = dashboard.panels.map(({ id }) => id);
  expect(new Set(ids).size).toBe(ids.length);
  for (const panel of dashboard.panels) {
    const { title, type, targets = [] } = panel;
    expect(["row", "stat", "timeseries", "table"]).toContain(type);
    expect(title).not.toBe("");
    if (type === "row") {
      expect([title, panel.panels]).toEqual([title, []]);
      continue;
    }
    expect([title, panel.description]).toEqual([title, expect.stringMatching(/./)]);
    expect([title, targets.length > 0]).toEqual([title, true]);
    expect([title, new Set(targets.map(({ refId }) => refId)).size]).toEqual([title, targets.length]);
    for (const { datasource } of [panel, ...targets])
      expect([title, datasource]).toEqual([title, { type: "prometheus", uid: "${" + "datasource}" }]);
  }
});

test("no two panels of the dashboard overlap, and none leaves its columns", () => {
  for (const [i, one] of dashboard.panels.entries()) {
    const { x, y, w, h } = one.gridPos;
    expect([one.title, x >= 0 && y >= 0 && w > 0 && h > 0 && x + w <= columns]).toEqual([one.title, true]);
    for (const other of dashboard.panels.slice(i + 1))
      expect([one.title, other.title, overlap(one.gridPos, other.gridPos)]).toEqual([one.title, other.title, false]);
  }
});

test("every variable that the dashboard uses is one of its own or Grafana's, and each is used", () => {
  const { list } = dashboard.templating;
  const used = new Set([...JSON.stringify(dashboard.panels).matchAll(/\$\{?(\w+)/g)].map(([, name]) => name));
  used.delete("__rate_interval");
  expect([...used].sort()).toEqual(list.map(({ name }) => name).sort());
});

test("promtool reads every query of the dashboard", ({ skip }) => {
  needsProgram("promtool", "prometheus", skip);
  const rules = queriesOf(dashboard).map(({ expr }, i) => ({ record: `query_${i}`, expr: withVariables(expr) }));
  expect(checkRules(rules)).toContain(`SUCCESS: ${rules.length} rules found`);
  expect(() => checkRules([{ record: "wrong", expr: "sum by (site (up)" }])).toThrow(/could not parse expression/);
});

function checkRules(rules: { record: string; expr: string }[]): string {
  const directory = mkdtempSync(join(tmpdir(), "opsdb-queries-"));
  try {
    const file = join(directory, "rules.yml");
    writeFileSync(file, JSON.stringify({ groups: [{ name: "queries", rules }] })); // JSON is YAML
    return promtool("check", "rules", file);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

function overlap(a: Panel["gridPos"], b: Panel["gridPos"]): boolean {
  return a.x < b.x + b.w && b.x < a.x + a.w && a.y < b.y + b.h && b.y < a.y + a.h;
}
