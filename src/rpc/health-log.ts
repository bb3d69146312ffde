import type { Latest } from "../lib/latest.ts";
import type { Logger } from "../lib/logger.ts";
import type { Health } from "../site/site.ts";
import type { HealthReport } from "./health.ts";

export interface HealthLogOptions {
  report: HealthReport;
  /** Moves whenever some health may be another one. */
  moves: Latest<unknown>;
  logger: Logger;
  /** The server stops, which it has said itself. */
  stopping: AbortSignal;
}

interface Told {
  serving: boolean;
  since: number;
}

/**
 * Writes a line whenever a service begins or ceases to serve, with the reason and the time it has been otherwise. While
 * the reason alone changes nothing is written: that may be every second.
 */
export async function logHealth({ report, moves, logger, stopping }: HealthLogOptions): Promise<void> {
  const told = new Map<string, Told>();
  for (;;) {
    const { version } = moves;
    if (stopping.aborted) return;
    for (const [service, health] of Object.entries(report.all())) tell(logger, told, service, health);
    await moves.changed(version, stopping).catch(() => {});
  }
}

function tell(logger: Logger, told: Map<string, Told>, service: string, health: Health): void {
  const before = told.get(service);
  if (before?.serving === health.serving) return;
  const now = performance.now();
  told.set(service, { serving: health.serving, since: now });
  const seconds = before && Math.round(now - before.since) / 1_000;
  const fields = { service, ...(seconds === undefined ? {} : { afterSeconds: seconds }) };
  if (!health.serving)
    logger.warn(
      { ...fields, reason: health.reason },
      before ? "a service serves no more" : "a service does not serve yet",
    );
  else if (before) logger.info(fields, "a service serves");
}
