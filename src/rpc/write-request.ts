import type * as pb from "../../gen/ts/opsdb/v1/write_pb.ts";
import { WriteMode, WriteState } from "../../gen/ts/opsdb/v1/write_pb.ts";
import { OpsDbError } from "../errors.ts";
import type { WriteOptions } from "../site/site.ts";
import type { RequestedMutation, RequestedPrecondition } from "../write.ts";
import { decodeValues, type FieldPath } from "./value-codec.ts";
import { fromDuration } from "./wire-time.ts";

/** Reads the mutations of a write. Tables and columns are for the catalog to check. */
export function decodeMutations(mutations: readonly pb.Mutation[], most: number): RequestedMutation[] {
  if (mutations.length === 0) throw new OpsDbError("INVALID_FIELD", "a write has no mutations", { field: "mutations" });
  if (mutations.length > most) {
    const message = `a write has ${mutations.length} mutations; at most ${most} are taken`;
    throw new OpsDbError("INVALID_FIELD", message, { field: "mutations" });
  }
  // Main asks for each of them as it carries out each mutation.
  const preconditions = mutations.reduce((sum, mutation) => sum + mutation.preconditions.length, 0);
  if (preconditions > most) {
    const message = `a write has ${preconditions} preconditions; at most ${most} are taken`;
    throw new OpsDbError("INVALID_FIELD", message, { field: "mutations" });
  }
  return mutations.map((mutation, i) => decodeMutation(mutation, `mutations[${i}]`));
}

/** Where a write goes first. */
export function decodeMode(mode: WriteMode): WriteOptions["mode"] {
  switch (mode) {
    case WriteMode.UNSPECIFIED:
    case WriteMode.CRITICAL:
      return "critical";
    case WriteMode.DIRECT:
      return "direct";
    default:
      throw new OpsDbError("INVALID_FIELD", `no such mode: ${String(mode)}`, { field: "mode" });
  }
}

/** How far a write must have come before it is answered. */
export function decodeWaitFor(state: WriteState): WriteOptions["waitFor"] {
  switch (state) {
    case WriteState.UNSPECIFIED:
    case WriteState.ACCEPTED:
      return "ACCEPTED";
    case WriteState.APPLIED:
      return "APPLIED";
    case WriteState.REPLICATED:
      return "REPLICATED";
    default: {
      const message = "wait_for is ACCEPTED, APPLIED or REPLICATED";
      throw new OpsDbError("INVALID_FIELD", message, { field: "wait_for" });
    }
  }
}

/** The longest wait, milliseconds: the caller's own bound within what its deadline leaves. */
export function decodeWaitMs(request: pb.WriteRequest, budgetMs: number): number {
  if (request.waitTimeout === undefined) return budgetMs;
  const asked = fromDuration(request.waitTimeout);
  if (asked < 0) throw new OpsDbError("INVALID_FIELD", "wait_timeout is negative", { field: "wait_timeout" });
  return Math.min(asked, budgetMs);
}

function decodeMutation(mutation: pb.Mutation, path: string): RequestedMutation {
  if (mutation.table === "")
    throw new OpsDbError("INVALID_FIELD", "a mutation names no table", { field: `${path}.table` });
  const preconditions = mutation.preconditions.map((condition, i) =>
    decodePrecondition(condition, `${path}.preconditions[${i}]`),
  );
  return { table: mutation.table, ...decodeOperation(mutation.operation, path), preconditions };
}

function decodeOperation(
  operation: pb.Mutation["operation"],
  path: string,
): Pick<RequestedMutation, "operation" | "key" | "values"> {
  const at =
    (name: string): FieldPath =>
    () =>
      `${path}.${name}`;
  switch (operation.case) {
    case "insert":
      return { operation: "insert", key: {}, values: decodeValues(operation.value.values, at("insert.values")) };
    case "update": {
      const key = decodeValues(operation.value.key, at("update.key"));
      const values = decodeValues(operation.value.values, at("update.values"));
      requireSome(operation.value.key, `${path}.update.key`, "an update needs the row's key");
      requireSome(operation.value.values, `${path}.update.values`, "an update changes no column");
      return { operation: "update", key, values };
    }
    case "upsert":
      return { operation: "upsert", key: {}, values: decodeValues(operation.value.values, at("upsert.values")) };
    case "delete":
      requireSome(operation.value.key, `${path}.delete.key`, "a delete needs the row's key");
      return { operation: "delete", key: decodeValues(operation.value.key, at("delete.key")), values: {} };
    case undefined:
      throw new OpsDbError("INVALID_FIELD", "a mutation is none of insert, update, upsert and delete", { field: path });
  }
}

function requireSome(values: Record<string, unknown>, field: string, message: string): void {
  for (const _ in values) return;
  throw new OpsDbError("INVALID_FIELD", message, { field });
}

function decodePrecondition(precondition: pb.Precondition, path: string): RequestedPrecondition {
  const { condition } = precondition;
  switch (condition.case) {
    case "rowExists":
      return { kind: "row_exists", exists: condition.value };
    case "columnsEqual":
      return {
        kind: "columns_equal",
        values: decodeValues(condition.value.values, () => `${path}.columns_equal.values`),
      };
    case undefined:
      throw new OpsDbError("INVALID_FIELD", "a precondition has no condition", { field: path });
  }
}
