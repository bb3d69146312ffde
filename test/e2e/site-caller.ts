import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { type Client, Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import type { MutationInit, Row } from "../../demo/site-client.ts";
import { BadRequestSchema, ErrorInfoSchema } from "../../gen/ts/google/rpc/error_details_pb.ts";
import { Health, type HealthCheckResponse_ServingStatus } from "../../gen/ts/grpc/health/v1/health_pb.ts";
import { AdminService } from "../../gen/ts/opsdb/v1/admin_service_pb.ts";
import { CatalogService } from "../../gen/ts/opsdb/v1/catalog_service_pb.ts";
import {
  ComparisonOperator,
  type ConditionSchema,
  type QueryHeader,
  type QueryRequestSchema,
  type QueryResponse,
} from "../../gen/ts/opsdb/v1/query_pb.ts";
import { QueryService } from "../../gen/ts/opsdb/v1/query_service_pb.ts";
import type { ReplicationStatus, WatchReplicationRequestSchema } from "../../gen/ts/opsdb/v1/replication_pb.ts";
import { ReplicationService } from "../../gen/ts/opsdb/v1/replication_service_pb.ts";
import type { Value } from "../../gen/ts/opsdb/v1/value_pb.ts";
import { WriteRequestSchema, type WriteResponse, WriteState } from "../../gen/ts/opsdb/v1/write_pb.ts";
import { WriteService } from "../../gen/ts/opsdb/v1/write_service_pb.ts";

export type WriteInit = Omit<MessageInitShape<typeof WriteRequestSchema>, "mutations" | "$typeName">;

export interface QueryResult {
  header: QueryHeader;
  rows: Row[];
}

const callMs = 20_000;

/** A site as a client sees it: every service over one gRPC connection. */
export class SiteCaller implements Disposable {
  readonly writes: Client<typeof WriteService>;
  readonly queries: Client<typeof QueryService>;
  readonly replication: Client<typeof ReplicationService>;
  readonly catalog: Client<typeof CatalogService>;
  readonly admin: Client<typeof AdminService>;
  readonly health: Client<typeof Health>;
  readonly #session: Http2SessionManager;

  constructor({ baseUrl }: { baseUrl: string }) {
    this.#session = new Http2SessionManager(baseUrl);
    const transport = createGrpcTransport({ baseUrl, sessionManager: this.#session, defaultTimeoutMs: callMs });
    this.writes = createClient(WriteService, transport);
    this.queries = createClient(QueryService, transport);
    this.replication = createClient(ReplicationService, transport);
    this.catalog = createClient(CatalogService, transport);
    this.admin = createClient(AdminService, transport);
    this.health = createClient(Health, transport);
  }

  write(mutations: MutationInit[], options: WriteInit = {}): Promise<WriteResponse> {
    return this.writes.write({ ...options, mutations });
  }

  /** The whole result. */
  async query(table: string, options: MessageInitShape<typeof QueryRequestSchema> = {}): Promise<QueryResult> {
    return resultOf(await Array.fromAsync(this.queries.query({ ...options, table })));
  }

  /** Each state of the write from now on until it is home or rejected. */
  async follow(writeId: string | undefined): Promise<WriteState[]> {
    const states: WriteState[] = [];
    for await (const { event } of this.replication.watchReplication({ writeId: writeId ?? "", untilDone: true }))
      if (event.case === "write") states.push(event.value.state);
    return states;
  }

  /** Resolves when the write is on the site's replica. */
  async home(writeId: string | undefined): Promise<void> {
    const last = (await this.follow(writeId)).at(-1);
    if (last !== WriteState.REPLICATED) throw new Error(`write ${writeId} ended as ${last}`);
  }

  /** The first status of which this is true; `timeoutMs` instead of the caller's own. */
  async statusUntil(
    satisfies: (status: ReplicationStatus) => boolean,
    options: { timeoutMs?: number } = {},
  ): Promise<ReplicationStatus> {
    const request: MessageInitShape<typeof WatchReplicationRequestSchema> = { heartbeat: { nanos: 200_000_000 } };
    let last: ReplicationStatus | undefined;
    const done = new AbortController(); // leaving the loop does not end the call
    try {
      for await (const { event } of this.replication.watchReplication(request, { ...options, signal: done.signal })) {
        if (event.case !== "status") continue;
        last = event.value;
        if (satisfies(last)) return last;
      }
    } catch (cause) {
      throw new Error(`no such status came; last: ${show(last)}`, { cause });
    } finally {
      done.abort();
    }
    throw new Error("the watch ended");
  }

  async healthOf(service: string): Promise<HealthCheckResponse_ServingStatus> {
    return (await this.health.check({ service })).status;
  }

  [Symbol.dispose](): void {
    this.#session.abort();
  }
}

/** Reads the parts of a result; fails where it is incomplete. */
export function resultOf(parts: QueryResponse[]): QueryResult {
  const [first, ...rest] = parts.map(({ part }) => part);
  const last = rest.pop();
  if (first?.case !== "header" || last?.case !== "trailer") throw new Error("the result is incomplete");
  const names = first.value.columns.map(({ name }) => name);
  const rows = rest.flatMap((part) => {
    if (part.case !== "batch") throw new Error(`a ${part.case} in the middle of a result`);
    return part.value.rows.map(({ values }) => Object.fromEntries(names.map((name, i) => [name, values[i] as Value])));
  });
  if (BigInt(rows.length) !== last.value.rowCount) throw new Error("the trailer counts other rows");
  return { header: first.value, rows };
}

export function equals(column: string, value: Value): MessageInitShape<typeof ConditionSchema> {
  return compare(column, ComparisonOperator.EQUAL, value);
}

export function compare(
  column: string,
  operator: ComparisonOperator,
  value: Value,
): MessageInitShape<typeof ConditionSchema> {
  return { condition: { case: "comparison", value: { column, operator, value } } };
}

export interface Refusal {
  /** Name of the gRPC code. */
  code: string;
  reason: string | undefined;
  domain: string | undefined;
  /** In BadRequest. */
  field: string | undefined;
  metadata: Record<string, string>;
  message: string;
}

/** What a call is refused with; fails where it goes through. */
export async function refusal(call: Promise<unknown>): Promise<Refusal> {
  let error: ConnectError;
  try {
    const answer = await call;
    throw new Error(`the call went through: ${show(answer)}`);
  } catch (cause) {
    if (!(cause instanceof ConnectError)) throw cause;
    error = cause;
  }
  const [info] = error.findDetails(ErrorInfoSchema);
  return {
    code: Code[error.code],
    reason: info?.reason,
    domain: info?.domain,
    field: error.findDetails(BadRequestSchema)[0]?.fieldViolations[0]?.field,
    metadata: info?.metadata ?? {},
    message: error.rawMessage,
  };
}

/** A write as it goes over the wire. */
export function writeBytes(mutations: MutationInit[]): Buffer {
  return Buffer.from(toBinary(WriteRequestSchema, create(WriteRequestSchema, { mutations })));
}

function show(value: unknown): string {
  return JSON.stringify(value, (_, part: unknown) => (typeof part === "bigint" ? `${part}` : part)) ?? String(value);
}
