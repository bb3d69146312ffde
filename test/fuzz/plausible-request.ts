import { create, type DescMethod, type Message, type MessageInitShape } from "@bufbuild/protobuf";
import { bytes, double, integer, list, nothing, numeric, text, uuid } from "../../demo/values.ts";
import type { ColumnDescription, Table } from "../../gen/ts/opsdb/v1/catalog_service_pb.ts";
import {
  type AggregateFunction,
  type ComparisonOperator,
  type ConditionSchema,
  type Consistency,
  type NullsOrder,
  type OrderTermSchema,
  QueryRequestSchema,
  type RelatedSchema,
} from "../../gen/ts/opsdb/v1/query_pb.ts";
import { type Value, ValueSchema } from "../../gen/ts/opsdb/v1/value_pb.ts";
import {
  type MutationSchema,
  type PreconditionSchema,
  type WriteMode,
  WriteRequestSchema,
  type WriteState,
} from "../../gen/ts/opsdb/v1/write_pb.ts";
import type { Chance } from "../property/chance.ts";
import { type Dictionary, extremeIntegers, extremeNumbers, hostilePatterns, hostileText } from "./dictionary.ts";

/** A message that a caller could mean: names that exist and mostly values of the right type. Many are carried out. */
export function plausibleRequest(method: DescMethod, chance: Chance, dictionary: Dictionary): Message {
  const request = new PlausibleRequest(chance, dictionary);
  switch (method.input.typeName) {
    case WriteRequestSchema.typeName:
      return request.write();
    case QueryRequestSchema.typeName:
      return request.query();
    default:
      return request.plain(method);
  }
}

type Condition = MessageInitShape<typeof ConditionSchema>;

class PlausibleRequest {
  readonly #chance: Chance;
  readonly #dictionary: Dictionary;

  constructor(chance: Chance, dictionary: Dictionary) {
    this.#chance = chance;
    this.#dictionary = dictionary;
  }

  write(): Message {
    const chance = this.#chance;
    const mutations = Array.from({ length: chance.of([1, 1, 1, 2, 5]) }, () => this.#mutation());
    return create(WriteRequestSchema, {
      mutations: chance.once(300) ? Array.from({ length: 10_001 }, () => mutations[0] ?? {}) : mutations,
      writeId: chance.once(5) ? chance.of(this.#dictionary.writeIds) : "",
      mode: (chance.once(6) ? chance.below(4) : 0) as WriteMode,
      waitFor: (chance.once(10) ? chance.below(5) : 0) as WriteState,
      ...(chance.once(10) && { waitTimeout: { seconds: chance.of([0n, 0n, -1n, 2n ** 62n]), nanos: 1_000_000 } }),
    });
  }

  query(): Message {
    const chance = this.#chance;
    if (chance.once(4)) return this.#sql();
    const table = this.#table();
    const names = table.columns.map(({ name }) => name);
    const grouped = chance.once(5);
    return create(QueryRequestSchema, {
      table: table.name,
      columns: grouped || chance.once(3) ? [] : chance.some(names),
      ...(chance.once(3) ? {} : { where: this.#condition(table, 1) }),
      orderBy: chance.once(2) ? [] : this.#order(table),
      ...(chance.once(2) && { limit: this.#limit() }),
      consistency: (chance.once(3) ? chance.below(5) : 0) as Consistency,
      batchSize: chance.of([0, 0, 1, 10_000, 10_001]),
      ...(grouped && {
        groupBy: chance.some(names),
        aggregates: [{ function: chance.below(8) as AggregateFunction, column: chance.of([...names, ""]), name: "" }],
      }),
      related: chance.once(6) ? [this.#related()] : [],
      ...(chance.once(10) && { maxAge: { seconds: chance.of([0n, 1n, -1n, 2n ** 62n]), nanos: 0 } }),
      resumeAfter: chance.once(20) ? Buffer.from("resume") : new Uint8Array(),
      token: chance.once(20) ? Buffer.from('[1,"ccat","",1,"1-0","0/0"]') : new Uint8Array(),
    });
  }

  /** Any other request has scalar fields alone; each gets a word from the dictionary or nothing. */
  plain({ input }: DescMethod): Message {
    const chance = this.#chance;
    const message = create(input) as Message & Record<string, unknown>;
    for (const field of input.fields) {
      const known = this.#dictionary.texts[field.name];
      if (field.fieldKind === "scalar" && known && !field.oneof && !chance.once(10))
        message[field.localName] = chance.of(known);
      else if (field.name === "heartbeat" && chance.once(2))
        message[field.localName] = { $typeName: "google.protobuf.Duration", seconds: chance.of([0n, 1n]), nanos: 1e8 };
      else if (field.name === "until_done") message[field.localName] = chance.once(2);
    }
    const [oneof] = input.oneofs;
    const member = oneof && chance.of(oneof.fields);
    if (oneof && member?.fieldKind === "scalar")
      message[oneof.localName] = {
        case: member.localName,
        value: chance.of(this.#dictionary.texts[member.name] ?? [""]),
      };
    return message;
  }

  #sql(): Message {
    const chance = this.#chance;
    return create(QueryRequestSchema, {
      sql: chance.of(this.#dictionary.texts.sql ?? []),
      parameters: chance.once(3) ? [this.#anyValue()] : [],
      ...(chance.once(2) && { limit: this.#limit() }),
    });
  }

  #limit(): bigint {
    return this.#chance.of([0n, 1n, 10n, 1_000n, 2n ** 31n, 2n ** 63n, 2n ** 64n - 1n]);
  }

  #table(): Table {
    return this.#chance.of(this.#dictionary.tables);
  }

  #mutation(): MessageInitShape<typeof MutationSchema> {
    const chance = this.#chance;
    const table = this.#table();
    const wholeRow = (): Record<string, Value> => {
      const needed = table.columns.filter(
        ({ nullable, defaultExpression, identity }) => !nullable && defaultExpression === "" && !identity,
      );
      return this.#row([
        ...needed,
        ...chance.some(table.columns.filter((column) => !needed.includes(column) && chance.once(3))),
      ]);
    };
    const key = (): Record<string, Value> =>
      this.#row(table.columns.filter(({ name }) => table.primaryKey.includes(name)));
    const preconditions = chance.once(5) ? [this.#precondition(table)] : [];
    switch (chance.below(5)) {
      case 0:
        return {
          table: table.name,
          operation: { case: "update", value: { key: key(), values: this.#row(chance.draw(table.columns, 2)) } },
          preconditions,
        };
      case 1:
        return {
          table: table.name,
          operation: { case: "upsert", value: { values: { ...wholeRow(), ...key() } } },
          preconditions,
        };
      case 2:
        return { table: table.name, operation: { case: "delete", value: { key: key() } }, preconditions };
      default:
        return { table: table.name, operation: { case: "insert", value: { values: wholeRow() } }, preconditions };
    }
  }

  #precondition(table: Table): MessageInitShape<typeof PreconditionSchema> {
    const chance = this.#chance;
    if (chance.once(2)) return { condition: { case: "rowExists", value: chance.once(2) } };
    return { condition: { case: "columnsEqual", value: { values: this.#row(chance.draw(table.columns, 1)) } } };
  }

  #row(columns: readonly ColumnDescription[]): Record<string, Value> {
    return Object.fromEntries(columns.map((column) => [column.name, this.#value(column)]));
  }

  #order(table: Table): MessageInitShape<typeof OrderTermSchema>[] {
    const chance = this.#chance;
    const times = chance.once(100) ? 3_000 : chance.between(1, 3);
    return Array.from({ length: times }, () => ({
      column: chance.of(table.columns).name,
      descending: chance.once(2),
      nulls: (chance.once(20) ? 7 : chance.below(3)) as NullsOrder,
    }));
  }

  #related(): MessageInitShape<typeof RelatedSchema> {
    const chance = this.#chance;
    const table = this.#table();
    return {
      table: table.name,
      columns: chance.some(table.columns.map(({ name }) => name)),
      foreignKey: chance.once(3) ? chance.of(this.#dictionary.texts.foreign_key ?? []) : "",
      ...(chance.once(2) && { where: this.#condition(table, 3) }),
      ...(chance.once(2) && { limit: this.#limit() }),
    };
  }

  #condition(table: Table, depth: number): Condition {
    const chance = this.#chance;
    if (depth === 1 && chance.once(40)) return this.#largeCondition(table);
    const column = chance.of(table.columns);
    const inner = (): Condition => this.#condition(table, depth + 1);
    switch (depth > 5 ? 0 : chance.below(9)) {
      case 0:
      case 1:
      case 2:
      case 3:
        return this.#comparison(column);
      case 4:
        return {
          condition: {
            case: "in",
            value: { column: column.name, values: Array.from({ length: chance.below(4) }, () => this.#value(column)) },
          },
        };
      case 5:
        return { condition: { case: "isNull", value: { column: column.name } } };
      case 6:
        return { condition: { case: "not", value: inner() } };
      case 7:
        return {
          condition: {
            case: "between",
            value: { column: column.name, low: this.#value(column), high: this.#value(column) },
          },
        };
      default:
        return { condition: { case: chance.of(["and", "or"] as const), value: { conditions: [inner(), inner()] } } };
    }
  }

  #comparison(column: ColumnDescription): Condition {
    const chance = this.#chance;
    const operator = chance.between(1, 23) as ComparisonOperator;
    const isPattern = (operator >= 7 && operator <= 10) || operator === 18 || operator === 19;
    const value = isPattern ? text(chance.of(hostilePatterns)) : this.#value(column);
    const path = column.type.startsWith("json") && chance.once(3) ? ["a", "b"] : [];
    return { condition: { case: "comparison", value: { column: column.name, operator, value, path } } };
  }

  /** As many parameters as the protocol of PostgreSQL has no number for, or as deep as the service takes it. */
  #largeCondition(table: Table): Condition {
    const chance = this.#chance;
    const column = chance.of(table.columns);
    const one = this.#comparison(column);
    switch (chance.below(4)) {
      case 0:
        return {
          condition: {
            case: "or",
            value: { conditions: Array.from({ length: chance.of([2_000, 20_000, 70_000]) }, () => one) },
          },
        };
      case 1:
        return {
          condition: {
            case: "in",
            value: { column: column.name, values: Array.from({ length: 70_000 }, () => this.#value(column)) },
          },
        };
      case 2: {
        let condition = one;
        const depth = chance.of([48, 49, 50, 51, 95]);
        for (let i = 0; i < depth; i++) condition = { condition: { case: "not", value: condition } };
        return condition;
      }
      default: {
        let condition = one;
        for (let i = 0; i < 45; i++)
          condition = {
            condition: { case: chance.of(["and", "or"] as const), value: { conditions: [one, condition, one] } },
          };
        return condition;
      }
    }
  }

  #value(column: ColumnDescription): Value {
    const chance = this.#chance;
    if (chance.once(25)) return this.#anyValue();
    if (column.nullable && chance.once(8)) return nothing();
    if (column.enumValues.length > 0) return text(chance.of(column.enumValues));
    const { type } = column;
    if (type.endsWith("[]"))
      return list(Array.from({ length: chance.below(4) }, () => this.#scalar(type.slice(0, -2))));
    return this.#scalar(type);
  }

  #scalar(type: string): Value {
    const chance = this.#chance;
    const word = (): string =>
      chance.of(["alpha", "beta", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!", `name ${chance.below(50)}`]);
    if (type === "uuid") return uuid(chance.of(knownKeys));
    if (/^(small|big)?int|^oid/.test(type))
      return integer(chance.once(6) ? chance.of(extremeIntegers) : chance.below(60));
    if (type === "double precision" || type === "real")
      return double(chance.once(6) ? chance.of(extremeNumbers) : chance.below(60));
    if (type.startsWith("numeric"))
      return numeric(chance.once(6) ? chance.of(this.#dictionary.texts.numeric_value ?? []) : `${chance.below(90)}.5`);
    if (type === "boolean") return create(ValueSchema, { kind: { case: "boolValue", value: chance.once(2) } });
    if (type === "bytea") return bytes(Buffer.alloc(chance.of([0, 32, 33]), chance.below(256)));
    if (type.startsWith("json"))
      return create(ValueSchema, {
        kind: { case: "jsonValue", value: chance.of(this.#dictionary.texts.json_value ?? []) },
      });
    if (type.startsWith("timestamp") || type === "date")
      return text(chance.of(["2026-11-20", "2026-11-20 04:30:00", "infinity", "0001-01-01", "9999-12-31"]));
    if (type === "interval") return text(chance.of(["1 hour", "1 mon -3 days", "P1Y", "178000000 years"]));
    return text(chance.once(8) ? chance.of(hostileText) : word());
  }

  #anyValue(): Value {
    const chance = this.#chance;
    switch (chance.below(7)) {
      case 0:
        return create(ValueSchema, {});
      case 1:
        return nothing();
      case 2:
        return integer(chance.of(extremeIntegers));
      case 3:
        return double(chance.of(extremeNumbers));
      case 4:
        return text(chance.of(hostileText));
      case 5:
        return create(ValueSchema, {
          kind: {
            case: "timestampValue",
            value: { seconds: chance.of(extremeIntegers), nanos: chance.of([0, -1, 999_999_999, 2 ** 31 - 1]) },
          },
        });
      default:
        return list(Array.from({ length: chance.below(3) }, () => this.#anyValue()));
    }
  }
}

/** Of rows in the observatory schema, and of some that random writes make. */
const knownKeys = [
  "0b5e0000-0000-4000-8000-000000000001",
  "7e1e0000-0000-4000-8000-000000000001",
  "15700000-0000-4000-8000-000000000001",
  "15700000-0000-4000-8000-000000000002",
  "9a090000-0000-4000-8000-000000000001",
  "0b500000-0000-4000-8000-000000000001",
  "10c00000-0000-4000-8000-000000000001",
  ...Array.from({ length: 12 }, (_, i) => `0f0f0000-0000-4000-8000-${String(i).padStart(12, "0")}`),
];
