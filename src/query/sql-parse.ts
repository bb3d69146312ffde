import { hasSqlDetails, loadModule, parseSync } from "libpg-query";
import { sqlInvalid, sqlRefused } from "./sql-errors.ts";
import { SqlText } from "./sql-text.ts";

/** A node of PostgreSQL's own parse tree: what it says of itself, and its parts. */
export type ParseNode = Readonly<Record<string, unknown>>;

export interface ParsedSql {
  text: SqlText;
  /** The one SelectStmt. */
  select: ParseNode;
}

/** Parsing is synchronous: a longer statement would hold up everybody else. */
const MAX_BYTES = 64 * 1024;

/**
 * Reads one statement with PostgreSQL's own parser. Throws SQL_INVALID for what PostgreSQL would not understand, and
 * SQL_REFUSED for anything but one SELECT (VALUES, TABLE, WITH ... SELECT).
 */
export async function parseSql(sql: string): Promise<ParsedSql> {
  await loadModule();
  const text = new SqlText(sql);
  // What comes after a NUL the parser would not see.
  if (sql.includes("\0") || !sql.isWellFormed()) throw sqlInvalid("the statement is not valid Unicode text");
  if (text.byteLength > MAX_BYTES)
    throw sqlRefused("length", `a statement has at most ${MAX_BYTES} bytes; long lists go into an array parameter`);
  if (sql.trim() === "") throw sqlInvalid("there is no statement");
  const { stmts = [] } = parse(text) as { stmts?: { stmt: ParseNode; stmt_location?: number }[] };
  const [first, second] = stmts;
  if (!first) throw sqlInvalid("there is no statement");
  if (second)
    throw sqlRefused("second statement", "only one statement is allowed", { text, byte: second.stmt_location ?? 0 });
  const { SelectStmt: select } = first.stmt;
  if (!select) {
    const kind = (Object.keys(first.stmt)[0] ?? "").replace(/Stmt$/, "");
    throw sqlRefused(kind, `only SELECT is allowed, not ${kind.replace(/(?<=[a-z])(?=[A-Z])/g, " ").toUpperCase()}`);
  }
  return { text, select: select as ParseNode };
}

function parse(text: SqlText): unknown {
  try {
    return parseSync(text.text);
  } catch (error) {
    if (hasSqlDetails(error))
      throw sqlInvalid(
        error.message,
        { text, byte: text.byteOf(error.sqlDetails?.cursorPosition ?? 0) },
        { sqlstate: "42601" },
      );
    // The parser has the stack that there is.
    throw sqlRefused("nesting", "the statement is nested too deeply");
  }
}
