import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { DescMethod } from "@bufbuild/protobuf";
import { Health } from "../../gen/ts/grpc/health/v1/health_pb.ts";
import { ServerReflection } from "../../gen/ts/grpc/reflection/v1/reflection_pb.ts";
import { ServerReflection as ServerReflectionAlpha } from "../../gen/ts/grpc/reflection/v1alpha/reflection_pb.ts";
import { AdminService } from "../../gen/ts/opsdb/v1/admin_service_pb.ts";
import { CatalogService } from "../../gen/ts/opsdb/v1/catalog_service_pb.ts";
import { QueryService } from "../../gen/ts/opsdb/v1/query_service_pb.ts";
import { ReplicationService } from "../../gen/ts/opsdb/v1/replication_service_pb.ts";
import { WriteService } from "../../gen/ts/opsdb/v1/write_service_pb.ts";
import { SiteCaller } from "../e2e/site-caller.ts";
import { eventually } from "../support/eventually.ts";
import { sql } from "../support/sql.ts";
import { type SiteRole, startTwoSite, type TwoSite } from "../support/two-site.ts";
import { type Dictionary, makeDictionary } from "./dictionary.ts";
import type { Holdings } from "./watched-process.ts";

export const roles: readonly SiteRole[] = ["main", "secondary"];

/** Every call there is. */
export const methods: readonly DescMethod[] = [
  WriteService,
  QueryService,
  ReplicationService,
  CatalogService,
  AdminService,
  Health,
  ServerReflection,
  ServerReflectionAlpha,
].flatMap((service) => service.methods);

/** Both sites, their servers in processes that can be looked into. */
export class FuzzSites implements AsyncDisposable {
  readonly sites: TwoSite;
  readonly callers: Record<SiteRole, SiteCaller>;
  readonly dictionary: Dictionary;
  readonly #pids: Record<SiteRole, number>;

  private constructor(sites: TwoSite, callers: Record<SiteRole, SiteCaller>, dictionary: Dictionary) {
    this.sites = sites;
    this.callers = callers;
    this.dictionary = dictionary;
    this.#pids = { main: sites.main.pid, secondary: sites.secondary.pid };
  }

  static async start(): Promise<FuzzSites> {
    const common = { SQL_QUERIES: "on" };
    const sites = await startTwoSite({
      servers: false,
      env: { main: common, secondary: { ...common, BUFFER_RETENTION: "1" } },
    });
    try {
      for (const role of roles) {
        const env = { TEST_HOLDINGS: holdingsFile(sites, role) };
        await sites[role].start({ imports: ["./test/fuzz/watched-process.ts"], env });
        await sites[role].ready();
      }
      const callers = { main: new SiteCaller(sites.main), secondary: new SiteCaller(sites.secondary) };
      const { tables } = await callers.main.catalog.listTables({});
      const described = await Promise.all(
        tables.map(({ name }) => callers.main.catalog.describeTable({ table: name })),
      );
      const dictionary = makeDictionary(described.flatMap(({ table }) => table ?? []));
      return new FuzzSites(sites, callers, dictionary);
    } catch (error) {
      await sites[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** What the server holds once its garbage is collected. */
  async holdings(role: SiteRole): Promise<Holdings> {
    const file = holdingsFile(this.sites, role);
    rmSync(file, { force: true });
    process.kill(this.sites[role].pid, "SIGUSR2");
    return await eventually(() => JSON.parse(readFileSync(file, "utf8")) as Holdings, Boolean, {
      timeoutMs: 30_000,
      what: `that the server of the ${role} site says what it holds`,
    });
  }

  /** Fails where a server has ended or is another process than at the beginning. */
  requireAlive(): void {
    for (const role of roles) {
      const { running, pid } = this.sites[role];
      if (!running || pid !== this.#pids[role])
        throw new Error(`the server of the ${role} site has ended:\n${this.log(role).slice(-4_000)}`);
    }
  }

  log(role: SiteRole): string {
    return readFileSync(join(this.sites.logs, `${role}.log`), "utf8");
  }

  /** What the server logged as errors, each kind once: bad input is no error of the server. */
  errors(role: SiteRole): string[] {
    const lines = this.log(role)
      .split("\n")
      .filter((line) => line !== "" && (!line.startsWith("{") || /"level":"(error|fatal)"/.test(line)))
      // A rejection is told to the operator by design, whoever wrote.
      .filter((line) => !line.includes('"main rejected an acknowledged write"'));
    return [...new Map(lines.map((line) => [line.replace(/"time":"[^"]*",?/, "").slice(0, 300), line])).values()];
  }

  /** Connections of the service to the databases that do something, or have a transaction open. */
  async busyConnections(): Promise<unknown[]> {
    const busy = await Promise.all(
      [this.sites.urls.main, this.sites.urls.secondary].map((url) =>
        sql(
          url,
          `select application_name, state, left(query, 200) as query from pg_stat_activity
          where backend_type = 'client backend' and pid <> pg_backend_pid() and state <> 'idle'`,
        ),
      ),
    );
    return busy.flat();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const role of roles) this.callers[role][Symbol.dispose]();
    await this.sites[Symbol.asyncDispose]();
  }
}

function holdingsFile(sites: TwoSite, role: SiteRole): string {
  return join(sites.logs, `${role}.holdings`);
}
