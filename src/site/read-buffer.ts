import type { RedisWriteBuffer } from "../buffer/redis-write-buffer.ts";
import { OpsDbError } from "../errors.ts";

/**
 * Answers whether memory is up to date with the stream; waits for a load that is under way, until the signal. Throws
 * where the stream was not read to its end.
 */
export async function readBuffer(buffer: RedisWriteBuffer, signal: AbortSignal): Promise<boolean> {
  const upToDate = await buffer.catchUp(signal);
  if (buffer.complete.value) return upToDate;
  throw new OpsDbError("BUFFER_UNAVAILABLE", `the buffer has not been read yet: ${buffer.part.status.reason}`, {
    retryAfterMs: 1_000,
  });
}
