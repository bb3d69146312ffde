import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import type * as pb from "../../gen/ts/opsdb/v1/write_pb.ts";
import { WriteState } from "../../gen/ts/opsdb/v1/write_pb.ts";
import type { WriteService } from "../../gen/ts/opsdb/v1/write_service_pb.ts";
import { OpsDbError } from "../errors.ts";
import { type Position, parsePosition } from "../position.ts";
import type { Site, WatchWritesOptions } from "../site/site.ts";
import type { WriteStatus } from "../write.ts";
import { waitBudgetMs } from "./deadline.ts";
import { decodeHeartbeat, type Heartbeat, withHeartbeats } from "./heartbeat.ts";
import { payloadHash } from "./payload-hash.ts";
import { toTimestamp } from "./wire-time.ts";
import { parseWriteId, WriteIds } from "./write-id.ts";
import { encodeAck, encodeWriteStatus } from "./write-messages.ts";
import { decodeMode, decodeMutations, decodeWaitFor, decodeWaitMs } from "./write-request.ts";

export interface WriteServiceOptions {
  site: Site;
  /** The most mutations of one write. */
  maxMutations: number;
  /** Aborts when the server stops. */
  stopping: AbortSignal;
}

/** Longest wait of a call without a deadline. */
const defaultWaitMs = 60_000;

export function writeService(options: WriteServiceOptions): ServiceImpl<typeof WriteService> {
  const { site, maxMutations, stopping } = options;
  const ids = new WriteIds();
  return {
    async write(request, context: HandlerContext) {
      const fresh = request.writeId === "";
      const writeId = fresh ? ids.next() : parseWriteId(request.writeId, "write_id");
      const mode = decodeMode(request.mode);
      const waitFor = decodeWaitFor(request.waitFor);
      const waitMs = decodeWaitMs(request, waitBudgetMs(context.timeoutMs(), defaultWaitMs));
      const mutations = decodeMutations(request.mutations, maxMutations);
      const write = { writeId, fresh, payloadHash: payloadHash(mutations), mutations };
      const ack = await site.write(write, { mode, waitFor, waitMs, signal: context.signal });
      return encodeAck(ack, site.catalog());
    },

    async getWrite(request) {
      const status = await site.getWrite(parseWriteId(request.writeId, "write_id"));
      return { status: encodeWriteStatus(status) };
    },

    async *watchWrites(request: pb.WatchWritesRequest, context: HandlerContext) {
      const { report, after, rejectedOnly } = decodeWatch(request);
      const events = withHeartbeats({
        source: (signal) => site.watchWrites({ report, after, rejectedOnly, signal }),
        heartbeatMs: decodeHeartbeat(request.heartbeat),
        signal: context.signal,
        stopping,
      });
      for await (const event of events) yield { event: encodeEvent(event) };
    },
  };
}

function decodeWatch(request: pb.WatchWritesRequest): Omit<WatchWritesOptions, "signal"> {
  const { afterPosition, rejectedOnly } = request;
  return {
    report: decodeReport(request.report),
    after: afterPosition === "" ? undefined : decodePosition(afterPosition),
    rejectedOnly,
  };
}

function decodeReport(state: WriteState): WatchWritesOptions["report"] {
  switch (state) {
    case WriteState.UNSPECIFIED:
    case WriteState.REPLICATED:
      return "REPLICATED";
    case WriteState.APPLIED:
      return "APPLIED";
    default:
      throw new OpsDbError("INVALID_FIELD", "report is APPLIED or REPLICATED", { field: "report" });
  }
}

function decodePosition(text: string): Position {
  try {
    return parsePosition(text);
  } catch (cause) {
    const message = 'a position is written as "milliseconds-sequence"';
    throw new OpsDbError("INVALID_FIELD", message, { field: "after_position", cause });
  }
}

function encodeEvent(event: WriteStatus | Heartbeat): pb.WatchWritesResponse["event"] {
  if ("heartbeat" in event) return { case: "heartbeat", value: toTimestamp(event.heartbeat) };
  return { case: "write", value: encodeWriteStatus(event) };
}
