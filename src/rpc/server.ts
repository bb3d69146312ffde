import type { Registry } from "prom-client";
import { file_google_rpc_error_details } from "../../gen/ts/google/rpc/error_details_pb.ts";
import { file_grpc_health_v1_health, Health } from "../../gen/ts/grpc/health/v1/health_pb.ts";
import { file_grpc_reflection_v1_reflection, ServerReflection } from "../../gen/ts/grpc/reflection/v1/reflection_pb.ts";
import {
  file_grpc_reflection_v1alpha_reflection,
  ServerReflection as ServerReflectionAlpha,
} from "../../gen/ts/grpc/reflection/v1alpha/reflection_pb.ts";
import { AdminService, file_opsdb_v1_admin_service } from "../../gen/ts/opsdb/v1/admin_service_pb.ts";
import { CatalogService, file_opsdb_v1_catalog_service } from "../../gen/ts/opsdb/v1/catalog_service_pb.ts";
import { file_opsdb_v1_error_reason } from "../../gen/ts/opsdb/v1/error_reason_pb.ts";
import { file_opsdb_v1_query_service, QueryService } from "../../gen/ts/opsdb/v1/query_service_pb.ts";
import { file_opsdb_v1_replication_service, ReplicationService } from "../../gen/ts/opsdb/v1/replication_service_pb.ts";
import { file_opsdb_v1_write_service, WriteService } from "../../gen/ts/opsdb/v1/write_service_pb.ts";
import type { Access, SecurityConfig } from "../config-security.ts";
import type { Logger } from "../lib/logger.ts";
import { TokenBucket } from "../lib/token-bucket.ts";
import type { Authenticator } from "../security/authenticator.ts";
import type { Certificates } from "../security/certificate-files.ts";
import type { Site } from "../site/site.ts";
import { adminService } from "./admin-service.ts";
import { catalogService } from "./catalog-service.ts";
import { connectAdapter } from "./connect-adapter.ts";
import { errorMapping } from "./error-mapping.ts";
import { Front, type FrontTls } from "./front.ts";
import { Gate } from "./gate.ts";
import { HealthReport, healthMetrics, healthService, shuttingDown } from "./health.ts";
import { logHealth } from "./health-log.ts";
import type { Keepalive } from "./keepalive.ts";
import { RpcMetrics } from "./metrics.ts";
import { plainRequests } from "./plain-requests.ts";
import { queryService } from "./query-service.ts";
import { Reflector, registerReflection } from "./reflection.ts";
import { replicationService } from "./replication-service.ts";
import { createHandlers } from "./routes.ts";
import { tableAccess } from "./table-access.ts";
import { tracing } from "./tracing.ts";
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
  /** Left out: everybody may do everything, in plaintext. */
  security?: ServerSecurity;
}

export interface ServerSecurity {
  /** Undefined: plaintext. */
  certificates: Certificates | undefined;
  /** Undefined: nobody is asked for a token. */
  authenticator: Authenticator | undefined;
  access: SecurityConfig["access"];
}

export interface Server {
  listen(address: { host: string; port: number }): Promise<{ host: string; port: number }>;
  /** With TLS: shows these certificates from now on. */
  useCertificates(certificates: Certificates): void;
  /**
   * Health says NOT_SERVING, connections are told to go (GOAWAY), watches end with SHUTTING_DOWN, running calls have the
   * given time, milliseconds, and what is left then is cut. Resolves when nothing is open.
   */
  close(graceMs: number): Promise<void>;
}

/** The one port of a process: every service in every protocol, with health, reflection and metrics. */
export function createServer(options: ServerOptions): Server {
  const { site, limits, logger, registry, keepalive = defaultKeepalive, security = noSecurity } = options;
  const { access, authenticator, certificates } = security;
  const stopping = new AbortController();
  const ending = new AbortController();
  const health = new HealthReport(site, stopping.signal);
  healthMetrics(health, registry);
  const reflector = new Reflector(describedFiles);
  const services = describedFiles.flatMap((file) => file.services);
  const metrics = new RpcMetrics(registry, services);
  const gate = authenticator && new Gate({ authenticator, logger, access: accessByService(access) });
  const handlers = createHandlers({
    messageBytes: limits.messageBytes,
    ending: ending.signal,
    interceptors: [metrics.interceptor, tracing, errorMapping(logger), ...(gate ? [tableAccess] : [])],
    services(add, router) {
      add(WriteService, writeService({ site, maxMutations: limits.mutations, stopping: stopping.signal }));
      add(QueryService, queryService(site));
      add(ReplicationService, replicationService({ site, stopping: stopping.signal }));
      add(CatalogService, catalogService(site));
      add(AdminService, adminService(site));
      if (access.health !== "closed") add(Health, healthService(health));
      if (access.reflection !== "closed") registerReflection(router, reflector);
    },
  });
  const fallback = plainRequests({ health, registry, logger, access, gate });
  const refused = metrics.refused.bind(metrics);
  const front = new Front({
    handler: connectAdapter({ handlers, fallback, logger, gate, refused }),
    keepalive,
    tls: certificates && { certificates, refused: connectionLog(logger) },
  });
  let healthLog: Promise<void> | undefined;
  return {
    async listen(address) {
      const listening = await front.listen(address);
      healthLog = logHealth({ report: health, moves: site.health, logger, stopping: stopping.signal });
      return listening;
    },
    useCertificates: (changed) => front.useCertificates(changed),
    async close(graceMs) {
      // Calls still get their status; only what does not even end then is cut.
      const end = setTimeout(() => ending.abort(shuttingDown()), graceMs);
      const closed = front.close(graceMs + LAST_WORD_MS);
      stopping.abort();
      await closed;
      await healthLog;
      clearTimeout(end);
    },
  };
}

const noSecurity: ServerSecurity = {
  certificates: undefined,
  authenticator: undefined,
  access: { reflection: "open", health: "open", metrics: "open" },
};

/** Of the services that are not this one's own. */
function accessByService({ health, reflection }: SecurityConfig["access"]): ReadonlyMap<string, Access> {
  return new Map([
    [Health.typeName, health],
    [ServerReflection.typeName, reflection],
    [ServerReflectionAlpha.typeName, reflection],
  ]);
}

/** Anybody can open connections that fail: some of them are told, the rest is silence. */
function connectionLog(logger: Logger): FrontTls["refused"] {
  const told = new TokenBucket({ perSecond: 1, burst: 20 });
  return (peer, reason) => {
    if (told.take(1)) logger.warn({ peer, reason }, "a connection was refused: no TLS as it is wanted here");
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
