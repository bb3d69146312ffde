import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { type Client, createClient } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import type { Consistency, QueryHeader, QueryRequestSchema } from "../gen/ts/opsdb/v1/query_pb.ts";
import { QueryService } from "../gen/ts/opsdb/v1/query_service_pb.ts";
import type { ReplicationStatus, WatchReplicationResponse } from "../gen/ts/opsdb/v1/replication_pb.ts";
import { ReplicationService } from "../gen/ts/opsdb/v1/replication_service_pb.ts";
import type { Value } from "../gen/ts/opsdb/v1/value_pb.ts";
import {
  type MutationSchema,
  WriteRequestSchema,
  type WriteResponse,
  type WriteState,
} from "../gen/ts/opsdb/v1/write_pb.ts";
import { WriteService } from "../gen/ts/opsdb/v1/write_service_pb.ts";

export type MutationInit = MessageInitShape<typeof MutationSchema>;
export type Row = Record<string, Value>;

export interface Acknowledged {
  response: WriteResponse;
  ms: number;
}

export interface Result {
  header: QueryHeader;
  rows: Row[];
  ms: number;
}

/** A client of one site that knows only the contract. */
export class SiteClient implements Disposable {
  readonly #session: Http2SessionManager;
  readonly #writes: Client<typeof WriteService>;
  readonly #queries: Client<typeof QueryService>;
  readonly #replication: Client<typeof ReplicationService>;

  constructor(baseUrl: string) {
    this.#session = new Http2SessionManager(baseUrl);
    const transport = createGrpcTransport({ baseUrl, sessionManager: this.#session });
    this.#writes = createClient(WriteService, transport);
    this.#queries = createClient(QueryService, transport);
    this.#replication = createClient(ReplicationService, transport);
  }

  async write(
    mutations: MutationInit[],
    options: { writeId?: string; waitFor?: WriteState } = {},
  ): Promise<Acknowledged> {
    const request = create(WriteRequestSchema, { mutations, ...options });
    const begin = performance.now();
    const response = await this.#writes.write(request, { timeoutMs: 30_000 });
    return { response, ms: performance.now() - begin };
  }

  async stateOf(writeId: string): Promise<WriteState | undefined> {
    const { status } = await this.#writes.getWrite({ writeId }, { timeoutMs: 5_000 });
    return status?.state;
  }

  async query(
    table: string,
    options: MessageInitShape<typeof QueryRequestSchema> & { consistency?: Consistency } = {},
  ): Promise<Result> {
    const begin = performance.now();
    let header: QueryHeader | undefined;
    let complete = false;
    const rows: Row[] = [];
    for await (const { part } of this.#queries.query({ ...options, table }, { timeoutMs: 30_000 })) {
      if (part.case === "header") header = part.value;
      if (part.case === "trailer") complete = true;
      if (part.case !== "batch") continue;
      const columns = header?.columns ?? [];
      for (const { values } of part.value.rows) {
        rows.push(Object.fromEntries(columns.flatMap(({ name }, i) => (values[i] ? [[name, values[i]]] : []))));
      }
    }
    if (!header || !complete) throw new Error("the result is incomplete");
    return { header, rows, ms: performance.now() - begin };
  }

  /** Each state of the write from now to its end. */
  async *follow(writeId: string, signal?: AbortSignal): AsyncIterable<WriteState> {
    const options = signal ? { signal } : { timeoutMs: 60_000 };
    for await (const { event } of this.#replication.watchReplication({ writeId, untilDone: true }, options)) {
      if (event.case === "write") yield event.value.state;
    }
  }

  async *statuses(signal: AbortSignal): AsyncIterable<ReplicationStatus> {
    const events: AsyncIterable<WatchReplicationResponse> = this.#replication.watchReplication({}, { signal });
    for await (const { event } of events) if (event.case === "status") yield event.value;
  }

  [Symbol.dispose](): void {
    this.#session.abort();
  }
}
