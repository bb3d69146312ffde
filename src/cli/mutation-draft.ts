import { create } from "@bufbuild/protobuf";
import type { Table } from "../../gen/ts/opsdb/v1/catalog_service_pb.ts";
import type { Value } from "../../gen/ts/opsdb/v1/value_pb.ts";
import {
  type Mutation,
  MutationSchema,
  type Precondition,
  PreconditionSchema,
} from "../../gen/ts/opsdb/v1/write_pb.ts";
import { columnValue, type Given } from "./column-value.ts";

export const operations = ["insert", "update", "upsert", "delete"] as const;
export type Operation = (typeof operations)[number];

/** A mutation as it was given, before the catalog says of which type its columns are. */
export interface MutationDraft {
  operation: Operation;
  table: string;
  values: ReadonlyMap<string, Given>;
  /** Columns that must have these values. */
  ifEqual: ReadonlyMap<string, Given>;
  /** Whether the row must exist, or must not. */
  ifExists?: boolean;
}

/** The mutation to send. Columns of the primary key are the key of an update. */
export function toMutation(draft: MutationDraft, table: Table): Mutation {
  const types = new Map(table.columns.map(({ name, type }) => [name, type]));
  const encode = (given: ReadonlyMap<string, Given>): Record<string, Value> =>
    Object.fromEntries(
      [...given].map(([name, value]) => [name, columnValue({ name, type: types.get(name) }, value)] as const),
    );
  return create(MutationSchema, {
    table: draft.table,
    operation: operationOf(draft.operation, encode(draft.values), new Set(table.primaryKey)),
    preconditions: preconditionsOf(draft, encode),
  });
}

function operationOf(
  operation: Operation,
  values: Record<string, Value>,
  primaryKey: ReadonlySet<string>,
): Mutation["operation"] {
  switch (operation) {
    case "insert":
      return { case: "insert", value: { $typeName: "opsdb.v1.Insert", values } };
    case "upsert":
      return { case: "upsert", value: { $typeName: "opsdb.v1.Upsert", values } };
    case "delete":
      return { case: "delete", value: { $typeName: "opsdb.v1.Delete", key: values } };
    case "update": {
      const { key = [], rest = [] } = Object.groupBy(Object.entries(values), ([name]) =>
        primaryKey.has(name) ? "key" : "rest",
      );
      return {
        case: "update",
        value: { $typeName: "opsdb.v1.Update", key: Object.fromEntries(key), values: Object.fromEntries(rest) },
      };
    }
  }
}

function preconditionsOf(
  { ifEqual, ifExists }: MutationDraft,
  encode: (given: ReadonlyMap<string, Given>) => Record<string, Value>,
): Precondition[] {
  return [
    ...(ifExists === undefined
      ? []
      : [create(PreconditionSchema, { condition: { case: "rowExists", value: ifExists } })]),
    ...(ifEqual.size === 0
      ? []
      : [create(PreconditionSchema, { condition: { case: "columnsEqual", value: { values: encode(ifEqual) } } })]),
  ];
}
