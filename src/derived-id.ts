import { createHash } from "node:crypto";

/** UUID version 8 of the SHA-256 of its purpose and what it follows from: always the same. */
export function derivedId(purpose: string, ...from: (string | Uint8Array)[]): string {
  const hash = createHash("sha256").update(`opsdb ${purpose} `);
  for (const part of from) hash.update(part);
  const bytes = hash.digest().subarray(0, 16);
  bytes.writeUInt8((bytes.readUInt8(6) & 0x0f) | 0x80, 6);
  bytes.writeUInt8((bytes.readUInt8(8) & 0x3f) | 0x80, 8);
  const hex = bytes.toString("hex");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}
