import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Redis } from "ioredis";
import { migrate } from "../../src/postgres/migrate.ts";
import { ApiServer } from "../support/api-server.ts";
import type { Link } from "../support/link.ts";
import type { PostgresServer, StandbyServer } from "../support/postgres-pair.ts";
import type { RedisServer } from "../support/redis-server.ts";
import { sql } from "../support/sql.ts";
import { type SiteRole, startTwoSite, type TwoSite } from "../support/two-site.ts";

/** The two sites of one run: a database, a site name and API servers of its own, on databases and a Redis that stay. */
export class ChaosSites implements AsyncDisposable {
  readonly link: Link;
  readonly primary: PostgresServer;
  readonly standby: StandbyServer;
  readonly redis: RedisServer;
  readonly name: string;
  readonly main: ApiServer;
  /** Both servers of the secondary site. */
  readonly secondary: ApiServer;
  readonly second: ApiServer;
  readonly #clock: string;

  private constructor(parts: TwoSite, options: ChaosSitesOptions) {
    this.link = parts.link;
    this.primary = parts.primary;
    this.standby = parts.standby;
    this.redis = parts.redis;
    this.name = options.name;
    this.#clock = join(options.directory, "clock-offset-ms");
    this.setClock(0);
    const server = (role: SiteRole, name: string): ApiServer => {
      const env = { ...parts.environment(role), ...this.#environment(role), ...options.env };
      return new ApiServer({ env, log: join(options.directory, `${name}.log`) });
    };
    this.main = server("main", "main");
    this.secondary = server("secondary", "secondary");
    this.second = server("secondary", "second");
  }

  static async start(parts: TwoSite, options: ChaosSitesOptions): Promise<ChaosSites> {
    mkdirSync(options.directory, { recursive: true });
    const sites = new ChaosSites(parts, options);
    try {
      await sql(sites.primary.url, `create database ${sites.name}`);
      await migrate(sites.mainUrl);
      await sql(sites.mainUrl, readFileSync(join(import.meta.dirname, "schema.sql"), "utf8"));
      await sites.standby.caughtUp();
      await Promise.all(sites.#servers.map((server) => server.start().then(() => server.ready())));
      return sites;
    } catch (error) {
      await sites[Symbol.asyncDispose]();
      throw error;
    }
  }

  get mainUrl(): string {
    return this.primary.urlOf(this.name);
  }

  get standbyUrl(): string {
    return this.standby.urlOf(this.name);
  }

  /** The name under which the secondary site writes. */
  get secondaryName(): string {
    return siteName(this.name, "secondary");
  }

  /** By how much the clock of the secondary site's hosts is wrong, from now on, milliseconds. */
  setClock(offsetMs: number): void {
    writeFileSync(this.#clock, String(offsetMs));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#servers.map((server) => server.kill()));
    await sql(this.primary.url, `drop database if exists ${this.name} with (force)`);
    await this.#removeKeys();
  }

  get #servers(): ApiServer[] {
    return [this.main, this.secondary, this.second];
  }

  #environment(role: SiteRole): Record<string, string> {
    const clock = join(import.meta.dirname, "..", "support", "stepped-clock.ts");
    return {
      MAIN_DB_NAME: this.name,
      LOCAL_DB_NAME: this.name,
      SITE_NAME: siteName(this.name, role),
      ...shortTimes,
      ...(role === "secondary" && { NODE_OPTIONS: `--import=${clock}`, TEST_CLOCK_FILE: this.#clock }),
    };
  }

  async #removeKeys(): Promise<void> {
    const redis = new Redis(this.redis.url);
    try {
      const keys = await redis.keys(`*${this.name}-*`);
      if (keys.length > 0) await redis.del(...keys);
    } finally {
      redis.disconnect();
    }
  }
}

function siteName(name: string, role: SiteRole): string {
  return `${name}-${role}`;
}

export interface ChaosSitesOptions {
  /** Of the database, and part of the sites' names. */
  name: string;
  /** Where the servers' logs go. */
  directory: string;
  /** More configuration of the servers, by environment names. */
  env?: Record<string, string>;
}

/** The parts that stay from run to run. */
export async function startChaosParts(): Promise<TwoSite> {
  return await startTwoSite({ servers: false });
}

/** So that half a minute has many faults that are noticed, and healed. */
const shortTimes = {
  PROCESSOR_LEASE_MS: "1000",
  PROCESSOR_BATCH_WRITES: "20",
  MAIN_TIMEOUT_MS: "1500",
  LOCAL_TIMEOUT_MS: "1500",
  BUFFER_RETENTION: "2",
  TRACKER_IDLE_POLL_MS: "100",
  STATUS_POLL_MS: "100",
  CATALOG_REFRESH_MS: "1000",
  SHUTDOWN_GRACE_MS: "1000",
};
