import type { Redis } from "ioredis";

/** Whether no entry has ever left the stream under the key. False where Redis does not say. */
export async function neverTrimmed(redis: Redis, key: string): Promise<boolean> {
  const info = (await redis.xinfo("STREAM", key).catch(() => [])) as unknown[];
  const [length, added] = ["length", "entries-added"].map((name) => info[info.indexOf(name) + 1]);
  return info.includes("entries-added") && length === added;
}
