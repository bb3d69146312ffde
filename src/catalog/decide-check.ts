import { OpsDbError } from "../errors.ts";
import type { TextValue } from "../value.ts";
import type { Check, ColumnType, Table } from "./catalog.ts";

/** SQL's three truth values; undefined where memory cannot tell. */
export type Verdict = boolean | null | undefined;

/** The value of a column in the row at hand; undefined where the row does not have it. */
export type RowValues = (column: string) => TextValue | undefined;

/**
 * Whether a row satisfies a CHECK, for the plain conditions that most CHECKs are: comparisons with constants, IN lists,
 * IS NULL, combined by AND, OR and NOT. Anything else is for the database to decide.
 */
export function decideCheck(table: Table, check: Check, row: RowValues): Verdict {
  let condition = conditions.get(check);
  if (!condition) {
    condition = parse(table, check.expression);
    conditions.set(check, condition);
  }
  return condition(row);
}

/** The error for a CHECK that does not hold. `path` is that of the values, for the field. */
export function checkViolation(table: Table, check: Check, path: string): OpsDbError {
  const [column, ...others] = check.columns;
  return new OpsDbError("CHECK_VIOLATION", `the row violates ${check.name}: ${check.expression}`, {
    field: column !== undefined && others.length === 0 ? `${path}[${JSON.stringify(column)}]` : path,
    metadata: { table: table.name, constraint: check.name },
  });
}

type Condition = (row: RowValues) => Verdict;

/** A value as far as it can be compared here; opaque ones are known not to be NULL and nothing else. */
type Operand =
  | { kind: "number"; value: number; float?: true }
  | { kind: "text"; value: string }
  | { kind: "opaque" }
  | null
  | undefined;
type Expression = (row: RowValues) => Operand;

const conditions = new WeakMap<Check, Condition>();
const undecided: Condition = () => undefined;

/** Thrown, and caught here, where an expression is more than this parser knows. */
class TooRich extends Error {}

function parse(table: Table, text: string): Condition {
  try {
    const parser = new CheckParser(table, text);
    const condition = parser.condition();
    return parser.atEnd() ? condition : undecided;
  } catch (error) {
    if (error instanceof TooRich) return undecided;
    throw error;
  }
}

const TOKEN = /\s*('(?:[^']|'')*'|"(?:[^"]|"")*"|\d+(?:\.\d+)?|[A-Za-z_]\w*|::|<>|<=|>=|[-=<>()[\],.])/y;
const OPERATORS = ["=", "<>", "<", "<=", ">", ">="];
const NUMBER_TYPES = ["numeric", "double precision", "smallint", "integer", "bigint"];

/** Reads what pg_get_expr prints, which has parentheses around every operation. */
class CheckParser {
  readonly #table: Table;
  readonly #tokens: string[] = [];
  #at = 0;

  constructor(table: Table, text: string) {
    this.#table = table;
    const token = new RegExp(TOKEN);
    while (token.lastIndex < text.trimEnd().length) {
      const match = token.exec(text);
      if (!match) throw new TooRich();
      this.#tokens.push(match[1] ?? "");
    }
  }

  atEnd(): boolean {
    return this.#at === this.#tokens.length;
  }

  /** AND and OR are never mixed without parentheses. */
  condition(): Condition {
    const parts = [this.#simple()];
    const word = this.#peek();
    while ((word === "AND" || word === "OR") && this.#take(word)) parts.push(this.#simple());
    if (parts.length === 1) return parts[0] ?? undecided;
    return word === "AND" ? (row) => every(parts, row, true) : (row) => every(parts, row, false);
  }

  #simple(): Condition {
    if (this.#take("NOT")) return negate(this.#simple());
    const start = this.#at;
    if (this.#take("(")) {
      try {
        const inner = this.condition();
        this.#expect(")");
        if (![...OPERATORS, "IS", "::"].includes(this.#peek())) return inner;
      } catch (error) {
        if (!(error instanceof TooRich)) throw error;
      }
      this.#at = start; // it was the left side of a comparison
    }
    return this.#comparison();
  }

  #comparison(): Condition {
    const left = this.#operand();
    if (this.#take("IS")) {
      const negated = this.#take("NOT");
      this.#expect("NULL");
      return (row) => {
        const value = left(row);
        return value === undefined ? undefined : (value === null) !== negated;
      };
    }
    const operator = this.#next();
    if (!OPERATORS.includes(operator)) throw new TooRich();
    if (operator === "=" && this.#take("ANY")) {
      const members = this.#list();
      return (row) =>
        every(
          members.map((m) => (r: RowValues) => compare("=", left(r), m(r))),
          row,
          false,
        );
    }
    const right = this.#operand();
    return (row) => compare(operator, left(row), right(row));
  }

  /** `(ARRAY['a'::text, 'b'::text])` and `((ARRAY[...])::text[])`. */
  #list(): Expression[] {
    let depth = 0;
    while (this.#take("(")) depth++;
    this.#expect("ARRAY");
    this.#expect("[");
    const members = [this.#operand()];
    while (this.#take(",")) members.push(this.#operand());
    this.#expect("]");
    for (; depth > 0; depth--) {
      this.#expect(")");
      if (this.#peek() === "::" && this.#typeName() !== "text[]") throw new TooRich();
    }
    return members;
  }

  #operand(): Expression {
    let operand = this.#primary();
    while (this.#peek() === "::") operand = cast(this.#typeName(), operand);
    return operand;
  }

  #primary(): Expression {
    if (this.#take("(")) {
      const inner = this.#operand();
      this.#expect(")");
      return inner;
    }
    const token = this.#next();
    if (/^\d/.test(token)) return constant(numberOf(token));
    if (token.startsWith("'")) return constant({ kind: "text", value: token.slice(1, -1).replaceAll("''", "'") });
    const name = token.startsWith('"') ? token.slice(1, -1).replaceAll('""', '"') : token;
    const column = this.#table.byName.get(name);
    if (!column || this.#peek() === "(" || this.#peek() === ".") throw new TooRich();
    return (row) => operandOf(column.type, row(name));
  }

  /** A type as one text; the tokens of "double precision" stand apart. */
  #typeName(): string {
    this.#expect("::");
    let name = this.#next();
    while (["precision", "varying"].includes(this.#peek())) name += ` ${this.#next()}`;
    if (this.#take(".")) name += `.${this.#next()}`;
    if (this.#peek() === "(") throw new TooRich(); // a length or precision changes the value
    if (this.#take("[")) {
      this.#expect("]");
      name += "[]";
    }
    return name;
  }

  #peek(): string {
    return this.#tokens[this.#at] ?? "";
  }

  #next(): string {
    return this.#tokens[this.#at++] ?? "";
  }

  #take(token: string): boolean {
    if (this.#peek() !== token) return false;
    this.#at++;
    return true;
  }

  #expect(token: string): void {
    if (!this.#take(token)) throw new TooRich();
  }
}

function constant(operand: Operand): Expression {
  return () => operand;
}

/** Only casts that keep the value. */
function cast(type: string, operand: Expression): Expression {
  return (row) => {
    const value = operand(row);
    if (!value || value.kind === "opaque") return value;
    if (!NUMBER_TYPES.includes(type)) return value.kind === "text" ? value : { kind: "opaque" };
    const number = value.kind === "text" ? numberOf(value.value) : value;
    if (number.kind !== "number") return { kind: "opaque" };
    // A cast to an integer rounds, and so does one from a float to numeric.
    const rounds = type !== "double precision" && (type !== "numeric" || number.float === true);
    return rounds && !Number.isInteger(number.value) ? { kind: "opaque" } : number;
  };
}

function operandOf(type: ColumnType, text: TextValue | undefined): Operand {
  if (text === undefined || text === null) return text;
  if (type.array || type.domain) return { kind: "opaque" };
  if (type.base === "float4") return float(Math.fround(Number(text)));
  if (type.base === "float8") return float(Number(text));
  if (["int2", "int4", "int8", "numeric"].includes(type.base)) return numberOf(text);
  if (["text", "varchar"].includes(type.base) || type.enumValues.length > 0) return { kind: "text", value: text };
  return { kind: "opaque" };
}

/** Decimals of up to 15 digits keep their order as doubles. */
function numberOf(text: string): Operand & object {
  return /^-?(?=(?:\D?\d){1,15}$)\d+(?:\.\d+)?$/.test(text) ? finite(Number(text)) : { kind: "opaque" };
}

function float(value: number): Operand {
  return Number.isFinite(value) ? { kind: "number", value, float: true } : { kind: "opaque" };
}

function finite(value: number): Operand & object {
  return Number.isFinite(value) ? { kind: "number", value } : { kind: "opaque" };
}

function compare(operator: string, left: Operand, right: Operand): Verdict {
  if (left === undefined || right === undefined) return undefined;
  if (left === null || right === null) return null;
  if (left.kind === "number" && right.kind === "number") return compareNumbers(operator, left.value, right.value);
  // Texts that differ may still be equal in a collation, or be ordered by it.
  const same = left.kind === "text" && right.kind === "text" && left.value === right.value;
  return same && !["<", ">"].includes(operator) ? operator !== "<>" : undefined;
}

function compareNumbers(operator: string, left: number, right: number): boolean {
  switch (operator) {
    case "=":
      return left === right;
    case "<>":
      return left !== right;
    case "<":
      return left < right;
    case "<=":
      return left <= right;
    case ">":
      return left > right;
    default:
      return left >= right;
  }
}

/** AND (`all` true) and OR (`all` false): the opposite value decides alone, then what is unknown, then NULL. */
function every(parts: readonly Condition[], row: RowValues, all: boolean): Verdict {
  const verdicts = parts.map((part) => part(row));
  if (verdicts.includes(!all)) return !all;
  if (verdicts.includes(undefined)) return undefined;
  return verdicts.includes(null) ? null : all;
}

function negate(condition: Condition): Condition {
  return (row) => {
    const verdict = condition(row);
    return typeof verdict === "boolean" ? !verdict : verdict;
  };
}
