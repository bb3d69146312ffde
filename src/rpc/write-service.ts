import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import type { WriteService } from "../../gen/ts/opsdb/v1/write_service_pb.ts";
import type { Site } from "../site/site.ts";
import { waitBudgetMs } from "./deadline.ts";
import { payloadHash } from "./payload-hash.ts";
import { parseWriteId, WriteIds } from "./write-id.ts";
import { encodeAck, encodeWriteStatus } from "./write-messages.ts";
import { decodeMode, decodeMutations, decodeWaitFor, decodeWaitMs } from "./write-request.ts";

export interface WriteServiceOptions {
  site: Site;
  /** The most mutations of one write. */
  maxMutations: number;
}

/** Longest wait of a call without a deadline. */
const defaultWaitMs = 60_000;

export function writeService(options: WriteServiceOptions): ServiceImpl<typeof WriteService> {
  const { site, maxMutations } = options;
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
  };
}
