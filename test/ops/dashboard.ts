import { readFileSync } from "node:fs";
import { join } from "node:path";
import { opsDirectory } from "./rule-names.ts";

export interface Panel {
  id: number;
  type: string;
  title: string;
  description?: string;
  datasource?: { type: string; uid: string };
  gridPos: { x: number; y: number; w: number; h: number };
  targets?: { refId: string; expr: string; datasource: { type: string; uid: string } }[];
  panels?: Panel[];
}

export interface Dashboard {
  uid: string;
  title: string;
  schemaVersion: number;
  templating: { list: { name: string; type: string; query: string | { query: string; refId: string } }[] };
  panels: Panel[];
}

export function readDashboard(): Dashboard {
  return JSON.parse(readFileSync(join(opsDirectory, "grafana", "ops-db-api.json"), "utf8")) as Dashboard;
}

/** Each query of the dashboard with its panel. */
export function queriesOf(dashboard: Dashboard): { panel: string; expr: string }[] {
  return dashboard.panels.flatMap(({ title, targets }) => (targets ?? []).map(({ expr }) => ({ panel: title, expr })));
}

/** The query as Grafana sends it with everything selected. */
export function withVariables(expr: string): string {
  return expr.replaceAll("$__rate_interval", "1m").replaceAll(/\$(site|instance)\b/g, ".*");
}
