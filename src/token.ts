import { OpsDbError } from "./errors.ts";
import { formatLsn, type Lsn, parseLsn } from "./lsn.ts";
import { formatPosition, type Position, parsePosition } from "./position.ts";

/** "At least as fresh as this". Opaque to clients. */
export interface Token {
  site: string;
  systemIdentifier: string;
  timeline: number;
  /** This write of the site, and all before it. Undefined: no write of a buffer. */
  position: Position | undefined;
  /** Everything on the main database up to here. Undefined: nothing is asked of replay. */
  lsn: Lsn | undefined;
}

type Encoded = [version: 1, site: string, system: string, timeline: number, position: string | 0, lsn: string | 0];

export function encodeToken(token: Token): Uint8Array {
  const encoded: Encoded = [
    1,
    token.site,
    token.systemIdentifier,
    token.timeline,
    token.position === undefined ? 0 : formatPosition(token.position),
    token.lsn === undefined ? 0 : formatLsn(token.lsn),
  ];
  return new TextEncoder().encode(JSON.stringify(encoded));
}

/** Throws INVALID_TOKEN for anything that encodeToken did not write. */
export function decodeToken(bytes: Uint8Array): Token {
  try {
    const decoded: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
    if (!Array.isArray(decoded) || decoded.length !== 6 || decoded[0] !== 1) throw new SyntaxError("another version");
    const [, site, systemIdentifier, timeline, position, lsn] = decoded as unknown[];
    if (typeof site !== "string" || typeof systemIdentifier !== "string" || !Number.isSafeInteger(timeline))
      throw new SyntaxError("wrong parts");
    return {
      site,
      systemIdentifier,
      timeline: timeline as number,
      position: position === 0 ? undefined : parsePosition(String(position)),
      lsn: lsn === 0 ? undefined : parseLsn(String(lsn)),
    };
  } catch (cause) {
    throw new OpsDbError("INVALID_TOKEN", "the token is malformed; pass on the bytes of an answer as they are", {
      field: "token",
      cause,
    });
  }
}
