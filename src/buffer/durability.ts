import type { Redis } from "ioredis";
import { OpsDbError } from "../errors.ts";
import { sleep } from "../lib/abort.ts";

/** The first major version of Redis whose streams keep the greatest position that was deleted. */
const OLDEST = 7;

const required = {
  appendonly: ["yes"],
  appendfsync: ["always"],
  "maxmemory-policy": ["noeviction"],
};

/**
 * Makes sure that an acknowledged append survives a power cut: settings that fsync every command before its answer and
 * never evict, a version that tells what was trimmed from what was lost, a server that has finished loading, and, after each restart of Redis, a rewritten append-only file
 * (a torn tail left by the crash can otherwise swallow later writes at the next restart; facts.md, Redis 2).
 * Throws BUFFER_NOT_DURABLE that names each setting at fault. `verifiedKey` holds the run_id of the server whose file
 * was rewritten last, so that a restart of this process alone does not rewrite it again.
 */
export async function verifyDurability(redis: Redis, verifiedKey: string, signal: AbortSignal): Promise<void> {
  const problems: string[] = [];
  for (const [name, allowed] of Object.entries(required)) {
    const [, value = "unknown"] = (await redis.config("GET", name)) as string[];
    if (!allowed.includes(value)) problems.push(`${name} is ${value}, must be ${allowed.join(" or ")}`);
  }
  if (problems.length > 0)
    throw new OpsDbError("BUFFER_NOT_DURABLE", `Redis does not promise durability: ${problems.join("; ")}`);

  const server = await redis.info("server");
  const version = field(server, "redis_version");
  if (Number.parseInt(version, 10) < OLDEST)
    throw new OpsDbError(
      "BUFFER_NOT_DURABLE",
      `Redis is ${version}, must be ${OLDEST}.0 or newer: older ones do not keep up to where a stream was trimmed (max-deleted-entry-id), and what was trimmed could not be told from what was lost`,
    );
  const runId = field(server, "run_id");
  if ((await redis.get(verifiedKey)) === runId) return;
  // A rewrite that runs already may have started before the crash's remains were read; only one that we ask for counts.
  await rewriteFinished(redis, signal);
  await redis.bgrewriteaof();
  await rewriteFinished(redis, signal);
  const status = field(await redis.info("persistence"), "aof_last_bgrewrite_status");
  if (status !== "ok")
    throw new OpsDbError("BUFFER_NOT_DURABLE", `Redis could not rewrite its append-only file: ${status}`);
  await redis.set(verifiedKey, runId).catch((error: unknown) => {
    if (!isOutOfMemory(error)) throw error; // then the file is rewritten once more at the next start
  });
}

/** Redis refuses to store anything more, and still answers. */
export function isOutOfMemory(error: unknown): boolean {
  return error instanceof Error && error.message.startsWith("OOM");
}

/** Marks can wait until there is room; what matters is the stream. */
export function ignoreOutOfMemory(error: unknown): undefined {
  if (isOutOfMemory(error)) return undefined;
  throw error;
}

async function rewriteFinished(redis: Redis, signal: AbortSignal): Promise<void> {
  for (;;) {
    const info = await redis.info("persistence");
    if (field(info, "aof_rewrite_in_progress") === "0" && field(info, "aof_rewrite_scheduled") === "0") return;
    await sleep(20, signal);
  }
}

function field(info: string, name: string): string {
  return new RegExp(`^${name}:(.*?)\r?$`, "m").exec(info)?.[1] ?? "";
}
