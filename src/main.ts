import { collectDefaultMetrics, Registry } from "prom-client";
import { type Config, describeConfig } from "./config.ts";
import { createLogger, type Logger } from "./lib/logger.ts";
import { createServer, defaultLimits } from "./rpc/server.ts";
import { Door } from "./security/door.ts";
import { MainSite } from "./site/main-site.ts";
import { SecondarySite } from "./site/secondary-site.ts";
import type { Site } from "./site/site.ts";
import { siteMetrics } from "./site/site-metrics.ts";

/**
 * Serves until SIGTERM or SIGINT and answers the exit code. Shutdown order: health says NOT_SERVING and the port closes
 * while running calls finish; then the background work stops; then the connections close. What is in the buffer stays
 * there.
 */
export async function serve(config: Config): Promise<number> {
  const logger = createLogger({ level: config.logLevel as "info" }).child({ site: config.site.name });
  logger.info({ config: describeConfig(config) }, "starting");
  const stopping = new AbortController();
  const stop = (signal: NodeJS.Signals): void => {
    if (!stopping.signal.aborted) logger.info({ signal }, "stopping");
    stopping.abort(new Error(`stopped by ${signal}`));
  };
  process.on("SIGTERM", stop).on("SIGINT", stop);
  try {
    return await serveUntil(config, logger, stopping.signal);
  } finally {
    process.off("SIGTERM", stop).off("SIGINT", stop);
  }
}

async function serveUntil(config: Config, logger: Logger, signal: AbortSignal): Promise<number> {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  await using door = new Door(config, logger);
  await using site = createSite(config, logger);
  siteMetrics(site, registry);
  const working = new AbortController();
  const work = site.run(working.signal);
  const limits = { ...defaultLimits, messageBytes: config.messageMaxBytes };
  const { authenticator, certificates } = door;
  const { access } = config.security;
  const security = { certificates: certificates?.current, authenticator, access };
  const server = createServer({ site, limits, logger, registry, security });
  const keepDoor = door.run(working.signal, (changed) => server.useCertificates(changed));
  const reload = (): void => {
    const changed = certificates?.look();
    if (changed) server.useCertificates(changed);
  };
  process.on("SIGHUP", reload);
  let code = 0;
  try {
    const { host, port } = await server.listen(config.listen);
    logger.info({ host, port, tls: certificates !== undefined, auth: authenticator !== undefined }, "listening");
    await Promise.race([stopped(signal), work, keepDoor]);
  } catch (error) {
    logger.error({ error }, "the service cannot go on");
    code = 1;
  }
  await server.close(config.shutdownGraceMs);
  working.abort(new Error("stopping"));
  await Promise.allSettled([work, keepDoor]);
  process.off("SIGHUP", reload);
  logger.info({}, "stopped");
  return code;
}

/** The only place that picks what a site is. */
function createSite(config: Config, logger: Logger): Site {
  return config.site.type === "main" ? new MainSite(config, logger) : new SecondarySite(config, config.site, logger);
}

function stopped(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
