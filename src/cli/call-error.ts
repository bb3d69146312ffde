import { Code, ConnectError } from "@connectrpc/connect";
import { exitCode } from "./exit-code.ts";
import { reasonOf, transient } from "./transient.ts";

/** What to do about a refusal, where its message does not say it already. */
const advice: Record<string, string> = {
  NO_BUFFER: "name a server of a secondary site with --server",
  NOT_REJECTED: "see how far it is with: opsdb writes get ID",
  ALREADY_RESOLVED: "see what was done with: opsdb writes rejected --all",
  WRITE_NOT_FOUND: "list rejected writes with: opsdb writes rejected",
  TABLE_NOT_FOUND: "list the tables with: opsdb tables",
  COLUMN_NOT_FOUND: "see its columns with: opsdb tables TABLE",
  MISSING_KEY: "see its primary key with: opsdb tables TABLE",
  ROW_EXISTS: "choose another key, or upsert",
  ROW_NOT_FOUND: "insert it, or upsert",
  BUFFER_FULL: "see what holds writes up with: opsdb drain show",
  MESSAGE_TOO_LARGE: "make smaller writes, or ask for less",
  POSITION_FORGOTTEN: "ask for one write with: opsdb writes get ID",
  ACCESS_TOKEN_MISSING: "name the file of one with --token-file, or set OPSDB_TOKEN",
  ACCESS_TOKEN_INVALID: "see which tokens hold with: opsdb tokens list",
  ACCESS_TOKEN_EXPIRED: "make a new one with: opsdb tokens create",
  ACCESS_TOKEN_REVOKED: "make a new one with: opsdb tokens create",
  ACCESS_DENIED: "use a token that may, or make one with: opsdb tokens create",
};

/** What the reason means where a rejected write is stored again. */
const adviceOnRetry: Record<string, string> = {
  TABLE_NOT_FOUND: "mend the schema on the main database, then try again",
  COLUMN_NOT_FOUND: "mend the schema on the main database, then try again",
  ROW_EXISTS: "mend the row on the main database, or discard the write",
  ROW_NOT_FOUND: "mend the row on the main database, or discard the write",
};

/** An error of a call in one sentence with what to do, and the exit code that goes with it. */
export function describeCallError(
  thrown: unknown,
  server: string,
  command?: string,
): { message: string; code: number } {
  const error = ConnectError.from(thrown);
  const reason = reasonOf(error);
  if (reason === undefined && error.code === Code.Unavailable)
    return {
      message: `no server can be reached at ${server} (${error.rawMessage}); name another with --server or OPSDB_SERVER`,
      code: exitCode.failure,
    };
  if (reason === undefined && error.code === Code.Unimplemented)
    return {
      message: `the server at ${server} does not know this call; it is older than this program`,
      code: exitCode.failure,
    };
  if (reason === undefined && transient(error))
    return { message: `the connection to ${server} broke off (${error.rawMessage})`, code: exitCode.failure };
  const passing = [Code.Unavailable, Code.DeadlineExceeded, Code.Internal].includes(error.code);
  const what =
    (command === "writes retry" ? adviceOnRetry[reason ?? ""] : undefined) ??
    advice[reason ?? ""] ??
    (error.code === Code.Unavailable ? "try again in a moment" : undefined);
  return {
    message: `${error.rawMessage} (${reason ?? Code[error.code]})${what === undefined ? "" : `; ${what}`}`,
    code: reason === undefined || passing ? exitCode.failure : exitCode.refused,
  };
}
