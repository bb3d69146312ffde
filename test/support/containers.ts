import { readFileSync } from "node:fs";
import { join } from "node:path";
import { GenericContainer, getContainerRuntimeClient, Network, type StartedTestContainer, Wait } from "testcontainers";
import { eventually } from "./eventually.ts";
import { freePort } from "./free-port.ts";
import { Link } from "./link.ts";
import {
  type Address,
  caughtUp,
  type PostgresPair,
  type PostgresPairOptions,
  type PostgresServer,
  pauseReplay,
  resumeReplay,
  type StandbyServer,
} from "./postgres-pair.ts";
import { durableConfig, ping, type RedisServer, type RedisServerOptions } from "./redis-server.ts";
import { sql } from "./sql.ts";

const postgresImage = process.env.PG_IMAGE ?? "postgres:17";
const redisImage = process.env.REDIS_IMAGE ?? "redis:8";
const postgresReady = Wait.forLogMessage(/database system is ready to accept( read-only)? connections/);
const redisReady = Wait.forLogMessage("Ready to accept connections");

export async function hasDocker(): Promise<boolean> {
  try {
    await getContainerRuntimeClient();
    return true;
  } catch {
    return false;
  }
}

/** The same pair in containers. The address of a link is reached through the host. */
export async function startPostgresContainers(options: PostgresPairOptions = {}): Promise<PostgresPair> {
  await using stack = new AsyncDisposableStack();
  const network = await new Network().start();
  stack.defer(async () => {
    await network.stop();
  });
  const environment = { FSYNC: options.fsync ? "on" : "off" };
  const primary = stack.use(
    new PostgresContainer(
      await (await postgres(environment)).withNetwork(network).withNetworkAliases("primary").start(),
    ),
  );
  await sql(primary.url, "select pg_create_physical_replication_slot('standby', true)");
  const { host, port } = await reachable(stack, options, primary);
  const container = await postgres({ ...environment, ROLE: "standby", PRIMARY_HOST: host, PRIMARY_PORT: String(port) });
  const standby = stack.use(
    new StandbyContainer(
      await container
        .withNetwork(network)
        .withExtraHosts([{ host: "host.docker.internal", ipAddress: "host-gateway" }])
        .start(),
      primary,
    ),
  );
  const kept = stack.move();
  return { primary, standby, [Symbol.asyncDispose]: () => kept.disposeAsync() };
}

/** Redis in a container, with its data kept from one start to the next. */
export async function startRedisContainer(options: RedisServerOptions = {}): Promise<RedisServer> {
  const config = { ...durableConfig, ...options.config, "protected-mode": "no" };
  const container = await new GenericContainer(redisImage)
    .withEntrypoint(["redis-server"])
    .withCommand(Object.entries(config).flatMap(([name, value]) => [`--${name}`, value]))
    .withExposedPorts({ container: 6379, host: await freePort() })
    .withAutoRemove(false)
    .withWaitStrategy(redisReady)
    .start();
  return new RedisContainer(container);
}

async function postgres(environment: Record<string, string>): Promise<GenericContainer> {
  const entry = readFileSync(join(import.meta.dirname, "postgres-entry.sh"), "utf8");
  return new GenericContainer(postgresImage)
    .withCopyContentToContainer([{ content: entry, target: "/opsdb-entry.sh" }])
    .withEntrypoint(["/bin/sh", "/opsdb-entry.sh"])
    .withUser("postgres")
    .withEnvironment(environment)
    .withExposedPorts({ container: 5432, host: await freePort() })
    .withAutoRemove(false)
    .withWaitStrategy(postgresReady);
}

/** Where the standby finds the primary: by its name, or by the link, for which a second one opens a door. */
async function reachable(
  stack: AsyncDisposableStack,
  options: PostgresPairOptions,
  primary: Address,
): Promise<Address> {
  if (!options.standbyVia) return { host: "primary", port: 5432 };
  const door = stack.use(new Link({ listenHost: "0.0.0.0" }));
  const { port } = await door.forward(await options.standbyVia(primary));
  return { host: "host.docker.internal", port };
}

/** Starting, stopping and signalling a container that keeps its files and its port. */
class Container implements AsyncDisposable {
  readonly host: string;
  readonly port: number;
  readonly #container: StartedTestContainer;

  constructor(container: StartedTestContainer, port: number) {
    this.#container = container;
    this.host = container.getHost();
    this.port = container.getMappedPort(port);
  }

  protected async resume(): Promise<void> {
    await (await this.#docker()).start();
  }

  protected async end(signal: NodeJS.Signals): Promise<void> {
    const docker = await this.#docker();
    await docker.kill({ signal });
    await docker.wait();
  }

  protected async setFrozen(frozen: boolean): Promise<void> {
    const docker = await this.#docker();
    await (frozen ? docker.pause() : docker.unpause());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#container.stop({ timeout: 0, remove: true, removeVolumes: true });
  }

  async #docker() {
    return (await getContainerRuntimeClient()).container.getById(this.#container.getId());
  }
}

class PostgresContainer extends Container implements PostgresServer {
  constructor(container: StartedTestContainer) {
    super(container, 5432);
  }

  get url(): string {
    return this.urlOf("postgres");
  }

  urlOf(database: string): string {
    return `postgresql://postgres@${this.host}:${this.port}/${database}`;
  }

  async start(): Promise<void> {
    await this.resume();
    await eventually(
      () => sql(this.url, "select 1"),
      () => true,
      { timeoutMs: 60_000, what: "a connection" },
    );
  }

  async stop(): Promise<void> {
    await this.end("SIGINT");
  }

  async kill(): Promise<void> {
    await this.end("SIGQUIT");
  }
}

class StandbyContainer extends PostgresContainer implements StandbyServer {
  readonly #primary: PostgresServer;

  constructor(container: StartedTestContainer, primary: PostgresServer) {
    super(container);
    this.#primary = primary;
  }

  async pauseReplay(): Promise<void> {
    await pauseReplay(this.url);
  }

  async resumeReplay(): Promise<void> {
    await resumeReplay(this.url);
  }

  async promote(): Promise<void> {
    await sql(this.url, "select pg_promote(true, 60)");
  }

  async caughtUp(): Promise<void> {
    await caughtUp(this.#primary.url, this.url);
  }
}

class RedisContainer extends Container implements RedisServer {
  readonly directory = undefined;

  constructor(container: StartedTestContainer) {
    super(container, 6379);
  }

  get url(): string {
    return `redis://${this.host}:${this.port}`;
  }

  async start(): Promise<void> {
    await this.resume();
    await eventually(
      () => ping(this),
      () => true,
      { timeoutMs: 30_000, what: "an answer from Redis" },
    );
  }

  async stop(): Promise<void> {
    await this.end("SIGTERM");
  }

  async kill(): Promise<void> {
    await this.end("SIGKILL");
  }

  async freeze(): Promise<void> {
    await this.setFrozen(true);
  }

  async thaw(): Promise<void> {
    await this.setFrozen(false);
  }
}
