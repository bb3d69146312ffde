import type { Registry } from "prom-client";
import { file_google_rpc_error_details } from "../../gen/ts/google/rpc/error_details_pb.ts";
import { file_grpc_health_v1_health, Health } from "../../gen/ts/grpc/health/v1/health_pb.ts";
import { file_grpc_reflection_v1_reflection } from "../../gen/ts/grpc/reflection/v1/reflection_pb.ts";
import { file_grpc_reflection_v1alpha_reflection } from "../../gen/ts/grpc/reflection/v1alpha/reflection_pb.ts";
import { AdminService, file_opsdb_v1_admin_service } from "../../gen/ts/opsdb/v1/admin_service_pb.ts";
import { CatalogService, file_opsdb_v1_catalog_service } from "../../gen/ts/opsdb/v1/catalog_service_pb.ts";
import { file_opsdb_v1_error_reason } from "../../gen/ts/opsdb/v1/error_reason_pb.ts";
import { file_opsdb_v1_query_service, QueryService } from "../../gen/ts/opsdb/v1/query_service_pb.ts";
import { file_opsdb_v1_replication_service, ReplicationService } from "../../gen/ts/opsdb/v1/replication_service_pb.ts";
import { file_opsdb_v1_write_service, WriteService } from "../../gen/ts/opsdb/v1/write_service_pb.ts";
import type { Logger } from "../lib/logger.ts";
import type { Site } from "../site/site.ts";
import { adminService } from "./admin-service.ts";
import { catalogService } from "./catalog-service.ts";
import { connectAdapter } from "./connect-adapter.ts";
import { errorMapping } from "./error-mapping.ts";
import { Front } from "./front.ts";
import { HealthReport, healthService, shuttingDown } from "./health.ts";
import type { Keepalive } from "./keepalive.ts";
import { RpcMetrics } from "./metrics.ts";
import { plainRequests } from "./plain-requests.ts";
import { queryService } from "./query-service.ts";
import { Reflector, registerReflection } from "./reflection.ts";
import { replicationService } from "./replication-service.ts";
import { createHandlers } from "./routes.ts";
import { writeService } from "./write-service.ts";

export interface ServerLimits {
  /** The largest message that is read, bytes. */
  messageBytes: number;
  /** The most mutations of one write. */
  mutations: number;
}

export const defaultLimits: ServerLimits = { messageBytes: 4 * 1024 * 1024, mutations: 10_000 };

export interface ServerOptions {
  site: Site;
  limits: ServerLimits;
  logger: Logger;
  /** Served under /metrics; the calls are counted in it. */
  registry: Registry;
  keepalive?: Keepalive;
}

export interface Server {
  listen(address: { host: string; port: number }): Promise<{ host: string; port: number }>;
  /**
   * Health says NOT_SERVING, connections are told to go (GOAWAY), watches end with SHUTTING_DOWN, running calls have the
   * given time, milliseconds, and what is left then is cut. Resolves when nothing is open.
   */
  close(graceMs: number): Promise<void>;
}

/** The one port of a process: every service in every protocol, with health, reflection and metrics. */
export function createServer({ site, limits, logger, registry, keepalive = defaultKeepalive }: ServerOptions): Server {
  const stopping = new AbortController();
  const ending = new AbortController();
  const health = new HealthReport(site, stopping.signal);
  const reflector = new Reflector(describedFiles);
  const handlers = createHandlers({
    messageBytes: limits.messageBytes,
    ending: ending.signal,
    interceptors: [new RpcMetrics(registry).interceptor, errorMapping(logger)],
    services(add, router) {
      add(WriteService, writeService({ site, maxMutations: limits.mutations, stopping: stopping.signal }));
      add(QueryService, queryService(site));
      add(ReplicationService, replicationService({ site, stopping: stopping.signal }));
      add(CatalogService, catalogService(site));
      add(AdminService, adminService(site));
      add(Health, healthService(health));
      registerReflection(router, reflector);
    },
  });
  const fallback = plainRequests({ health, registry, logger });
  const front = new Front({ handler: connectAdapter({ handlers, fallback, logger }), keepalive });
  return {
    listen: (address) => front.listen(address),
    async close(graceMs) {
      // Calls still get their status; only what does not even end then is cut.
      const end = setTimeout(() => ending.abort(shuttingDown()), graceMs);
      const closed = front.close(graceMs + LAST_WORD_MS);
      stopping.abort();
      await closed;
      clearTimeout(end);
    },
  };
}

/** Time between the end of the calls and the cut, milliseconds. */
const LAST_WORD_MS = 500;

const defaultKeepalive: Keepalive = { everyMs: 10_000, timeoutMs: 5_000 };

const describedFiles = [
  file_opsdb_v1_admin_service,
  file_opsdb_v1_catalog_service,
  file_opsdb_v1_error_reason,
  file_opsdb_v1_query_service,
  file_opsdb_v1_replication_service,
  file_opsdb_v1_write_service,
  file_google_rpc_error_details,
  file_grpc_health_v1_health,
  file_grpc_reflection_v1_reflection,
  file_grpc_reflection_v1alpha_reflection,
];
