import { toJsonString } from "@bufbuild/protobuf";
import {
  type ColumnDescription,
  DescribeTableResponseSchema,
  type Table,
  TableNameSchema,
} from "../../gen/ts/opsdb/v1/catalog_service_pb.ts";
import type { CommandCall, SiteCommand } from "./command.ts";
import { exitCode } from "./exit-code.ts";
import { formatTable } from "./format-table.ts";
import { readTime } from "./read-option.ts";

export const tablesCommand: SiteCommand = {
  name: "tables",
  operands: { usage: "[TABLE]", least: 0, most: 1, complete: ["tables"] },
  summary: "List the tables, or show what a table's columns, keys and conditions are.",
  options: ["names", "timeout", "json"],
  examples: [
    "opsdb tables",
    "opsdb tables weather_samples",
    "opsdb tables weather_samples --json",
    "opsdb tables --names",
  ],
  async run(call: CommandCall) {
    const [table] = call.operands;
    return table === undefined ? await list(call) : await describe(call, table);
  },
};

async function list({ catalog, options }: CommandCall): Promise<number> {
  const { tables } = await catalog.listTables({}, timeout(options.timeout));
  if (options.json) for (const table of tables) console.log(toJsonString(TableNameSchema, table));
  else if (options.names) for (const { name } of tables) console.log(name);
  else {
    const rows = tables.map(({ name, writable, comment }) => ({ cells: [name, writable ? "yes" : "no", comment] }));
    for (const line of formatTable(["TABLE", "WRITABLE", "COMMENT"], rows)) console.log(line);
  }
  return exitCode.ok;
}

async function describe({ catalog, options }: CommandCall, name: string): Promise<number> {
  const answer = await catalog.describeTable({ table: name }, timeout(options.timeout));
  if (options.json) console.log(toJsonString(DescribeTableResponseSchema, answer));
  else if (options.names) for (const column of answer.table?.columns ?? []) console.log(column.name);
  else if (answer.table) for (const line of describeTable(answer.table)) console.log(line);
  return exitCode.ok;
}

function timeout(text: string | undefined): { timeoutMs?: number } {
  const timeoutMs = readTime(text, "--timeout");
  return timeoutMs === undefined ? {} : { timeoutMs };
}

function describeTable({ name, comment, columns, primaryKey, foreignKeys, checks }: Table): string[] {
  const rows = columns.map((column) => ({
    cells: [column.name, column.type, needed(column, primaryKey), column.defaultExpression, column.comment],
    ...(column.enumValues.length > 0 && { details: [`one of ${column.enumValues.join(", ")}`] }),
  }));
  return [
    comment === "" ? name : `${name}: ${comment}`,
    "",
    ...formatTable(["COLUMN", "TYPE", "NEEDED", "DEFAULT", "COMMENT"], rows),
    "",
    primaryKey.length === 0 ? "no primary key: it can only be read" : `primary key (${primaryKey.join(", ")})`,
    ...foreignKeys.map(
      (key) => `(${key.columns.join(", ")}) refers to ${key.referencedTable} (${key.referencedColumns.join(", ")})`,
    ),
    ...checks.map((check) => `${check.name}: ${check.expression}`),
  ];
}

/** Whether an insert has to give the column. */
function needed(column: ColumnDescription, primaryKey: readonly string[]): string {
  if (column.generated) return "never given";
  const key = primaryKey.includes(column.name) ? "key" : "";
  if (column.nullable || column.defaultExpression !== "" || column.identity) return key;
  return key === "" ? "yes" : "key, yes";
}
