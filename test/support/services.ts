import {
  NoLocalPostgresError,
  type PostgresPair,
  type PostgresPairOptions,
  startPostgresPair,
} from "./postgres-pair.ts";
import { findRedis, type RedisServer, type RedisServerOptions, startRedis } from "./redis-server.ts";

/** A pair from local binaries, or else in containers. */
export async function startPair(options: PostgresPairOptions = {}): Promise<PostgresPair> {
  try {
    return await startPostgresPair(options);
  } catch (error) {
    if (!(error instanceof NoLocalPostgresError)) throw error;
    const { startPostgresContainers } = await containers(error.message);
    return startPostgresContainers(options);
  }
}

/** Redis from a local program, or else in a container. */
export async function startRedisServer(options: RedisServerOptions = {}): Promise<RedisServer> {
  if (findRedis()) return startRedis(options);
  const { startRedisContainer } = await containers("no Redis found: install the package redis-server");
  return startRedisContainer(options);
}

/** The module is heavy and wants Docker, so it is loaded where nothing else is there. */
async function containers(missing: string): Promise<typeof import("./containers.ts")> {
  const module = await import("./containers.ts");
  if (!(await module.hasDocker())) throw new Error(`${missing}, or start Docker`);
  return module;
}
