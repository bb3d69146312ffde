import type { Lsn } from "./lsn.ts";
import type { Position } from "./position.ts";
import type { TextValue, Value } from "./value.ts";

export type Operation = "insert" | "update" | "upsert" | "delete";
export type WriteState = "ACCEPTED" | "APPLIED" | "REPLICATED" | "REJECTED";

/** One change of one row as the client sent it. `key` is empty for insert and upsert, `values` for delete. */
export interface RequestedMutation {
  table: string;
  operation: Operation;
  key: Record<string, Value>;
  values: Record<string, Value>;
  preconditions: RequestedPrecondition[];
}

export type RequestedPrecondition =
  | { kind: "row_exists"; exists: boolean }
  | { kind: "columns_equal"; values: Record<string, Value> };

/** A write as the client sent it. */
export interface RequestedWrite {
  /** Lower-case UUID. */
  writeId: string;
  /** The server made the id, so nobody can have used it before. */
  fresh: boolean;
  /** SHA-256 of the request's content, the same for the same content however the client orders its maps. */
  payloadHash: Uint8Array;
  mutations: RequestedMutation[];
}

/** One change of one row, checked against the catalog and completed. Column names are the catalog's. */
export interface Mutation {
  /** The catalog's key of the table: "schema.table". */
  table: string;
  operation: Operation;
  /** Values of the primary key, in the key's column order. A null stands for a key that main generates (main site only). */
  key: TextValue[];
  /** Columns that are written, sorted by the table's order; with the key columns for insert and upsert, empty for delete. */
  columns: string[];
  /** One for each column. */
  values: TextValue[];
  /**
   * Upsert only: the columns that the client named, which change where the row exists; the other columns are
   * defaults for a new row.
   */
  setColumns?: string[];
  /**
   * Insert and upsert: columns outside the key that the client left out and that were filled in. Where main has dropped one
   * of them meanwhile, the write arrives without it.
   */
  filled?: string[];
  preconditions: Precondition[];
}

export type Precondition =
  | { kind: "row_exists"; exists: boolean }
  | { kind: "columns_equal"; columns: string[]; values: TextValue[] };

/** A write that passed the catalog: what goes into the buffer. */
export interface Write {
  writeId: string;
  payloadHash: Uint8Array;
  mutations: Mutation[];
  /**
   * The client chose the id, and when the write was accepted nobody could be asked whether it is in the ledger already: it
   * may be a repetition of a write that has come home and left the buffer.
   */
  idUnchecked?: true;
}

/** Why main refused a write for good. */
export interface Rejection {
  reason: string;
  message: string;
  sqlstate?: string;
  /** Index of the mutation. */
  mutation?: number;
  /** The id that the write came with, where that belongs to other content (WRITE_ID_REUSED). */
  writeId?: string;
}

/** How far a write has come. */
export interface WriteStatus {
  writeId: string;
  state: WriteState;
  site: string;
  position?: Position;
  lsn?: Lsn;
  appliedAt?: Date;
  rejection?: Rejection;
}

/** Whether two hashes are of the same content. */
export function samePayload(one: Uint8Array, other: Uint8Array): boolean {
  return Buffer.compare(one, other) === 0;
}
