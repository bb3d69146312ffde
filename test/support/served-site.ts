import { Registry } from "prom-client";
import { createLogger } from "../../src/lib/logger.ts";
import { createServer, defaultLimits } from "../../src/rpc/server.ts";
import type { Site } from "../../src/site/site.ts";
import { siteMetrics } from "../../src/site/site-metrics.ts";
import { SiteCaller } from "../e2e/site-caller.ts";

/** A site of this process over the network, so that a test can look at both ends of a call. */
export interface ServedSite extends AsyncDisposable {
  readonly baseUrl: string;
  readonly caller: SiteCaller;
  /** What /metrics says. */
  metric(name: string): Promise<number>;
}

export async function serveSite(site: Site): Promise<ServedSite> {
  const registry = new Registry();
  siteMetrics(site, registry);
  const logger = createLogger({ level: (process.env.TEST_LOG_LEVEL ?? "silent") as "silent" });
  const server = createServer({ site, limits: defaultLimits, logger, registry });
  const { host, port } = await server.listen({ host: "127.0.0.1", port: 0 });
  const baseUrl = `http://${host}:${port}`;
  const caller = new SiteCaller({ baseUrl });
  return {
    baseUrl,
    caller,
    async metric(name) {
      const text = await registry.metrics();
      return Number(new RegExp(`^${name} (.*)$`, "m").exec(text)?.[1]);
    },
    async [Symbol.asyncDispose]() {
      caller[Symbol.dispose]();
      await server.close(1_000);
    },
  };
}
