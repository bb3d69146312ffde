import type { OpsDbError } from "../errors.ts";
import type { TokenBucket } from "../lib/token-bucket.ts";
import type { TableScope } from "./table-scope.ts";

export const roles = ["read", "write", "admin", "sql"] as const;

export type Role = (typeof roles)[number];

/** Who calls, as the token says, and what that lets them do. */
export interface Caller {
  /** For logs: the token's id, or the subject that the identity provider names. */
  readonly id: string;
  /** For people and records. */
  readonly name: string;
  readonly roles: ReadonlySet<Role>;
  readonly tables: TableScope;
  /** Largest message, bytes as they are sent; undefined: that of every caller. */
  readonly messageBytes: number | undefined;
  /** Calls per second; undefined: any number. */
  readonly calls: CallRate | undefined;
  /** Why the caller may not go on with what was allowed before; undefined: it may. */
  ended(): OpsDbError | undefined;
}

export interface CallRate {
  readonly bucket: TokenBucket;
  readonly perSecond: number;
}

export function isRole(text: unknown): text is Role {
  return roles.includes(text as Role);
}
