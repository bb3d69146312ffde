import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import type * as pb from "../../gen/ts/opsdb/v1/replication_pb.ts";
import type { ReplicationService } from "../../gen/ts/opsdb/v1/replication_service_pb.ts";
import { OpsDbError } from "../errors.ts";
import { formatLsn, type Lsn, parseLsn } from "../lsn.ts";
import type { Site } from "../site/site.ts";
import { decodeHeartbeat } from "./heartbeat.ts";
import { type WatchEvent, watchReplication } from "./replication-watch.ts";
import { encodeStatus } from "./status-messages.ts";
import { toTimestamp } from "./wire-time.ts";
import { parseWriteId } from "./write-id.ts";
import { encodeWriteStatus } from "./write-messages.ts";

export interface ReplicationServiceOptions {
  site: Site;
  /** Aborts when the server stops. */
  stopping: AbortSignal;
}

export function replicationService({
  site,
  stopping,
}: ReplicationServiceOptions): ServiceImpl<typeof ReplicationService> {
  return {
    async *watchReplication(request: pb.WatchReplicationRequest, context: HandlerContext) {
      const events = watchReplication({
        site,
        writeId: request.writeId === "" ? undefined : parseWriteId(request.writeId, "write_id"),
        lsn: request.lsn === "" ? undefined : decodeLsn(request.lsn),
        heartbeatMs: decodeHeartbeat(request.heartbeat),
        untilDone: request.untilDone,
        signal: context.signal,
        stopping,
      });
      for await (const event of events) yield { event: encodeEvent(event) };
    },
  };
}

function encodeEvent(event: WatchEvent): pb.WatchReplicationResponse["event"] {
  switch (event.kind) {
    case "status":
      return { case: "status", value: encodeStatus(event.status) };
    case "write":
      return { case: "write", value: encodeWriteStatus(event.write) };
    case "lsn_replayed":
      return { case: "lsnReplayed", value: formatLsn(event.lsn) };
    case "heartbeat":
      return { case: "heartbeat", value: toTimestamp(event.at) };
  }
}

function decodeLsn(text: string): Lsn {
  try {
    return parseLsn(text);
  } catch (cause) {
    throw new OpsDbError("INVALID_FIELD", 'an LSN is written as "X/Y" in hexadecimal', { field: "lsn", cause });
  }
}
