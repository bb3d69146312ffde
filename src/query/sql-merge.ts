import type { Catalog, Table } from "../catalog/catalog.ts";
import { tableId } from "../catalog/create-catalog.ts";
import { OpsDbError } from "../errors.ts";
import type { Statement } from "../postgres/connection.ts";
import { quoteIdentifier as quote } from "../postgres/quote.ts";
import { type SqlSpot, sqlInvalid, sqlRefused } from "./sql-errors.ts";
import {
  type CalledFunction,
  parseFacts,
  type RelatedRelation,
  type RelationFacts,
  readFacts,
  type SqlFacts,
} from "./sql-facts.ts";
import { functionRefusal } from "./sql-functions.ts";
import { type FunctionName, namesOf, type RelationName, type SqlName, type SqlNames } from "./sql-names.ts";
import { type ParsedSql, parseSql } from "./sql-parse.ts";

/** A part of the statement that will be run, with the byte of the client's statement that it comes from. */
export type SqlPiece =
  /** Text: the client's own, byte for byte, or something else in the place of a name. */
  | { kind: "text"; text: string; from: number; own: boolean }
  /** A table, the merged form of which goes here. */
  | { kind: "table"; table: Table; from: number };

export interface MergeContext {
  catalog: Catalog;
  /** Whether tables are to be shown as they will be. Otherwise only what is not allowed at all is looked for. */
  merged: boolean;
  /** Runs a statement in the snapshot. */
  query: (statement: Statement) => Promise<(string | null)[][]>;
}

/**
 * Checks that a statement does nothing but read what it may, and finds every table in it that pending writes can change,
 * below views too. What is refused does not depend on what is pending now: a statement that works while the link is up
 * works while it is cut. Throws SQL_REFUSED, SQL_INVALID for a relation
 * that is not there, and SchemaChangedError.
 */
export async function mergeSql(parsed: ParsedSql, context: MergeContext): Promise<SqlPiece[]> {
  return (await rewrite(parsed, context, undefined)).pieces;
}

/** Which view's definition this is, and where the client's statement has the view. */
interface Inside {
  view: string;
  spot: SqlSpot;
  depth: number;
}

interface Rewritten {
  pieces: SqlPiece[];
  /** It reads a table that pending writes can change. */
  merges: boolean;
}

const MAX_VIEW_DEPTH = 32;

async function rewrite(parsed: ParsedSql, context: MergeContext, inside: Inside | undefined): Promise<Rewritten> {
  const names = namesOf(parsed);
  const facts = parseFacts(await context.query(readFacts(names)));
  const rewriting = new Rewriting({ parsed, context, inside, names, facts });
  rewriting.checkFunctions();
  return await rewriting.run();
}

class Rewriting {
  readonly #parsed: ParsedSql;
  readonly #context: MergeContext;
  readonly #inside: Inside | undefined;
  readonly #names: SqlNames;
  readonly #facts: SqlFacts;

  constructor(given: {
    parsed: ParsedSql;
    context: MergeContext;
    inside: Inside | undefined;
    names: SqlNames;
    facts: SqlFacts;
  }) {
    this.#parsed = given.parsed;
    this.#context = given.context;
    this.#inside = given.inside;
    this.#names = given.names;
    this.#facts = given.facts;
  }

  checkFunctions(): void {
    const { functions, operators, types, casts } = this.#facts;
    this.#names.functions.forEach((name, i) => {
      for (const found of functions?.[i] ?? [])
        if (takes(found, name)) for (const part of [found, ...found.parts]) this.#check(part, name);
    });
    this.#names.operators.forEach((name, i) => {
      for (const found of operators?.[i] ?? []) this.#check(found, name);
    });
    this.#names.types.forEach((name, i) => {
      for (const found of types?.[i] ?? []) this.#check(found, name);
    });
    for (const { type, implicit, function: found } of casts ?? []) {
      const name = this.#names.types.find((named) => named.name === type);
      // Where an implicit cast is used only PostgreSQL knows.
      if (name) this.#check(found, name);
      else if (implicit && this.#context.merged) this.#check(found, { schema: undefined, name: type, at: -1 });
    }
  }

  async run(): Promise<Rewritten> {
    const { text } = this.#parsed;
    const pieces: SqlPiece[] = [];
    const replaced: RelationName[] = [];
    let done = 0;
    const add = (more: string, from: number, own: boolean): void => {
      if (more !== "")
        pieces.push({ kind: "text", text: more, from: this.#inside?.spot.byte ?? from, own: own && !this.#inside });
    };
    const inOrder = this.#names.relations
      .map((name, i) => ({ name, facts: this.#facts.relations?.[i] ?? null }))
      .toSorted((a, b) => a.name.start - b.name.start);
    for (const { name, facts } of inOrder) {
      const instead = await this.#relation(name, facts);
      if (!instead) continue;
      add(text.slice(done, name.start), done, true);
      done = name.end;
      const from = this.#inside?.spot.byte ?? name.at;
      if (typeof instead === "string") add(instead, from, false);
      else {
        replaced.push(name);
        add(name.command ? "select * from (" : "(", from, false);
        pieces.push(...instead);
        add(name.aliased ? ")" : `) ${quote(name.name)}`, from, false);
      }
    }
    add(text.slice(done), done, true);
    for (const column of this.#names.columns)
      if (replaced.some(({ name, aliased }) => !aliased && name === column.name))
        this.#refuse(
          "column with schema",
          `give the table ${column.schema}.${column.name} an alias, and name its columns by that`,
          column,
        );
    return { pieces, merges: replaced.length > 0 };
  }

  /** What goes in the place of a relation's name: other text, its merged form, or nothing. */
  async #relation(name: RelationName, facts: RelationFacts | null): Promise<string | SqlPiece[] | undefined> {
    if (!facts) {
      const full = name.schema === undefined ? name.name : `${name.schema}.${name.name}`;
      throw sqlInvalid(`relation ${JSON.stringify(full)} does not exist`, this.#spot(name), { sqlstate: "42P01" });
    }
    this.#checkSchema(name, facts);
    // A CTE of the statement around it must not be taken for what a view reads.
    const asItIs = this.#inside ? `${quote(facts.schema)}.${quote(facts.name)}` : undefined;
    // Nobody writes to the system's own relations here.
    if (!this.#context.merged || systemSchemas.has(facts.schema)) return asItIs;
    switch (facts.kind) {
      case "r":
      case "p":
        return this.#table(name, facts) ?? asItIs;
      case "v":
        return (await this.#view(name, facts)) ?? asItIs;
      case "f":
        return this.#refuse(
          "foreign table",
          `${facts.name} is a foreign table, which shows what is stored elsewhere, not what will be; ask with consistency local`,
          name,
        );
      case "S":
        return this.#refuse("sequence", `${facts.name} is a sequence; ask with consistency local`, name);
      default:
        return asItIs; // a materialized view is what was stored when it was made, here as on main
    }
  }

  #checkSchema(name: RelationName, { schema, name: relation }: RelationFacts): void {
    if (schema === "opsdb" && !this.#context.catalog.byId(tableId(schema, relation)))
      this.#refuse("table of the service", `${schema}.${relation} belongs to the service itself`, name);
    if (schema.startsWith("pg_") && !(schema === "pg_catalog" && describing.has(relation)))
      this.#refuse("system table", `${schema}.${relation} tells of the server, not of the data`, name);
  }

  #table(name: RelationName, facts: RelationFacts): SqlPiece[] | undefined {
    const { catalog } = this.#context;
    const idOf = (relation: RelatedRelation): string => tableId(relation.schema, relation.name);
    if (facts.partition) {
      const whole = facts.above.find((relation) => (catalog.byId(idOf(relation))?.primaryKey.length ?? 0) > 0);
      if (whole)
        this.#refuse(
          "partition",
          `${facts.name} is a partition; select from ${whole.name} instead, with a condition`,
          name,
        );
      return undefined;
    }
    const id = idOf(facts);
    const table = catalog.byId(id);
    if (!table && facts.permanent && facts.hasKey) throw new SchemaChangedError(facts.name);
    const writable = [id, ...(table?.heirs ?? [])].some((each) => (catalog.byId(each)?.primaryKey.length ?? 0) > 0);
    if (!table || !writable) return undefined; // nobody can write it here
    if (name.only) this.#refuse("ONLY", `leave ONLY out: ${facts.name} is merged with pending writes`, name);
    if (name.sampled)
      this.#refuse("TABLESAMPLE", `leave TABLESAMPLE out: ${facts.name} is merged with pending writes`, name);
    if (facts.rowSecurity)
      this.#refuse(
        "row security",
        `${facts.name} has row security, which does not hold for pending writes; ask with consistency local`,
        name,
      );
    if (facts.columns.join("\0") !== table.columns.map((column) => column.name).join("\0"))
      throw new SchemaChangedError(facts.name);
    return [{ kind: "table", table, from: this.#inside?.spot.byte ?? name.at }];
  }

  /** The view's own SELECT, merged; undefined where there is nothing in it to merge. */
  async #view(name: RelationName, facts: RelationFacts): Promise<SqlPiece[] | undefined> {
    const depth = (this.#inside?.depth ?? 0) + 1;
    if (depth > MAX_VIEW_DEPTH) this.#refuse("nesting", "views are nested too deeply", name);
    const definition = (facts.definition ?? "").replace(/;\s*$/, "");
    const inside = { view: this.#inside?.view ?? facts.name, spot: this.#spot(name), depth };
    const { pieces, merges } = await rewrite(await parseSql(definition), this.#context, inside);
    return merges ? pieces : undefined;
  }

  #check(found: Parameters<typeof functionRefusal>[0], name: SqlName): void {
    const refusal = functionRefusal(found);
    if (refusal !== undefined) this.#refuse(`function ${found.schema}.${found.name}`, refusal, name);
  }

  #refuse(construct: string, message: string, name: SqlName): never {
    const why = this.#inside ? `the view ${this.#inside.view} cannot be merged: ${message}` : message;
    throw sqlRefused(construct, why, this.#spot(name));
  }

  #spot({ at }: SqlName): SqlSpot {
    return this.#inside?.spot ?? { text: this.#parsed.text, byte: at };
  }
}

function takes({ minArguments, maxArguments }: CalledFunction, { arguments: count }: FunctionName): boolean {
  return count === undefined || (count >= minArguments && count <= (maxArguments ?? Number.POSITIVE_INFINITY));
}

/** The catalog is not that of the snapshot: a table was made or changed in between. */
export class SchemaChangedError extends OpsDbError {
  constructor(table: string) {
    super("CATALOG_UNAVAILABLE", `table ${table} has just been changed; try again in a moment`, {
      retryAfterMs: 1_000,
    });
  }
}

const systemSchemas: ReadonlySet<string> = new Set(["pg_catalog", "information_schema"]);

/** Of pg_catalog, what describes the schema. */
const describing: ReadonlySet<string> = new Set(
  `pg_class pg_attribute pg_attrdef pg_type pg_namespace pg_enum pg_range pg_constraint pg_index pg_indexes pg_inherits
  pg_tables pg_views pg_matviews pg_description pg_collation pg_operator pg_timezone_names pg_timezone_abbrevs`.split(
    /\s+/,
  ),
);
