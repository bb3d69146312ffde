import { quoteIdentifier as quote } from "../../src/postgres/quote.ts";
import type { Chance } from "./chance.ts";
import { keyTypes, type SampledType, sampledTypes } from "./sampled-type.ts";

export interface PlannedColumn {
  name: string;
  type: SampledType;
  nullable: boolean;
  /** Texts of `default`, as SQL. */
  default?: string;
  /** An expression over other columns. */
  generated?: string;
}

export interface PlannedTable {
  name: string;
  columns: PlannedColumn[];
  key: string[];
  /** Table constraints that a merged read does not foresee. */
  unforeseen: string[];
  /** References to the key of an earlier table of the schema: (column, table). */
  references: { column: string; table: string }[];
  /** Hashed by the first column of the key, in three partitions, of which one may be missing. */
  partitions: 0 | 2 | 3;
  /** An earlier table, whose columns and key it has too. */
  inherits?: string;
}

export interface PlannedSchema {
  tables: PlannedTable[];
}

const tableNames = ["log", "Runs", "two words", 'a"b', "dot.ted", "select", "ünï"];
const columnNames = [
  "n",
  "Key",
  "v",
  "at",
  "two words",
  'q"q',
  "dot.c",
  "order",
  "constructor",
  "ä",
  "t",
  "v.c0",
  "c0",
  "w",
];

export function randomSchema(chance: Chance): PlannedSchema {
  const names = chance.draw(tableNames, chance.between(1, 3));
  const tables: PlannedTable[] = [];
  for (const name of names) {
    const ancestor = tables[chance.below(tables.length * 4 + 1)];
    tables.push(ancestor?.partitions === 0 ? heirOf(chance, name, ancestor) : randomTable(chance, name, tables));
  }
  return { tables };
}

function heirOf(chance: Chance, name: string, ancestor: PlannedTable): PlannedTable {
  const more = { name: "more", type: chance.of(sampledTypes), nullable: true };
  const columns = chance.once(2) ? [...ancestor.columns, more] : ancestor.columns;
  const unique = new Set(columns.map((column) => column.name));
  return {
    name,
    columns: columns.filter((column) => unique.delete(column.name)),
    key: ancestor.key,
    unforeseen: [],
    references: [],
    partitions: 0,
    inherits: ancestor.name,
  };
}

function randomTable(chance: Chance, name: string, earlier: readonly PlannedTable[]): PlannedTable {
  const names = chance.draw(columnNames, chance.between(2, 6));
  const keyLength = Math.min(chance.of([1, 1, 1, 2, 2, 3]), names.length);
  const inKey = new Set(chance.draw(names, keyLength));
  const columns = names.map((column): PlannedColumn => {
    const key = inKey.has(column);
    const type = chance.of(key ? keyTypes : sampledTypes);
    const filled = !key && chance.once(4) ? `'${chance.of(type.texts).replaceAll("'", "''")}'` : undefined;
    return {
      name: column,
      type,
      nullable: !key && !chance.once(6),
      ...(filled === undefined ? {} : { default: filled }),
    };
  });
  const referenced = earlier[chance.below(earlier.length + 1)];
  const references: PlannedTable["references"] = [];
  if (referenced?.key.length === 1 && chance.once(2)) {
    const target = referenced.columns.find((column) => column.name === referenced.key[0]);
    if (target && !target.type.unreferenced) {
      columns.push({ name: "parent", type: target.type, nullable: true });
      references.push({ column: "parent", table: referenced.name });
    }
  }
  const unforeseen = columns.flatMap((column) => randomConstraint(chance, column));
  if (chance.once(3)) columns.push(...randomGenerated(chance, columns));
  const plain = columns.filter(({ name: column }) => inKey.has(column));
  const partitions = plain.every(({ type }) => type.number) ? chance.of([0, 2, 3] as const) : 0;
  return {
    name,
    columns,
    key: chance.draw([...inKey], inKey.size),
    unforeseen: partitions === 0 ? unforeseen : unforeseen.filter((constraint) => !constraint.startsWith("unique")),
    references,
    partitions,
  };
}

function randomConstraint(chance: Chance, { name, type, nullable }: PlannedColumn): string[] {
  if (nullable && !type.unordered && chance.once(8)) return [`unique (${quote(name)})`];
  if (type.number && chance.once(6)) return [`check (${quote(name)} < 3)`];
  if (type.number && chance.once(8)) return [`check (${quote(name)}::text ~ '^[0-9.]+$')`];
  return [];
}

function randomGenerated(chance: Chance, columns: readonly PlannedColumn[]): PlannedColumn[] {
  const number = columns.find(({ type }) => type.number);
  const text = columns.find(({ type }) => type.text);
  const made: PlannedColumn[] = [];
  if (number)
    made.push({
      name: "Doubled",
      type: { sql: "numeric(9,2)", texts: ["2", "2.00", "6", "0"] },
      nullable: true,
      // A third of them fail for a value: main refuses such a row.
      generated: chance.once(3) ? `6 / (${quote(number.name)} - 2)` : `${quote(number.name)} * 2`,
    });
  if (text)
    made.push({
      name: "louder",
      type: { sql: chance.of(["text", 'text collate "und-x-icu"']), texts: ["A!", "a!", "AB!"], text: true },
      nullable: true,
      generated: `upper(${quote(text.name)}) || '!'`,
    });
  return made;
}

/** The statements that make the schema; without what a merged read does not foresee where `foreseen` is set. */
export function schemaSql(namespace: string, { tables }: PlannedSchema, foreseen: boolean): string {
  return [
    `create schema ${quote(namespace)}`,
    ...tables.flatMap((table) => tableSql(namespace, tables, table, foreseen)),
  ].join(";\n");
}

function tableSql(
  namespace: string,
  tables: readonly PlannedTable[],
  table: PlannedTable,
  foreseen: boolean,
): string[] {
  const name = (of: string) => `${quote(namespace)}.${quote(of)}`;
  const inherited = tables.find(({ name }) => name === table.inherits)?.columns ?? [];
  const own = table.columns.filter((column) => !inherited.some(({ name }) => name === column.name));
  const columns = own.map((column) =>
    [
      quote(column.name),
      column.type.sql,
      column.nullable ? "" : "not null",
      column.default === undefined ? "" : `default ${column.default}`,
      column.generated === undefined ? "" : `generated always as (${column.generated}) stored`,
    ]
      .filter((part) => part !== "")
      .join(" "),
  );
  const partitioned = table.partitions > 0 && !foreseen;
  const key = table.key.map(quote).join(", ");
  const constraints = [
    ...(foreseen ? [] : table.unforeseen),
    ...table.references.map((r) => `foreign key (${quote(r.column)}) references ${name(r.table)}`),
  ];
  const body = [...columns, `primary key (${key})`, ...constraints].join(", ");
  const heir = table.inherits === undefined ? "" : ` inherits (${name(table.inherits)})`;
  const by = partitioned ? ` partition by hash (${quote(table.key[0] ?? "")})` : "";
  const parts = Array.from(
    { length: partitioned ? table.partitions : 0 },
    (_, i) =>
      `create table ${name(`${table.name} p${i}`)} partition of ${name(table.name)} for values with (modulus 3, remainder ${i})`,
  );
  // Queries know a foreign key by its name; without its triggers nobody enforces it.
  const unenforced = [name(table.name), ...table.references.map((r) => name(r.table))].map(
    (each) => `alter table ${each} disable trigger all`,
  );
  return [`create table ${name(table.name)} (${body})${heir}${by}`, ...(foreseen ? unenforced : parts)];
}
