import type { Redis } from "ioredis";
import { START } from "../position.ts";
import { Stream } from "./stream.ts";

/**
 * Whether no entry has ever left the stream under the key, as far as its mark tells, and it was not begun anew behind
 * positions that were given before. False where Redis does not say.
 */
export async function neverTrimmed(redis: Redis, key: string): Promise<boolean> {
  const stream = new Stream(redis, key);
  try {
    const [{ added, trimmedTo }, moved] = await Promise.all([stream.info(), stream.wasMoved()]);
    return added !== undefined && trimmedTo === START && !moved;
  } catch {
    return false;
  }
}
