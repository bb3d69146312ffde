import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  AggregateFunction,
  Consistency,
  type QueryHeader,
  type QueryRequestSchema,
} from "../../gen/ts/opsdb/v1/query_pb.ts";
import { toDuration } from "../rpc/wire-time.ts";
import { describeCallError } from "./call-error.ts";
import { textValue } from "./column-value.ts";
import { type CommandCall, type SiteCommand, UsageError } from "./command.ts";
import { exitCode } from "./exit-code.ts";
import { writeOut } from "./output.ts";
import { parseAggregate, parseCondition, parseOrder } from "./parse-condition.ts";
import { readCount, readNames, readTime, readWord } from "./read-option.ts";
import { formats, rowWriter } from "./row-writer.ts";
import { IncompleteResult, streamQuery } from "./stream-query.ts";

const consistencies = { merged: Consistency.MERGED, local: Consistency.LOCAL, main: Consistency.MAIN };

/** Only of these says the statement itself what a query of a table has options for. */
const tableOptions = ["columns", "where", "order", "count", "aggregate", "group-by"] as const;

export const queryCommand: SiteCommand = {
  name: "query",
  operands: { usage: "TABLE, or --sql SELECT", least: 0, most: 1, complete: ["tables"] },
  summary: "Read rows of a table, or of an SQL statement: as a table, JSON lines or CSV.",
  details: `Rows come as they are read, however many there are. With --order a result that is interrupted goes on where it was.
A condition has one of = <> < <= > >= like ilike ~ ~* @> <@ && ? ?| ?& @? @@ << >> -|-, "is null", "in (A, B)",
"between A and B", also with "not". "COLUMN.KEY" looks into json.
The exit code is 6 where rows came and the rest is missing.`,
  options: [
    "columns",
    "where",
    "order",
    "limit",
    "count",
    "aggregate",
    "group-by",
    "sql",
    "param",
    "consistency",
    "max-age",
    "timeout",
    "format",
    "json",
  ],
  examples: [
    "opsdb query weather_samples --limit 10",
    `opsdb query weather_samples --where "pwv_mm < 0.5" --where "station = cerro" --order "sampled_at desc" --limit 10`,
    "opsdb query sources --columns name,ra_deg --where \"name like 'Orion%'\" --format csv",
    "opsdb query weather_samples --group-by station --aggregate 'max(sampled_at)' --aggregate 'avg(pwv_mm) as pwv'",
    "opsdb query executed_obs_units --count --consistency main",
    "opsdb query obs_units --where 'tuning.frequency_ghz > 500' --json",
    `opsdb query --sql 'select name, dec_deg from sources where dec_deg < $1' --param 0`,
  ],
  run: query,
};

async function query(call: CommandCall): Promise<number> {
  const { options } = call;
  if (options.json && options.format !== undefined) throw new UsageError("--json is short for --format json; give one");
  const format = options.json ? "json" : (readWord(options.format, "--format", formats) ?? "table");
  const request = requestOf(call);
  const writer = rowWriter(format);
  let count = 0;
  let header: QueryHeader | undefined;
  let begun = false;
  try {
    for await (const part of streamQuery(call, request, readTime(options.timeout, "--timeout"))) {
      if (part.kind === "header") {
        header = part.header;
        if (header.bufferUnreachable)
          call.say("the buffer cannot be reached: newest writes of other processes of this site may be missing");
        continue;
      }
      if (header === undefined) throw new Error("rows came before the header");
      const before = begun ? "" : writer.begin(header, part.rows);
      begun = true;
      count += part.rows.length;
      await writeOut(before + writer.rows(part.rows));
    }
    if (header !== undefined) await writeOut((begun ? "" : writer.begin(header, [])) + writer.end(count));
    return exitCode.ok;
  } catch (error) {
    if (!(error instanceof IncompleteResult)) throw error;
    const { message } = describeCallError(error.cause, call.server);
    const advice = error.resumable ? "" : "; with --order it would have gone on by itself";
    call.say(`the result is incomplete after ${error.rows} rows: ${message}${advice}`);
    return exitCode.incomplete;
  }
}

function requestOf({ operands, options }: CommandCall): MessageInitShape<typeof QueryRequestSchema> {
  const [table] = operands;
  const limit = readCount(options.limit, "--limit");
  const maxAge = readTime(options["max-age"], "--max-age");
  const consistency = readWord(options.consistency, "--consistency", ["merged", "local", "main"]);
  const common: MessageInitShape<typeof QueryRequestSchema> = {
    ...(limit !== undefined && { limit: BigInt(limit) }),
    ...(maxAge !== undefined && { maxAge: toDuration(maxAge) }),
    ...(consistency !== undefined && { consistency: consistencies[consistency] }),
  };
  if (options.sql !== undefined) {
    if (table !== undefined) throw new UsageError("name a table or give --sql, not both");
    const other = tableOptions.find((name) => options[name] !== undefined);
    if (other !== undefined) throw new UsageError(`--${other} is for a table; with --sql, say it in the statement`);
    return { ...common, sql: options.sql, parameters: (options.param ?? []).map(textValue) };
  }
  if (table === undefined) throw new UsageError("name a table, or give --sql");
  if (options.param !== undefined) throw new UsageError("--param is for --sql");
  const where = (options.where ?? []).map(parseCondition);
  return {
    ...common,
    table,
    columns: readNames(options.columns, "--columns"),
    orderBy: parseOrder(options.order),
    aggregates: [
      ...(options.count ? [{ function: AggregateFunction.COUNT }] : []),
      ...(options.aggregate ?? []).map(parseAggregate),
    ],
    groupBy: readNames(options["group-by"], "--group-by"),
    ...(where.length > 0 && { where: { condition: { case: "and", value: { conditions: where } } } }),
  };
}
