import { readFileSync } from "node:fs";
import { join } from "node:path";

export const opsDirectory = join(import.meta.dirname, "..", "..", "ops");
export const alertsFile = join(opsDirectory, "prometheus", "alerts.yml");

/** An alert as alerts.yml has it. */
export interface Alert {
  name: string;
  runbook: string;
  /** All of its lines. */
  text: string;
}

/** The file is this project's own, so its plain form is enough to go by; promtool says whether it is right. */
export function readAlerts(): Alert[] {
  const [, ...blocks] = readFileSync(alertsFile, "utf8").split(/^ {6}- alert: /m);
  return blocks.map((text) => ({
    name: text.split("\n", 1)[0] ?? "",
    runbook: /^ {10}runbook_url: (.*)$/m.exec(text)?.[1] ?? "",
    text,
  }));
}

/** A part of an expression that picks series. */
export interface Selector {
  metric: string;
  matchers: { label: string; operator: string; value: string }[];
}

/** The selectors in a text with expressions: the service's metrics all have one of a few beginnings. */
export function selectorsOf(text: string): Selector[] {
  const metrics = /(?<![\w:])((?:opsdb|grpc_server|nodejs|process)_\w+|up)\b(?:\{([^}]*)\})?/g;
  return [...text.matchAll(metrics)].map(([, metric = "", matchers = ""]) => ({
    metric,
    matchers: [...matchers.matchAll(/(\w+)(=~|!~|!=|=)"([^"]*)"/g)].map(
      ([, label = "", operator = "", value = ""]) => ({ label, operator, value }),
    ),
  }));
}
