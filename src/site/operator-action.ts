import { createHash, randomUUID } from "node:crypto";
import type { Catalog } from "../catalog/catalog.ts";
import { derivedId } from "../derived-id.ts";
import { OpsDbError } from "../errors.ts";
import { OPERATOR_ACTION as TABLE } from "../postgres/rejected-writes.ts";
import type { TextValue } from "../value.ts";
import type { Mutation, Write } from "../write.ts";
import type { Motive, Resolution } from "./operator.ts";

type ActionKind = "PAUSE_DRAIN" | "RESUME_DRAIN" | "RETRY_WRITE" | "DISCARD_WRITE" | "ACKNOWLEDGE_LOSS";

/** One row of opsdb.operator_action. */
export interface OperatorAction extends Motive {
  id: string;
  site: string;
  action: ActionKind;
  /** The rejected write that it settles. */
  writeId?: string;
  /** What it is retried as. */
  newWriteId?: string;
  at: Date;
}

const COLUMNS = ["id", "site", "action", "write_id", "new_write_id", "operator", "reason", "at"];

/** The id of the write that a rejected one is retried as: always the same, so that two retries are one write. */
export function retryId(writeId: string): string {
  return derivedId("retry", writeId);
}

/** The id of the record that settles a rejected write: always the same, so that the first one decides. */
export function resolutionId(writeId: string): string {
  return derivedId("resolution", writeId);
}

/** An action that happens now. */
export function newAction(
  site: string,
  { operator, reason }: Motive,
  what: Pick<OperatorAction, "action" | "writeId" | "newWriteId">,
): OperatorAction {
  const id = what.writeId === undefined ? randomUUID() : resolutionId(what.writeId);
  return { id, site, operator, reason, at: new Date(), ...what };
}

/** The write that puts an action on record: one insert, whose id is the record's. */
export function recordOf(action: OperatorAction): Write {
  const { id, site, writeId, newWriteId, operator, reason, at } = action;
  const time = at.toISOString().replace("T", " ").replace("Z", "+00");
  // What settles the same write in the same way is the same content, whoever was faster.
  const content = writeId === undefined ? id : `${action.action} ${writeId}`;
  return {
    writeId: id,
    payloadHash: createHash("sha256").update(`opsdb operator action ${content}`).digest(),
    mutations: [
      {
        table: TABLE,
        operation: "insert",
        key: [id],
        columns: COLUMNS,
        values: [id, site, action.action, writeId ?? null, newWriteId ?? null, operator, reason, time],
        preconditions: [],
      },
    ],
  };
}

/**
 * The write that a rejected one is retried as: its changes, unless main has a record of another decision by then, made there
 * while the link was away. The first mutation says so: it changes nothing, since the retry's own record comes before it.
 */
export function retryOf(rejected: Write, retry: OperatorAction & { newWriteId: string }): Write {
  const [record] = recordOf(retry).mutations;
  const guard: Mutation = {
    ...(record as Mutation),
    operation: "upsert",
    setColumns: [],
    preconditions: [{ kind: "columns_equal", columns: ["action"], values: ["RETRY_WRITE"] }],
  };
  return {
    writeId: retry.newWriteId,
    payloadHash: rejected.payloadHash,
    mutations: [guard, ...rejected.mutations],
    idUnchecked: true, // main may have retried it meanwhile, under the same id
  };
}

/** The action that a write puts on record. */
export function recordedAction({ mutations: [record] }: Write): OperatorAction | undefined {
  return record?.table === TABLE ? parseAction(record.values) : undefined;
}

/** Reads a row of the table, in the order of its columns. */
export function parseAction(row: readonly TextValue[]): OperatorAction {
  const [id, site, action, writeId, newWriteId, operator, reason, at] = row;
  return {
    id: id ?? "",
    site: site ?? "",
    action: action as ActionKind,
    ...(writeId == null ? {} : { writeId }),
    ...(newWriteId == null ? {} : { newWriteId }),
    operator: operator ?? "",
    reason: reason ?? "",
    at: new Date(`${at}`.replace(" ", "T").replace(/\+00$/, "Z")),
  };
}

/** How an action settled its write. */
export function asResolution({ action, newWriteId, operator, reason, at, site }: OperatorAction): Resolution {
  const by = { operator, reason, at, site };
  return action === "RETRY_WRITE" && newWriteId !== undefined
    ? { kind: "retried", newWriteId, ...by }
    : { kind: "discarded", ...by };
}

/** Throws where the databases do not have the table yet: an action that cannot be put on record is not done. */
export function requireRecord(catalog: Catalog): void {
  if (catalog.byId(TABLE)) return;
  throw new OpsDbError(
    "TABLE_NOT_FOUND",
    `there is no table ${TABLE} to put the action on record: run "opsdb migrate" for the main database`,
    { metadata: { table: TABLE } },
  );
}
