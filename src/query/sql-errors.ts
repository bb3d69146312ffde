import pg from "pg";
import { OpsDbError } from "../errors.ts";
import { classify, messageOf } from "../postgres/sqlstate.ts";
import type { SqlText } from "./sql-text.ts";

/** Where in the client's statement something is. */
export interface SqlSpot {
  text: SqlText;
  byte: number;
}

/** A statement that PostgreSQL does not understand, or that fails for what it says. */
export function sqlInvalid(
  message: string,
  spot?: SqlSpot,
  more: { sqlstate?: string; cause?: unknown } = {},
): OpsDbError {
  return sqlError("SQL_INVALID", message, spot, more);
}

/** A statement that may be right, but does what is not allowed here. `construct` names it for programs. */
export function sqlRefused(construct: string, message: string, spot?: SqlSpot): OpsDbError {
  return sqlError("SQL_REFUSED", message, spot, { construct });
}

function sqlError(
  reason: "SQL_INVALID" | "SQL_REFUSED",
  message: string,
  spot: SqlSpot | undefined,
  { sqlstate, construct, cause }: { sqlstate?: string; construct?: string; cause?: unknown },
): OpsDbError {
  const place = spot?.text.place(spot.byte);
  return new OpsDbError(reason, place ? `${message} (line ${place.line}, column ${place.column})` : message, {
    field: "sql",
    metadata: {
      ...(sqlstate !== undefined && { sqlstate }),
      ...(construct !== undefined && { construct }),
      ...(place && { position: String(place.position) }),
    },
    ...(cause !== undefined && { cause }),
  });
}

/** A database error that the client's statement has met; undefined where it is not the statement's. */
export function translateSqlError(
  error: unknown,
  spotOf: (position: number) => SqlSpot | undefined,
): OpsDbError | undefined {
  if (!(error instanceof pg.DatabaseError)) return undefined;
  const { code = "", hint, position, where = "" } = error;
  const message = [messageOf(error), hint].filter((part) => part !== undefined && part !== "").join(". ");
  const parameter = /parameter \$(\d+)/.exec(where)?.[1];
  if (parameter !== undefined && code.startsWith("22"))
    return new OpsDbError("INVALID_VALUE", message, {
      field: `parameters[${Number(parameter) - 1}]`,
      metadata: { sqlstate: code },
      cause: error,
    });
  if (code === "42501")
    return new OpsDbError("DATABASE_REFUSED", `${message}: SQL runs with the rights of SQL_ROLE, also below views`, {
      field: "sql",
      metadata: { sqlstate: code },
      cause: error,
    });
  // Memory, temporary files, nesting and sizes; but not that all connections are taken.
  if (/^(53[124]|54)/.test(code))
    return new OpsDbError("QUERY_TOO_LARGE", `the statement needs more than the database gives it: ${message}`, {
      field: "sql",
      metadata: { sqlstate: code },
      cause: error,
    });
  if (classify(error) !== "permanent" && code !== "25006") return undefined;
  const spot = position === undefined ? undefined : spotOf(Number(position));
  // Through the merged form the primary key does not stand for the other columns of its table.
  const advice =
    code === "42803" ? ". In a merged read GROUP BY has to name every such column, also beside a primary key" : "";
  return sqlInvalid(`${message}${advice}`, spot, { sqlstate: code, cause: error });
}
