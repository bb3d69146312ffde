import { Code, ConnectError, type HandlerContext, type ServiceImpl } from "@connectrpc/connect";
import { Gauge, type Registry } from "prom-client";
import {
  type HealthCheckRequest,
  type HealthCheckResponse,
  type Health as HealthService,
  HealthCheckResponse_ServingStatus as Status,
} from "../../gen/ts/grpc/health/v1/health_pb.ts";
import { OpsDbError } from "../errors.ts";
import { linkSignals } from "../lib/linked-signal.ts";
import type { Health, Site } from "../site/site.ts";

/**
 * What this process can do, by the names that grpc.health.v1 clients ask for: "" while the process serves, and each
 * service of its own. Once stopping, nothing serves.
 */
export class HealthReport {
  readonly #site: Pick<Site, "health" | "catalog">;
  readonly #stopping: AbortSignal;

  constructor(site: Pick<Site, "health" | "catalog">, stopping: AbortSignal) {
    this.#site = site;
    this.#stopping = stopping;
  }

  all(): Record<string, Health> {
    const { write, query, replication } = this.#site.health.value;
    const names = {
      "": serving,
      "opsdb.v1.WriteService": write,
      "opsdb.v1.WriteService/headroom": headroom(write),
      "opsdb.v1.QueryService": query,
      "opsdb.v1.ReplicationService": replication,
      "opsdb.v1.CatalogService": this.#catalog(),
    };
    if (!this.#stopping.aborted) return names;
    return Object.fromEntries(Object.keys(names).map((name) => [name, { serving: false, reason: "shutting down" }]));
  }

  status(service: string): Status | undefined {
    const all = this.all();
    const health = Object.hasOwn(all, service) ? all[service] : undefined; // "constructor" is a name like any other
    return health && (health.serving ? Status.SERVING : Status.NOT_SERVING);
  }

  /** The status now, then on every change; ends with SHUTTING_DOWN after the last. */
  async *watch(service: string, signal: AbortSignal): AsyncGenerator<HealthCheckResponse> {
    using linked = linkSignals(signal, this.#stopping);
    let told: Status | undefined;
    for (;;) {
      const { aborted: last } = this.#stopping;
      const version = this.#site.health.version;
      const status = this.status(service) ?? Status.SERVICE_UNKNOWN;
      if (status !== told) yield { $typeName: "grpc.health.v1.HealthCheckResponse", status };
      told = status;
      if (last) throw shuttingDown();
      try {
        await this.#site.health.changed(version, linked.signal);
      } catch (error) {
        if (signal.aborted || !this.#stopping.aborted) throw error;
      }
    }
  }

  #catalog(): Health {
    try {
      this.#site.catalog();
      return serving;
    } catch (error) {
      if (error instanceof OpsDbError) return { serving: false, reason: error.message };
      throw error;
    }
  }
}

const serving: Health = { serving: true };

/** Turns before writes are refused, for whoever wants to be warned. */
function headroom(write: Health): Health {
  return write.serving && write.degraded !== undefined ? { serving: false, reason: write.degraded } : write;
}

/** The same as health clients are told, but for "", which a scrape that is answered tells. */
export function healthMetrics(report: HealthReport, registry: Registry): void {
  new Gauge({
    name: "opsdb_health_serving",
    help: "1 while the service of this name serves",
    labelNames: ["service"],
    registers: [registry],
    collect() {
      for (const [service, { serving }] of Object.entries(report.all()))
        if (service !== "") this.set({ service }, serving ? 1 : 0);
    },
  });
}

export function shuttingDown(): OpsDbError {
  return new OpsDbError("SHUTTING_DOWN", "the server is shutting down", { retryAfterMs: 1000 });
}

export function healthService(report: HealthReport): ServiceImpl<typeof HealthService> {
  return {
    check({ service }) {
      const status = report.status(service);
      if (status === undefined) throw new ConnectError(`unknown service ${service}`, Code.NotFound);
      return { status };
    },
    list() {
      const names = Object.keys(report.all());
      return { statuses: Object.fromEntries(names.map((name) => [name, { status: report.status(name) as Status }])) };
    },
    watch: (request: HealthCheckRequest, context: HandlerContext) => report.watch(request.service, context.signal),
  };
}
