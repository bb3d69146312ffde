import type { MessageInitShape } from "@bufbuild/protobuf";
import type { WriteRequestSchema, WriteResponse } from "../../gen/ts/opsdb/v1/write_pb.ts";
import { toDuration } from "../rpc/wire-time.ts";
import type { CommandCall } from "./command.ts";
import { retryCall } from "./retry-call.ts";

/** An attempt that only waits for durability is given up after this time, milliseconds, and made again. */
const ATTEMPT_MS = 10_000;
/** What the answer needs to arrive after the server has stopped waiting, milliseconds. */
const ANSWER_MS = 2_000;

/** Sends a write until it is answered, always with the same id, so that a lost answer does no harm. As retryCall. */
export function sendWrite(
  { writes, say }: Pick<CommandCall, "writes" | "say">,
  request: MessageInitShape<typeof WriteRequestSchema> & { writeId: string },
  { timeoutMs, waits }: { timeoutMs: number; waits: boolean },
): Promise<WriteResponse> {
  const attempt = (leftMs: number): Promise<WriteResponse> =>
    waits
      ? writes.write({ ...request, waitTimeout: toDuration(leftMs) }, { timeoutMs: leftMs + ANSWER_MS })
      : writes.write(request, { timeoutMs: Math.min(leftMs, ATTEMPT_MS) });
  return retryCall(attempt, {
    say,
    timeoutMs,
    remedy: `the write is sent again with the same id, ${request.writeId}`,
  });
}
