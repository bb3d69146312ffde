import type { Statement } from "./connection.ts";

/** A row of opsdb.access_token as JSON has it. */
export interface AccessTokenRow {
  id: string;
  name: string;
  /** Hexadecimal. */
  hash: string;
  roles: string[];
  tables: string[];
  calls_per_second: number | null;
  burst: number | null;
  message_bytes: number | null;
  created_by: string;
  /** Seconds since 1970. */
  created_at: number;
  expires_at: number | null;
  revoked_at: number | null;
}

/** All tokens as one JSON text, so that what has not changed is seen by comparing texts. */
export function selectAccessTokens(): Statement {
  return {
    name: "opsdb_access_tokens",
    text: `
      select coalesce(json_agg(json_build_object(
        'id', id, 'name', name, 'hash', encode(hash, 'hex'), 'roles', roles, 'tables', tables,
        'calls_per_second', calls_per_second, 'burst', burst, 'message_bytes', message_bytes,
        'created_by', created_by, 'created_at', extract(epoch from created_at),
        'expires_at', extract(epoch from expires_at), 'revoked_at', extract(epoch from revoked_at)
      ) order by created_at, id), '[]')::text
      from opsdb.access_token`,
  };
}

export type NewAccessToken = Omit<AccessTokenRow, "created_at" | "revoked_at">;

export function insertAccessToken(token: NewAccessToken): Statement {
  return {
    text: `
      insert into opsdb.access_token
        (id, name, hash, roles, tables, calls_per_second, burst, message_bytes, created_by, expires_at)
      values ($1, $2, decode($3, 'hex'), $4, $5, $6, $7, $8, $9, to_timestamp($10))`,
    values: [
      token.id,
      token.name,
      token.hash,
      token.roles,
      token.tables,
      token.calls_per_second,
      token.burst,
      token.message_bytes,
      token.created_by,
      token.expires_at,
    ],
  };
}

/** Answers the name and when it was revoked, the first time; no row where there is no such token. */
export function revokeAccessToken(id: string): Statement {
  return {
    text: `
      update opsdb.access_token set revoked_at = coalesce(revoked_at, clock_timestamp()) where id = $1
      returning name, to_char(revoked_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS"Z"')`,
    values: [id],
  };
}
