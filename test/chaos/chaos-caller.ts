import { create } from "@bufbuild/protobuf";
import { type Client, createClient } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { insert, remove, update, upsert } from "../../demo/mutations.ts";
import type { MutationInit, Row } from "../../demo/site-client.ts";
import { integer, text } from "../../demo/values.ts";
import { ComparisonOperator, Consistency, QueryRequestSchema } from "../../gen/ts/opsdb/v1/query_pb.ts";
import { QueryService } from "../../gen/ts/opsdb/v1/query_service_pb.ts";
import { PartState, type PartStatus, type ReplicationStatus } from "../../gen/ts/opsdb/v1/replication_pb.ts";
import { ReplicationService } from "../../gen/ts/opsdb/v1/replication_service_pb.ts";
import { WriteRequestSchema, type WriteResponse, WriteState } from "../../gen/ts/opsdb/v1/write_pb.ts";
import { WriteService } from "../../gen/ts/opsdb/v1/write_service_pb.ts";
import type { ReadEvent, StatusEvent, WriteEvent } from "./history.ts";
import type { PlannedWrite } from "./planned-operation.ts";
import { quietSessions } from "./quiet-sessions.ts";

const table = "chaos.register";
quietSessions();

export interface ReadOptions {
  consistency: ReadEvent["consistency"];
  token?: Uint8Array | undefined;
  /** The lowest key to read. Default: all. */
  from?: number;
  timeoutMs: number;
}

export interface ReadAnswer {
  rows: [key: number, value: string][];
  bufferUnreachable: boolean;
}

/** One server of a site, as a client of the run sees it. The connection is made anew whenever it broke. */
export class ChaosCaller implements Disposable {
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

  async write({ writeId, changes, poison, waitFor }: PlannedWrite, timeoutMs: number): Promise<WriteResponse> {
    const mutations = changes.map((change, i): MutationInit => {
      const key = { k: integer(change.key) };
      if (change.operation === "delete") return remove(table, key);
      const n = poison?.[i];
      const values: Row = { v: text(change.value), ...(n !== undefined && { n: integer(n) }) };
      if (change.operation === "update") return update(table, key, values);
      return (change.operation === "insert" ? insert : upsert)(table, { ...key, ...values });
    });
    const wait = waitFor === undefined ? WriteState.UNSPECIFIED : WriteState[waitFor];
    return await this.#writes.write(create(WriteRequestSchema, { writeId, mutations, waitFor: wait }), { timeoutMs });
  }

  async stateOf(writeId: string, timeoutMs: number): Promise<WriteEvent["state"]> {
    const { status } = await this.#writes.getWrite({ writeId }, { timeoutMs });
    return status && stateName(status.state);
  }

  async read({ consistency, token, from, timeoutMs }: ReadOptions): Promise<ReadAnswer> {
    const request = create(QueryRequestSchema, {
      table,
      columns: ["k", "v"],
      consistency: { merged: Consistency.MERGED, local: Consistency.LOCAL, main: Consistency.MAIN }[consistency],
      ...(token && { token }),
      ...(from !== undefined && { where: atLeast(from) }),
    });
    const rows: [number, string][] = [];
    let bufferUnreachable = false;
    let rowCount: bigint | undefined;
    for await (const { part } of this.#queries.query(request, { timeoutMs })) {
      if (part.case === "header") ({ bufferUnreachable } = part.value);
      else if (part.case === "trailer") ({ rowCount } = part.value);
      else
        for (const { values } of part.value?.rows ?? [])
          rows.push([Number(values[0]?.kind.value), String(values[1]?.kind.value)]);
    }
    if (rowCount !== BigInt(rows.length)) throw new Error("the result is incomplete");
    return { rows, bufferUnreachable };
  }

  /** The status again and again: at once, with every change, and unchanged at least every 200 ms. */
  async *statuses(signal: AbortSignal): AsyncGenerator<Omit<StatusEvent, "kind" | "at">> {
    let last: ReturnType<typeof statusOf> | undefined;
    const heartbeat = { seconds: 0n, nanos: 200_000_000 };
    for await (const { event } of this.#replication.watchReplication({ heartbeat }, { signal })) {
      if (event.case === "status") last = statusOf(event.value);
      if (last) yield last;
    }
  }

  [Symbol.dispose](): void {
    this.#session.abort();
  }
}

export function stateName(state: WriteState): WriteEvent["state"] {
  switch (state) {
    case WriteState.ACCEPTED:
      return "ACCEPTED";
    case WriteState.APPLIED:
      return "APPLIED";
    case WriteState.REPLICATED:
      return "REPLICATED";
    case WriteState.REJECTED:
      return "REJECTED";
    default:
      return undefined;
  }
}

function atLeast(key: number) {
  const value = { column: "k", operator: ComparisonOperator.GREATER_OR_EQUAL, value: integer(key) };
  return { condition: { case: "comparison" as const, value } };
}

function statusOf({ buffer, processor, main, local }: ReplicationStatus): Omit<StatusEvent, "kind" | "at"> {
  return {
    pendingWrites: Number(buffer?.pendingWrites ?? 0n),
    overlayWrites: Number(buffer?.overlayWrites ?? 0n),
    appliedPosition: processor?.appliedPosition ?? "",
    processor: partOf(processor?.state),
    buffer: partOf(buffer?.connection),
    main: partOf(main?.connection),
    local: partOf(local?.connection),
  };
}

function partOf(part: PartStatus | undefined): { state: string; reason: string } {
  const [state = ""] = Object.entries(PartState).find(([, value]) => value === part?.state) ?? [];
  return { state, reason: part?.reason ?? "" };
}
