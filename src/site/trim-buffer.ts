import type { RedisWriteBuffer } from "../buffer/redis-write-buffer.ts";
import type { SecondarySiteConfig } from "../config.ts";
import { sleep } from "../lib/abort.ts";
import type { Logger } from "../lib/logger.ts";
import { START } from "../position.ts";
import type { MainWatch } from "../replication/main-watch.ts";

const TRIM_EVERY_MS = 1_000;
/**
 * The least time for which every process keeps a write after its proof, milliseconds: whatever it is told, for others
 * rely on it (G5, see TableReader).
 */
export const KEPT_MS = 2_000;

/** Lets go of proven writes after their retention, or soon where the buffer is half full; until the signal. */
export async function trimBuffer(
  parts: {
    buffer: RedisWriteBuffer;
    mainWatch: MainWatch;
    limits: SecondarySiteConfig["buffer"];
    logger: Logger;
  },
  signal: AbortSignal,
): Promise<void> {
  const { buffer, mainWatch, limits, logger } = parts;
  const { maxWrites, maxBytes, retentionMs } = limits;
  while (!signal.aborted) {
    await sleep(TRIM_EVERY_MS, signal).catch(() => {});
    if (buffer.part.status.state !== "RUNNING") continue;
    const { size, bytes } = buffer.writes;
    // Proven writes are kept for a failover only; they must not be what new writes are refused for.
    const crowded = size > maxWrites / 2 || bytes > maxBytes / 2;
    const provenBefore = performance.now() - (crowded ? KEPT_MS : Math.max(KEPT_MS, retentionMs));
    if (buffer.writes.trimmableTo(provenBefore) === START) continue;
    // Last: main may have failed over since the proof. While it does not answer nothing says that it will not come back
    // older than it was.
    const decided = await mainWatch.askCursor(signal);
    if (decided === undefined && !crowded) continue;
    const proven = buffer.writes.trimmableTo(provenBefore);
    const to = decided !== undefined && decided < proven ? decided : proven;
    await buffer.trim(to).catch((error: unknown) => logger.warn({ error }, "the buffer could not be trimmed"));
  }
}
