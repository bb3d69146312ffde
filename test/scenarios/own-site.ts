import { mkdtempSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { toJson } from "@bufbuild/protobuf";
import { Redis } from "ioredis";
import { text } from "../../demo/values.ts";
import { PartState, type ReplicationStatus, ReplicationStatusSchema } from "../../gen/ts/opsdb/v1/replication_pb.ts";
import { equals, SiteCaller } from "../e2e/site-caller.ts";
import type { ApiServer } from "../support/api-server.ts";
import { removeAtEnd } from "../support/janitor.ts";
import type { RedisServer } from "../support/redis-server.ts";
import { startRedisServer } from "../support/services.ts";
import { sql } from "../support/sql.ts";
import type { TwoSite } from "../support/two-site.ts";

export interface OwnSiteOptions {
  /** How many API servers. Default 1. */
  servers?: number;
  env?: Record<string, string>;
  /** Where its Redis is; it ends with the site. Default: one of its own. */
  redis?: RedisServer;
}

/** A drain that gets nowhere for so long, milliseconds, has failed. */
const STANDSTILL_MS = 20_000;

/**
 * A secondary site of a test's own on a shared pair of databases: another name, another Redis, other API servers. Its
 * writers write pairs of rows (`createPairs`), and every effect on main is noted in the order in which it came.
 */
export class OwnSite implements AsyncDisposable {
  readonly name: string;
  readonly sites: TwoSite;
  readonly redis: RedisServer;
  readonly servers: readonly ApiServer[];
  readonly callers: readonly SiteCaller[];

  private constructor(parts: { name: string; sites: TwoSite; redis: RedisServer; servers: ApiServer[] }) {
    this.name = parts.name;
    this.sites = parts.sites;
    this.redis = parts.redis;
    this.servers = parts.servers;
    this.callers = parts.servers.map((server) => new SiteCaller(server));
  }

  /** Resolves when every server can do its work. */
  static async start(sites: TwoSite, name: string, options: OwnSiteOptions = {}): Promise<OwnSite> {
    const redis = options.redis ?? (await startRedisServer());
    const env = {
      SITE_NAME: name,
      REDIS_URL: redis.url,
      PROCESSOR_LEASE_MS: "1000",
      MAIN_TIMEOUT_MS: "2000",
      STATUS_POLL_MS: "200",
      TRACKER_IDLE_POLL_MS: "100",
      ...options.env,
    };
    const servers = Array.from({ length: options.servers ?? 1 }, (_, i) =>
      sites.anotherServer("secondary", `${name}-${i}`, env),
    );
    // Servers start before their callers are made: a caller needs the port, which is kept from then on.
    await Promise.all(servers.map((server) => server.start()));
    const site = new OwnSite({ name, sites, redis, servers });
    try {
      await site.ready();
      return site;
    } catch (error) {
      await site[Symbol.asyncDispose]();
      throw error;
    }
  }

  get server(): ApiServer {
    return this.#first(this.servers);
  }

  get caller(): SiteCaller {
    return this.#first(this.callers);
  }

  async ready(): Promise<void> {
    await Promise.all(this.servers.map((server) => server.ready()));
  }

  /** Of a caller's site, as JSON: what is not set is not there. */
  async status(
    satisfies: (status: ReplicationStatus) => boolean = () => true,
    caller = this.caller,
  ): Promise<StatusJson> {
    return toJson(ReplicationStatusSchema, await caller.statusUntil(satisfies)) as unknown as StatusJson;
  }

  /** Resolves when every server says that nothing is on its way any more; fails where it stands still on the way there. */
  async drained(): Promise<void> {
    for (const caller of this.callers) {
      let least = Infinity;
      let since = performance.now();
      await caller.statusUntil(
        ({ buffer }) => {
          // While a server still reads the stream it knows of nothing that is on its way.
          if (buffer?.connection?.state === PartState.RUNNING) {
            const left = Number(buffer.pendingWrites + buffer.overlayWrites);
            if (left === 0) return true;
            if (left < least) [least, since] = [left, performance.now()];
          }
          if (performance.now() - since > STANDSTILL_MS) throw new Error(`the drain stands still at ${least} writes`);
          return false;
        },
        { timeoutMs: 600_000 },
      );
    }
  }

  /** One value of a server's metrics; undefined where it has no such line. */
  async metric(name: string, server = this.server): Promise<number | undefined> {
    const response = await fetch(`${server.baseUrl}/metrics`, { headers: { connection: "close" } });
    const line = (await response.text()).split("\n").find((each) => each.startsWith(`${name} `));
    return line === undefined ? undefined : Number(line.slice(name.length));
  }

  async healthz(server = this.server): Promise<Record<string, unknown>> {
    const response = await fetch(`${server.baseUrl}/healthz`, { headers: { connection: "close" } });
    return (await response.json()) as Record<string, unknown>;
  }

  /** Lines of all servers' logs of this level, by their text. */
  async logged(level: "warn" | "error"): Promise<string[]> {
    const logs = await Promise.all(
      this.servers.map((_, i) => readFile(join(this.sites.logs, `${this.name}-${i}.log`), "utf8")),
    );
    return logs
      .flatMap((log) => log.split("\n"))
      .filter((line) => line.startsWith("{"))
      .map((line) => JSON.parse(line) as { level: string; msg: string })
      .filter((line) => line.level === level)
      .map(({ msg }) => msg);
  }

  /** Commands to the site's Redis, past the service. */
  async redisCommand<T>(run: (redis: Redis) => Promise<T>): Promise<T> {
    const client = new Redis(this.redis.url, { lazyConnect: true, retryStrategy: () => null });
    client.on("error", () => {});
    try {
      await client.connect();
      return await run(client);
    } finally {
      client.disconnect();
    }
  }

  get stream(): string {
    return `opsdb:{${this.name}}:writes`;
  }

  /** Numbers of the pairs that a merged read shows whole; fails where one is shown in part. */
  async merged(caller = this.caller): Promise<number[]> {
    const { rows } = await caller.query("pairs", { where: equals("site", text(this.name)) });
    const parts = new Map<number, number>();
    for (const row of rows) {
      const n = Number(row.n?.kind.value);
      parts.set(n, (parts.get(n) ?? 0) + 1);
    }
    const torn = [...parts].filter(([, count]) => count !== 2);
    if (torn.length > 0) throw new Error(`a read shows writes in part: ${torn.map(([n]) => n).join(", ")}`);
    return [...parts.keys()].sort((a, b) => a - b);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const caller of this.callers) caller[Symbol.dispose]();
    await Promise.all(this.servers.map((server) => server.stop()));
    await this.redis[Symbol.asyncDispose]();
  }

  #first<T>([first]: readonly T[]): T {
    if (first === undefined) throw new Error("the site has no server");
    return first;
  }
}

/** A status in the JSON form of its message, as far as tests ask for it. */
export interface StatusJson {
  buffer: { alarm: string; connection: { state: string; reason?: string }; loss?: { at?: string; message?: string } };
  processor: { state: { state: string; reason?: string } };
}

/** The table that writers write to; each effect on it is noted, and the value "poison" is refused by main alone. */
export async function createPairs(sites: TwoSite): Promise<void> {
  await sql(
    sites.urls.main,
    `create table pairs (site text, n int, part int, value text not null, primary key (site, n, part));
     create table effects (seq bigint generated always as identity primary key, site text, n int, part int);
     create index on effects (site, seq);
     create function note_effect() returns trigger language plpgsql as $$
       begin
         if new.value = 'poison' then raise exception 'poison' using errcode = '23514'; end if;
         insert into effects (site, n, part) values (new.site, new.n, new.part);
         return new;
       end $$;
     create trigger note_effect after insert or update on pairs for each row execute function note_effect()`,
  );
  await sites.standby.caughtUp();
}

/** A directory that is removed in the end. */
export function temporaryDirectory(): string {
  const path = mkdtempSync(join(tmpdir(), "opsdb-copy-"));
  removeAtEnd(path);
  return path;
}
