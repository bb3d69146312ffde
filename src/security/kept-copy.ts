import { Redis } from "ioredis";

/** Keeps a text where it can be read while the databases, or an identity provider, are away. */
export interface KeptCopy {
  load(): Promise<string | undefined>;
  /** Without overwrite: where there is none. */
  save(text: string, overwrite: boolean): Promise<void>;
}

/** A copy in Redis. It changes seldom, so each use has a connection of its own, and ends within twice the time, milliseconds. */
export function redisCopy({ url, key, timeoutMs }: { url: string; key: string; timeoutMs: number }): KeptCopy {
  const using = async <T>(work: (redis: Redis) => Promise<T>): Promise<T> => {
    const redis = new Redis(url, {
      lazyConnect: true,
      connectTimeout: timeoutMs,
      commandTimeout: timeoutMs,
      maxRetriesPerRequest: 0,
      retryStrategy: () => null,
    });
    redis.on("error", () => {}); // commands reject with the cause
    try {
      await redis.connect();
      return await work(redis);
    } finally {
      redis.disconnect();
    }
  };
  return {
    load: () => using(async (redis) => (await redis.get(key)) ?? undefined),
    save: (text, overwrite) =>
      using(async (redis) => void (await (overwrite ? redis.set(key, text) : redis.set(key, text, "NX")))),
  };
}
