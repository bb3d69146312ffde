import { derivedId } from "./derived-id.ts";
import type { Rejection, Write } from "./write.ts";

/**
 * The id by which a content is rejected whose write id had been used with another. It follows from both, so the same
 * content is rejected once, however often it comes.
 */
export function contentId({ writeId, payloadHash }: Pick<Write, "writeId" | "payloadHash">): string {
  return derivedId("content", writeId, payloadHash);
}

/** Why it is rejected. */
export function reusedRejection(write: Write): Rejection {
  const { writeId } = write;
  const message = `write id ${writeId} was used before with other content; this content is rejected as write ${contentId(write)}; whoever sent it may know that already`;
  return { reason: "WRITE_ID_REUSED", message, writeId };
}
