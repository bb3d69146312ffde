import { hash, randomBytes, randomInt } from "node:crypto";

/** A token of the service's own: `opsdb_<id>_<secret>`. */
export interface BearerToken {
  /** No secret: it may be logged and listed. */
  id: string;
  /** All of it. Nobody but its owner keeps it. */
  text: string;
  hash: Buffer;
}

const form = /^opsdb_([0-9a-z]{12})_[A-Za-z0-9_-]{43}$/;
const letters = "0123456789abcdefghijklmnopqrstuvwxyz";

/** Makes a token with 256 random bits. */
export function newBearerToken(): BearerToken {
  const id = Array.from({ length: 12 }, () => letters[randomInt(letters.length)]).join("");
  const text = `opsdb_${id}_${randomBytes(32).toString("base64url")}`;
  return { id, text, hash: hashOf(text) };
}

/** Undefined: it has not the form of one. Hashing costs about a microsecond. */
export function parseBearerToken(text: string): BearerToken | undefined {
  const id = form.exec(text)?.[1];
  return id === undefined ? undefined : { id, text, hash: hashOf(text) };
}

function hashOf(text: string): Buffer {
  return hash("sha256", text, "buffer");
}
