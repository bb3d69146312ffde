import type { Value } from "../../gen/ts/opsdb/v1/value_pb.ts";
import type * as pb from "../../gen/ts/opsdb/v1/write_pb.ts";
import { WriteState } from "../../gen/ts/opsdb/v1/write_pb.ts";
import type { Catalog } from "../catalog/catalog.ts";
import { formatLsn } from "../lsn.ts";
import { formatPosition } from "../position.ts";
import type { WriteAck, WrittenRow } from "../site/site.ts";
import type { Rejection, WriteStatus } from "../write.ts";
import { type EncodedColumn, valueEncoder } from "./value-codec.ts";
import { toTimestamp } from "./wire-time.ts";

/** The acknowledgement of a write as a message. */
export function encodeAck(ack: WriteAck, catalog: Catalog): pb.WriteResponse {
  return {
    $typeName: "opsdb.v1.WriteResponse",
    status: encodeWriteStatus(ack.status),
    rows: ack.rows.map((row) => encodeRow(row, catalog)),
    token: ack.token,
    waitTimedOut: ack.waitTimedOut,
    duplicate: ack.duplicate,
  };
}

/** A write and how far it has come, as a message. */
export function encodeWriteStatus(status: WriteStatus): pb.WriteStatus {
  return {
    $typeName: "opsdb.v1.WriteStatus",
    writeId: status.writeId,
    state: states[status.state],
    site: status.site,
    position: status.position === undefined ? "" : formatPosition(status.position),
    lsn: status.lsn === undefined ? "" : formatLsn(status.lsn),
    ...(status.appliedAt && { appliedAt: toTimestamp(status.appliedAt) }),
    ...(status.rejection && { rejection: encodeRejection(status.rejection) }),
  };
}

const states: Record<WriteStatus["state"], WriteState> = {
  ACCEPTED: WriteState.ACCEPTED,
  APPLIED: WriteState.APPLIED,
  REPLICATED: WriteState.REPLICATED,
  REJECTED: WriteState.REJECTED,
};

function encodeRejection(rejection: Rejection): pb.Rejection {
  return {
    $typeName: "opsdb.v1.Rejection",
    reason: rejection.reason,
    message: rejection.message,
    sqlstate: rejection.sqlstate ?? "",
    ...(rejection.mutation !== undefined && { mutation: rejection.mutation }),
  };
}

function encodeRow(row: WrittenRow, catalog: Catalog): pb.ColumnValues {
  const table = catalog.byId(row.table) ?? catalog.tables.find((candidate) => candidate.name === row.table);
  const values = Object.create(null) as Record<string, Value>;
  row.columns.forEach((name, i) => {
    const encode = valueEncoder(table?.byName.get(name)?.type ?? asText);
    values[name] = encode(row.values[i] ?? null);
  });
  return { $typeName: "opsdb.v1.ColumnValues", values };
}

/** For a column that the catalog has lost since the write was checked. */
const asText: EncodedColumn = { kind: "text", array: false, delimiter: "," };
