import { sqlRefused } from "./sql-errors.ts";
import type { ParsedSql, ParseNode } from "./sql-parse.ts";

/** A name as the statement says it; without a schema it is looked for on the search path. */
export interface SqlName {
  schema: string | undefined;
  name: string;
  /** Where it stands, bytes. */
  at: number;
}

/** A relation in FROM that is no CTE of the statement. */
export interface RelationName extends SqlName {
  /** Of the text to replace, bytes: the name, and what belongs to it (TABLE before it, * behind it). */
  start: number;
  end: number;
  /** The name by which the rest of the statement knows it, where it has no alias. */
  aliased: boolean;
  /** `TABLE name`, which stands for a whole SELECT. */
  command: boolean;
  only: boolean;
  sampled: boolean;
}

export interface FunctionName extends SqlName {
  /** Undefined: not told by the syntax. */
  arguments: number | undefined;
  /** `(value).name`, which may as well be a column. */
  field: boolean;
}

/** All that a statement refers to by name. */
export interface SqlNames {
  relations: RelationName[];
  functions: FunctionName[];
  operators: SqlName[];
  types: SqlName[];
  /** Columns given with a schema: schema.table.column. */
  columns: SqlName[];
  /** The highest n of $n. */
  parameters: number;
}

/**
 * Collects every name in a statement, with the scopes of its CTEs. Every kind of node has to be known here: what is not
 * is refused, so that nothing passes unseen. Throws SQL_REFUSED for anything but reading.
 */
export function namesOf(parsed: ParsedSql): SqlNames {
  const walk = new Walk(parsed);
  try {
    walk.select(parsed.select, noCtes);
    if (walk.seen !== countWatched(parsed.select)) throw new Error("bug: a part of the statement was passed over");
  } catch (error) {
    if (error instanceof RangeError) throw sqlRefused("nesting", "the statement is nested too deeply");
    throw error;
  }
  return walk.names;
}

type Scope = ReadonlySet<string>;
const noCtes: Scope = new Set();

/** Kinds of nodes that reach something: none of them may be passed over, wherever in the tree it is. */
const watched: ReadonlySet<string> = new Set(["RangeVar", "FuncCall", "A_Expr", "SubLink", "A_Indirection"]);

/** Counts them without knowing anything of the tree but how it says of which kind a node is. */
function countWatched(value: unknown): number {
  if (typeof value !== "object" || value === null) return 0;
  let count = 0;
  for (const [key, part] of Object.entries(value)) count += (watched.has(key) ? 1 : 0) + countWatched(part);
  return count;
}

/** Nodes of expressions and of FROM whose parts are all that there is to them. */
const plainNodes: ReadonlySet<string> = new Set(
  `List ResTarget BoolExpr NullTest BooleanTest A_ArrayExpr A_Indices CoalesceExpr MinMaxExpr RowExpr NamedArgExpr
  CaseWhen SetToDefault SQLValueFunction XmlExpr XmlSerialize CollateClause TypeCast GroupingFunc GroupingSet WindowDef
  RangeSubselect RangeFunction RangeTableFunc RangeTableFuncCol ColumnDef Alias CTESearchClause CTECycleClause
  JsonTable JsonTableColumn JsonTablePathSpec JsonFuncExpr JsonValueExpr JsonFormat JsonOutput JsonReturning JsonBehavior
  JsonArgument JsonScalarExpr JsonSerializeExpr JsonParseExpr JsonKeyValue JsonObjectConstructor JsonArrayConstructor
  JsonArrayQueryConstructor JsonAggConstructor JsonObjectAgg JsonArrayAgg JsonIsPredicate`.split(/\s+/),
);
const leaves: ReadonlySet<string> = new Set("A_Const A_Star String Integer Float Boolean BitString".split(" "));
/** Fields that hold a node without saying of which kind. */
const bareFields: ReadonlySet<string> = new Set(
  `alias join_using_alias over collClause search_clause cycle_clause context_item pathspec on_empty on_error format output
  returning constructor arg value expr val func`.split(/\s+/),
);

class Walk {
  readonly names: SqlNames = { relations: [], functions: [], operators: [], types: [], columns: [], parameters: 0 };
  /** Nodes of the watched kinds that it came to. */
  seen = 0;
  readonly #parsed: ParsedSql;

  constructor(parsed: ParsedSql) {
    this.#parsed = parsed;
  }

  select(node: ParseNode, scope: Scope): void {
    const { withClause, intoClause, lockingClause, larg, rarg, ...rest } = node;
    if (intoClause) this.#refuse("SELECT INTO", "SELECT INTO makes a table; only reading is allowed");
    if (lockingClause) this.#refuse("FOR UPDATE", "rows cannot be locked here: leave FOR UPDATE or FOR SHARE out");
    const inner = withClause ? this.#with(withClause as ParseNode, scope) : scope;
    if (larg) this.select(larg as ParseNode, inner);
    if (rarg) this.select(rarg as ParseNode, inner);
    const table = tableCommand(node);
    if (table) this.#relation(table, inner, { command: true });
    this.#parts(table ? { ...rest, targetList: [], fromClause: [] } : rest, inner);
  }

  /** A CTE sees those before it, and with RECURSIVE all of its clause. */
  #with({ ctes, recursive }: ParseNode, scope: Scope): Scope {
    const visible = new Set(scope);
    const all = (ctes as { CommonTableExpr: ParseNode }[]).map(({ CommonTableExpr }) => CommonTableExpr);
    if (recursive) for (const { ctename } of all) visible.add(ctename as string);
    for (const { ctename, ctequery, ...rest } of all) {
      const query = (ctequery as { SelectStmt?: ParseNode }).SelectStmt;
      if (!query) this.#refuse("data-modifying CTE", "WITH may only read here", rest);
      this.select(query as ParseNode, new Set(visible));
      this.#parts(rest, visible);
      visible.add(ctename as string);
    }
    return visible;
  }

  #parts(node: ParseNode, scope: Scope): void {
    for (const [field, value] of Object.entries(node)) {
      if (typeof value !== "object" || value === null) continue;
      if (Array.isArray(value)) for (const part of value) this.#part(field, part as ParseNode, scope);
      else this.#part(field, value as ParseNode, scope);
    }
  }

  /** What a field holds says of which kind it is, `{"FuncCall": {...}}`, but for some fields of one fixed kind. */
  #part(field: string, value: ParseNode, scope: Scope): void {
    const [kind, ...more] = Object.keys(value);
    if (kind === undefined) return; // nothing, in a list
    if (more.length === 0 && /^[A-Z]/.test(kind)) this.#node(kind, value[kind] as ParseNode, scope);
    else if (field === "typeName") this.#node("TypeName", value, scope);
    else if (bareFields.has(field)) this.#parts(value, scope);
    else this.#refuse(field, `the service does not know this kind of SQL: ${field}`);
  }

  #node(kind: string, node: ParseNode, scope: Scope): void {
    if (watched.has(kind) && kind !== "RangeVar") this.seen += 1;
    switch (kind) {
      case "SelectStmt":
        this.select(node, scope);
        return;
      case "RangeVar":
        this.#relation(node, scope);
        return;
      case "RangeTableSample": {
        const { relation, ...rest } = node as { relation: { RangeVar?: ParseNode } };
        if (relation.RangeVar) this.#relation(relation.RangeVar, scope, { sampled: true });
        else this.#part("relation", relation, scope);
        this.#parts(rest, scope);
        return;
      }
      case "FuncCall":
        this.#function(node);
        break;
      case "A_Expr":
        for (const name of /BETWEEN/.test(String(node.kind)) ? ["<=", ">="] : [undefined])
          this.#operator(name === undefined ? node.name : [{ String: { sval: name } }], node);
        break;
      case "SubLink":
        if (node.operName) this.#operator(node.operName, node);
        else if (node.subLinkType === "ANY_SUBLINK") this.#equality(node);
        break;
      case "CaseExpr":
        if (node.arg) this.#equality(node);
        break;
      case "JoinExpr":
        if (node.usingClause || node.isNatural) this.#equality(node);
        break;
      case "SortBy":
        if (node.useOp) this.#operator(node.useOp, node);
        break;
      case "TypeName":
        this.names.types.push(this.#name(node.names, node));
        break;
      case "ColumnRef":
        this.#column(node);
        return;
      case "A_Indirection":
        for (const part of node.indirection as { String?: { sval?: string } }[])
          if (part.String) this.names.functions.push({ ...this.#name([part], node), arguments: 1, field: true });
        break;
      case "ParamRef":
        this.names.parameters = Math.max(this.names.parameters, Number(node.number ?? 0));
        return;
      default:
        if (leaves.has(kind)) return;
        if (!plainNodes.has(kind)) this.#refuse(kind, `the service does not know this kind of SQL: ${kind}`, node);
    }
    this.#parts(node, scope);
  }

  #function(node: ParseNode): void {
    const count = Array.isArray(node.args) ? node.args.length : 0;
    // Arguments after WITHIN GROUP and those of VARIADIC count otherwise.
    const told = !node.agg_within_group && !node.func_variadic;
    const name = this.#name(node.funcname, node);
    this.names.functions.push({ ...name, arguments: told ? count : undefined, field: false });
    // "numeric(x)" is a cast written like a call.
    if (count === 1) this.names.types.push(name);
  }

  #column(node: ParseNode): void {
    const names = (node.fields as { String?: { sval?: string } }[]).map(({ String: name }) => name?.sval);
    if (names.length > 2)
      this.names.columns.push({ schema: names.at(-3), name: names.at(-2) ?? "", at: this.#at(node) });
    const last = names.at(-1);
    if (names.length > 1 && last !== undefined)
      this.names.functions.push({ schema: undefined, name: last, at: this.#at(node), arguments: 1, field: true });
  }

  #equality(node: ParseNode): void {
    this.#operator([{ String: { sval: "=" } }], node);
  }

  #operator(names: unknown, node: ParseNode): void {
    this.names.operators.push(this.#name(names, node));
  }

  #relation(node: ParseNode, scope: Scope, { sampled = false, command = false } = {}): void {
    this.seen += 1;
    const name = node.relname as string;
    const schema = node.schemaname as string | undefined;
    if (schema === undefined && scope.has(name)) return;
    if (node.catalogname !== undefined)
      this.#refuse("database name", `name the table without its database: ${schema ?? ""}.${name}`, node);
    const at = this.#at(node);
    const { text } = this.#parsed;
    const parts = schema === undefined ? [name] : [schema, name];
    const spelled = spelledName(text.slice(at, at + LONGEST_NAME), parts);
    if (spelled === undefined)
      this.#refuse("unusual name", `write the name of the table plainly, or in double quotes: ${name}`, node);
    const start = command ? beforeName.exec(text.slice(Math.max(0, at - LONGEST_NAME), at))?.[0] : "";
    if (start === undefined) this.#refuse("unusual name", `write SELECT * FROM instead of TABLE: ${name}`, node);
    this.names.relations.push({
      schema,
      name,
      at,
      start: at - start.length,
      end: at + Buffer.byteLength(spelled),
      aliased: node.alias !== undefined,
      command,
      only: node.inh !== true,
      sampled,
    });
  }

  #name(names: unknown, node: ParseNode): SqlName {
    const parts = (names as { String?: { sval?: string } }[]).map(({ String: part }) => part?.sval ?? "");
    return { schema: parts.at(-2), name: parts.at(-1) ?? "", at: this.#at(node) };
  }

  #at(node: ParseNode): number {
    return Number(node.location ?? 0);
  }

  #refuse(construct: string, message: string, node?: ParseNode): never {
    const at = node?.location;
    const spot = typeof at === "number" && at >= 0 ? { text: this.#parsed.text, byte: at } : undefined;
    throw sqlRefused(construct, message, spot);
  }
}

/** The relation of `TABLE name`, whose star nobody wrote, so that it stands nowhere. */
function tableCommand({ targetList, fromClause }: ParseNode): ParseNode | undefined {
  const [column] = (targetList ?? []) as { ResTarget?: { location?: number } }[];
  const [relation] = (fromClause ?? []) as { RangeVar?: ParseNode }[];
  return column?.ResTarget?.location === -1 ? relation?.RangeVar : undefined;
}

/** How far a name and what is before or in it are looked at, bytes. */
const LONGEST_NAME = 1_000;
const beforeName = /table[ \t\r\n\f\v]+(?:only[ \t\r\n\f\v]*[ \t\r\n\f\v(]*)?$/i;
const between = String.raw`(?:[ \t\r\n\f\v]|--[^\r\n]*[\r\n]|/\*(?:(?!/\*|\*/)[^])*\*/)*`;
const identifier = String.raw`("(?:[^"]|"")*"|[A-Za-z_\u0080-\u{10ffff}][\w$\u0080-\u{10ffff}]*)`;
const spellings = [1, 2].map(
  (parts) =>
    new RegExp(
      `^${Array.from({ length: parts }, () => identifier).join(`${between}\\.${between}`)}(?:${between}\\*)?`,
      "u",
    ),
);

/** The text with which the statement names a relation; undefined where these are not the names that it says. */
function spelledName(text: string, names: readonly string[]): string | undefined {
  const [spelled, ...parts] = spellings[names.length - 1]?.exec(text) ?? [];
  return parts.every((part, i) => nameOf(part) === names[i]) ? spelled : undefined;
}

/** What PostgreSQL makes of an identifier's text. */
function nameOf(text: string): string {
  const quoted = text.startsWith('"');
  return truncate(
    quoted ? text.slice(1, -1).replaceAll('""', '"') : text.replace(/[A-Z]+/g, (letters) => letters.toLowerCase()),
  );
}

/** PostgreSQL keeps 63 bytes of a name, and no half character. */
function truncate(name: string): string {
  let kept = "";
  let bytes = 0;
  for (const character of name) {
    bytes += Buffer.byteLength(character);
    if (bytes > 63) break;
    kept += character;
  }
  return kept;
}
