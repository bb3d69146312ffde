import type * as pb from "../../gen/ts/opsdb/v1/admin_pb.ts";
import { MutationOperation, ResolutionKind } from "../../gen/ts/opsdb/v1/admin_pb.ts";
import { PartState } from "../../gen/ts/opsdb/v1/replication_pb.ts";
import type { Catalog } from "../catalog/catalog.ts";
import { formatPosition } from "../position.ts";
import type { Pause } from "../processor/drain-pause.ts";
import type { DrainReport, Holdup, PendingWrite, RejectedWrite, Resolution } from "../site/operator.ts";
import type { TextValue } from "../value.ts";
import type { Mutation, Precondition } from "../write.ts";
import { encodeBuffer, encodeProcessor } from "./status-messages.ts";
import { toDuration, toTimestamp } from "./wire-time.ts";
import { encodeWriteStatus } from "./write-messages.ts";

export function encodePause({ operator, reason, since }: Pause): pb.Pause {
  return { $typeName: "opsdb.v1.Pause", operator, reason, since: toTimestamp(since) };
}

export function encodeResolution(resolution: Resolution): pb.Resolution {
  const { kind, operator, reason, at, site } = resolution;
  return {
    $typeName: "opsdb.v1.Resolution",
    kind: kind === "retried" ? ResolutionKind.RETRIED : ResolutionKind.DISCARDED,
    newWriteId: kind === "retried" ? resolution.newWriteId : "",
    operator,
    reason,
    at: toTimestamp(at),
    site,
  };
}

export function encodeRejectedWrite(
  { status, mutations, resolution }: RejectedWrite,
  catalog: Catalog,
): pb.RejectedWrite {
  return {
    $typeName: "opsdb.v1.RejectedWrite",
    status: encodeWriteStatus(status),
    mutations: mutations.map((mutation) => encodeMutation(mutation, catalog)),
    ...(resolution && { resolution: encodeResolution(resolution) }),
  };
}

export function encodeReport(report: DrainReport): pb.ShowDrainResponse {
  const { site, at, buffer, processor, pause, oldestPending, unresolvedRejected, error, holdups } = report;
  return {
    $typeName: "opsdb.v1.ShowDrainResponse",
    site,
    ...(buffer && { buffer: encodeBuffer(buffer, at) }),
    ...(processor && { processor: encodeProcessor(processor) }),
    ...(pause && { pause: encodePause(pause) }),
    ...(oldestPending && { oldestPending: encodePending(oldestPending, at) }),
    ...(unresolvedRejected !== undefined && { unresolvedRejectedWrites: BigInt(unresolvedRejected) }),
    lastError: error?.reason ?? "",
    ...(error && { lastErrorSince: toTimestamp(error.since) }),
    ...(error?.nextAttempt && { nextAttempt: toTimestamp(error.nextAttempt) }),
    holdups: holdups.map(encodeHoldup),
  };
}

function encodePending({ writeId, position, acceptedAt, tables }: PendingWrite, at: Date): pb.PendingWrite {
  return {
    $typeName: "opsdb.v1.PendingWrite",
    writeId,
    position: formatPosition(position),
    age: toDuration(Math.max(0, at.getTime() - acceptedAt.getTime())),
    tables,
  };
}

function encodeHoldup({ part, state, reason, since, advice }: Holdup): pb.Holdup {
  return {
    $typeName: "opsdb.v1.Holdup",
    part,
    state: PartState[state],
    reason,
    ...(since && { since: toTimestamp(since) }),
    advice,
  };
}

const operations: Record<Mutation["operation"], MutationOperation> = {
  insert: MutationOperation.INSERT,
  update: MutationOperation.UPDATE,
  upsert: MutationOperation.UPSERT,
  delete: MutationOperation.DELETE,
};

function encodeMutation(mutation: Mutation, catalog: Catalog): pb.MutationText {
  const table = catalog.byId(mutation.table);
  return {
    $typeName: "opsdb.v1.MutationText",
    table: table?.name ?? mutation.table,
    operation: operations[mutation.operation],
    key: mutation.key.map((value, i) => columnText(table?.primaryKey[i] ?? `key ${i + 1}`, value)),
    values: mutation.columns.map((column, i) => columnText(column, mutation.values[i] ?? null)),
    preconditions: mutation.preconditions.map(describe),
  };
}

function columnText(column: string, text: TextValue): pb.ColumnText {
  return { $typeName: "opsdb.v1.ColumnText", column, ...(text !== null && { text }) };
}

function describe(precondition: Precondition): string {
  if (precondition.kind === "row_exists") return precondition.exists ? "the row exists" : "the row does not exist";
  return precondition.columns.map((name, i) => `${name} = ${precondition.values[i] ?? "NULL"}`).join(" and ");
}
