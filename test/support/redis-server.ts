import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Redis } from "ioredis";
import { Child } from "./child.ts";
import { eventually } from "./eventually.ts";
import { freePort } from "./free-port.ts";
import { removeAtEnd } from "./janitor.ts";

export interface RedisServerOptions {
  /** Lines of its configuration in place of the durable ones, for example { appendfsync: "everysec" }. */
  config?: Record<string, string>;
  /** Where its files go. Default: a temporary directory that is removed in the end. */
  directory?: string;
}

export interface RedisServer extends AsyncDisposable {
  readonly host: string;
  readonly port: number;
  readonly url: string;
  /** Where the append-only file is; undefined in a container. */
  readonly directory: string | undefined;
  /**
   * Starts it again with the same data on the same port; resolves when the data is loaded. `config` is in place of
   * single lines of its configuration, this time; a container keeps what it has.
   */
  start(config?: Record<string, string>): Promise<void>;
  stop(): Promise<void>;
  /** kill -9. */
  kill(): Promise<void>;
  /** Stops it where it is, without its clients noticing, until `thaw`. */
  freeze(): Promise<void>;
  thaw(): Promise<void>;
}

/** What the service asks of the Redis that holds its buffer. */
export const durableConfig: Record<string, string> = {
  appendonly: "yes",
  appendfsync: "always",
  "maxmemory-policy": "noeviction",
  save: "",
};

/** The program that runs Redis: TEST_REDIS_BIN, or a redis-server or valkey-server on the path. */
export function findRedis(): string | undefined {
  const candidates = [process.env.TEST_REDIS_BIN, "redis-server", "valkey-server", "/usr/bin/redis-server"];
  return candidates.find((command) => command && spawnSync(command, ["--version"]).status === 0);
}

/** A Redis that keeps what it acknowledged, on a port of the kernel's choice. */
export async function startRedis(options: RedisServerOptions = {}): Promise<RedisServer> {
  const command = findRedis();
  if (!command) throw new Error("no Redis found: install the package redis-server, or set TEST_REDIS_BIN");
  const directory = options.directory ?? mkdtempSync(join(tmpdir(), "opsdb-redis-"));
  if (!options.directory) removeAtEnd(directory);
  const server = new LocalRedis({ command, directory, port: await freePort(), config: options.config ?? {} });
  await server.start();
  return server;
}

class LocalRedis implements RedisServer {
  readonly host = "127.0.0.1";
  readonly port: number;
  readonly directory: string;
  readonly #command: string;
  readonly #config: Record<string, string>;
  #child: Child | undefined;

  constructor(options: { command: string; directory: string; port: number; config: Record<string, string> }) {
    this.#command = options.command;
    this.directory = options.directory;
    this.port = options.port;
    this.#config = options.config;
  }

  get url(): string {
    return `redis://${this.host}:${this.port}`;
  }

  async start(changed: Record<string, string> = {}): Promise<void> {
    if (this.#child?.running) throw new Error(`Redis on port ${this.port} is running`);
    const config: Record<string, string> = {
      bind: this.host,
      port: String(this.port),
      dir: this.directory,
      ...durableConfig,
      daemonize: "no",
      ...this.#config,
      ...changed,
    };
    const log = join(this.directory, "redis.log");
    const child = await Child.start({
      command: this.#command,
      args: Object.entries(config).flatMap(([name, value]) => [`--${name}`, value]),
      cwd: this.directory,
      log,
    });
    this.#child = child;
    await eventually(
      async () => (child.running ? await ping(this) : undefined),
      () => true,
      { timeoutMs: 30_000, everyMs: 10, what: `an answer from Redis on port ${this.port}` },
    );
    if (!child.running) {
      throw new Error(`Redis did not start: ${existsSync(log) ? readFileSync(log, "utf8").slice(-2_000) : ""}`);
    }
  }

  async stop(): Promise<void> {
    await this.#child?.end("SIGTERM");
  }

  async kill(): Promise<void> {
    await this.#child?.end("SIGKILL");
  }

  async freeze(): Promise<void> {
    this.#child?.signal("SIGSTOP");
  }

  async thaw(): Promise<void> {
    this.#child?.signal("SIGCONT");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** The files of a Redis, in the directory that is kept; the log is none of them. */
const appendOnlyDirectory = "appendonlydir";

/** Copies what a Redis, running or not, has on its disk. With `appendfsync always` that is all it has acknowledged. */
export function copyRedisFiles(from: string, to: string): void {
  rmSync(join(to, appendOnlyDirectory), { recursive: true, force: true });
  cpSync(join(from, appendOnlyDirectory), join(to, appendOnlyDirectory), { recursive: true });
}

/** Leaves a Redis that is not running without any data. */
export function removeRedisFiles(directory: string): void {
  rmSync(join(directory, appendOnlyDirectory), { recursive: true, force: true });
}

/** The file that commands are appended to just now. */
export function appendOnlyFile(directory: string): string {
  const files = readdirSync(join(directory, appendOnlyDirectory)).filter((name) => name.endsWith(".incr.aof"));
  const [file] = files;
  if (file === undefined || files.length > 1) throw new Error(`one file was expected, not ${files.join(", ")}`);
  return join(directory, appendOnlyDirectory, file);
}

/** Fails while the data is being loaded. */
export async function ping({ host, port }: { host: string; port: number }): Promise<void> {
  const client = new Redis(port, host, { lazyConnect: true, retryStrategy: () => null });
  client.on("error", () => {});
  try {
    await client.connect();
    await client.ping();
  } finally {
    client.disconnect();
  }
}
