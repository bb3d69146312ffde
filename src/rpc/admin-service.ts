import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import type { AdminService } from "../../gen/ts/opsdb/v1/admin_service_pb.ts";
import { OpsDbError } from "../errors.ts";
import type { Motive } from "../site/operator.ts";
import type { Site } from "../site/site.ts";
import { encodePause, encodeRejectedWrite, encodeReport, encodeResolution } from "./admin-messages.ts";
import { callerValue } from "./caller-value.ts";
import { decodePageSize, decodePageToken, encodePageToken } from "./page-token.ts";
import { encodeLoss } from "./status-messages.ts";
import { parseWriteId } from "./write-id.ts";
import { encodeWriteStatus } from "./write-messages.ts";

/** Longest text of an operator's name or reason, characters. */
const longest = 2_000;

export function adminService(site: Site): ServiceImpl<typeof AdminService> {
  const { operator } = site;
  return {
    async pauseDrain(request, context: HandlerContext) {
      return { pause: encodePause(await operator.pauseDrain(decodeMotive(request, context))) };
    },

    async resumeDrain(request, context: HandlerContext) {
      const ended = await operator.resumeDrain(decodeMotive(request, context));
      return ended ? { ended: encodePause(ended) } : {};
    },

    async showDrain() {
      return encodeReport(await operator.showDrain());
    },

    async listRejectedWrites(request) {
      const { writes, next } = await operator.listRejected({
        site: request.site === "" ? undefined : request.site,
        includeResolved: request.includeResolved,
        limit: decodePageSize(request.pageSize),
        after: request.pageToken === "" ? undefined : decodePageToken(request.pageToken),
      });
      const catalog = site.catalog();
      return {
        writes: writes.map((write) => encodeRejectedWrite(write, catalog)),
        nextPageToken: next ? encodePageToken(next) : "",
      };
    },

    async retryWrite(request, context: HandlerContext) {
      const writeId = parseWriteId(request.writeId, "write_id");
      const { status, duplicate } = await operator.retryWrite(writeId, decodeMotive(request, context));
      return { status: encodeWriteStatus(status), duplicate };
    },

    async discardWrite(request, context: HandlerContext) {
      const writeId = parseWriteId(request.writeId, "write_id");
      return { resolution: encodeResolution(await operator.discardWrite(writeId, decodeMotive(request, context))) };
    },

    async acknowledgeLoss(request, context: HandlerContext) {
      const loss = await operator.acknowledgeLoss(decodeMotive(request, context));
      return loss ? { loss: encodeLoss(loss) } : {};
    },
  };
}

/** Who and why: an action without them would be no use on record. */
function decodeMotive(request: Motive, context: HandlerContext): Motive {
  const caller = context.values.get(callerValue)?.caller.name;
  const operator = request.operator.trim() === "" && caller !== undefined ? caller : request.operator;
  const reason = required(request.reason, "reason");
  const name = required(operator, "operator");
  // What somebody says of himself is one thing, what was checked another.
  return { operator: caller === undefined || name === caller ? name : `${name} (authenticated as ${caller})`, reason };
}

function required(text: string, field: string): string {
  const trimmed = text.trim();
  if (trimmed === "") throw new OpsDbError("INVALID_FIELD", `${field} is empty`, { field });
  if (trimmed.length > longest)
    throw new OpsDbError("INVALID_FIELD", `${field} is longer than ${longest} characters`, { field });
  if (trimmed.includes("\0") || !trimmed.isWellFormed())
    throw new OpsDbError("INVALID_FIELD", `${field} has characters that cannot be stored`, { field });
  return trimmed;
}
