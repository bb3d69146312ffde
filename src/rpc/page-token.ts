import { OpsDbError } from "../errors.ts";
import { formatPosition, parsePosition } from "../position.ts";
import type { PageKey } from "../site/operator.ts";
import { parseWriteId } from "./write-id.ts";

const defaultSize = 50;
const largestSize = 500;
const field = "page_token";

export function decodePageSize(size: number): number {
  if (size <= largestSize) return size === 0 ? defaultSize : size;
  throw new OpsDbError("INVALID_FIELD", `a page has at most ${largestSize} writes`, { field: "page_size" });
}

/** Where a page ends, in a form that clients have no reason to look into. */
export function encodePageToken({ position, writeId }: PageKey): string {
  return Buffer.from(`${formatPosition(position)} ${writeId}`).toString("base64url");
}

export function decodePageToken(text: string): PageKey {
  const [position = "", writeId = ""] = Buffer.from(text, "base64url").toString().split(" ");
  try {
    return { position: parsePosition(position), writeId: parseWriteId(writeId, field) };
  } catch (cause) {
    throw new OpsDbError("INVALID_FIELD", "the page token is not one of this service", { field, cause });
  }
}
