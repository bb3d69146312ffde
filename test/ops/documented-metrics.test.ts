import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Registry } from "prom-client";
import { expect, test } from "vitest";
import { readConfig } from "../../src/config.ts";
import { createLogger } from "../../src/lib/logger.ts";
import { createServer, defaultLimits } from "../../src/rpc/server.ts";
import { MainSite } from "../../src/site/main-site.ts";
import { SecondarySite } from "../../src/site/secondary-site.ts";
import { siteMetrics } from "../../src/site/site-metrics.ts";

interface Documented {
  name: string;
  type: string;
  labels: string;
  where: string;
  meaning: string;
}

const logger = createLogger({ level: "silent" });

test("the tables of docs/metrics.md are the metrics that the service has", async () => {
  const [main, secondary] = [await registered("main"), await registered("secondary")];
  const real = [...secondary.values()].map((metric) => ({
    ...metric,
    where: main.has(metric.name) ? "both" : "secondary",
  }));
  expect([...main.keys()].filter((name) => !secondary.has(name))).toEqual([]);
  const byName = (a: Documented, b: Documented): number => (a.name < b.name ? -1 : 1);
  expect(documented().sort(byName)).toEqual(real.sort(byName));
});

test("names and units are as Prometheus wants them", async () => {
  for (const { name, type, meaning } of (await registered("secondary")).values()) {
    expect(name).toMatch(/^(opsdb|grpc_server)_[a-z0-9_]+$/);
    expect([name, name.endsWith("_total")]).toEqual([name, type === "counter"]);
    expect(name).not.toMatch(/_(ms|milliseconds|minutes|kb|mb|percent)(_|$)/);
    if (/_seconds(_total)?$/.test(name)) expect([name, meaning]).toEqual([name, expect.stringMatching(/second/)]);
    if (/_bytes(_total)?$/.test(name)) expect([name, meaning]).toEqual([name, expect.stringMatching(/[Bb]ytes/)]);
  }
});

/** What a process has, as far as it is its own: a site that has never run, for nothing of it depends on that. */
async function registered(role: "main" | "secondary"): Promise<Map<string, Documented>> {
  const config = readConfig({
    SITE_TYPE: role,
    SITE_NAME: "a",
    MAIN_DB_HOST: "127.0.0.1",
    MAIN_DB_USER: "a",
    MAIN_DB_NAME: "a",
    LOCAL_DB_HOST: "127.0.0.1",
    LOCAL_DB_USER: "a",
    LOCAL_DB_NAME: "a",
    REDIS_URL: "redis://127.0.0.1:1",
  });
  await using site =
    config.site.type === "main" ? new MainSite(config, logger) : new SecondarySite(config, config.site, logger);
  const registry = new Registry();
  siteMetrics(site, registry);
  createServer({ site, limits: defaultLimits, logger, registry });
  const metrics = registry.getMetricsAsArray() as unknown as {
    name: string;
    help: string;
    type: string;
    labelNames?: string[];
  }[];
  return new Map(
    metrics.map(({ name, help, type, labelNames = [] }) => {
      const labels = labelNames.filter((label) => label !== "le").map((label) => `\`${label}\``);
      return [name, { name, type, labels: labels.join(", "), where: "", meaning: help }];
    }),
  );
}

function documented(): Documented[] {
  const text = readFileSync(join(import.meta.dirname, "..", "..", "docs", "metrics.md"), "utf8");
  return [...text.matchAll(/^\| `(\w+)` \| (\w+) \| (.*?) \| (both|secondary) \| (.*?) \|$/gm)].map(
    ([, name = "", type = "", labels = "", where = "", meaning = ""]) => ({ name, type, labels, where, meaning }),
  );
}
