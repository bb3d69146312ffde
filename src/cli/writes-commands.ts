import { toJsonString } from "@bufbuild/protobuf";
import {
  type ColumnText,
  DiscardWriteResponseSchema,
  MutationOperation,
  type MutationText,
  type RejectedWrite,
  RejectedWriteSchema,
  type Resolution,
  ResolutionKind,
  RetryWriteResponseSchema,
} from "../../gen/ts/opsdb/v1/admin_pb.ts";
import {
  GetWriteResponseSchema,
  type Rejection,
  WatchWritesResponseSchema,
  WriteState,
  type WriteStatus,
} from "../../gen/ts/opsdb/v1/write_pb.ts";
import type { CommandCall, SiteCommand } from "./command.ts";
import { enumName } from "./enum-name.ts";
import { exitCode } from "./exit-code.ts";
import { formatPairs, formatTable } from "./format-table.ts";
import { formatTime } from "./format-time.ts";
import { readCount } from "./read-option.ts";

const example = "01a206cc-13cd-7587-8c25-98c36ba0f66a";

export const writesCommands: readonly SiteCommand[] = [
  {
    name: "writes rejected",
    summary: "List writes that the main database refused, with the reason and what they wanted to do.",
    options: ["all", "site", "json"],
    examples: ["opsdb writes rejected", "opsdb writes rejected --all --json", "opsdb writes rejected --site ccat"],
    run: listRejected,
  },
  {
    name: "writes retry",
    operands: { usage: "ID...", least: 1 },
    summary: "Store rejected writes again, each as a new write. Retried twice, it is one write.",
    options: ["reason", "operator", "json"],
    examples: [`opsdb writes retry ${example} --reason "the missing column was added"`],
    run: (call) =>
      each(call, async (writeId) => {
        const answer = await call.admin.retryWrite({ writeId, ...call.motive() });
        if (call.options.json) console.log(toJsonString(RetryWriteResponseSchema, answer));
        else
          console.log(
            `${writeId} ${answer.duplicate ? "was retried before" : "is retried"} as ${answer.status?.writeId}: ${stateOf(answer.status)}`,
          );
      }),
  },
  {
    name: "writes discard",
    operands: { usage: "ID...", least: 1 },
    summary: "Settle rejected writes without retrying them.",
    options: ["reason", "operator", "json"],
    examples: [`opsdb writes discard ${example} --reason "a test row"`],
    run: (call) =>
      each(call, async (writeId) => {
        const answer = await call.admin.discardWrite({ writeId, ...call.motive() });
        if (call.options.json) console.log(toJsonString(DiscardWriteResponseSchema, answer));
        else console.log(`${writeId} is ${describeResolution(answer.resolution)}`);
      }),
  },
  {
    name: "writes get",
    operands: { usage: "ID", least: 1, most: 1 },
    summary: "Show how far a write has come.",
    options: ["json"],
    examples: [`opsdb writes get ${example}`],
    async run({ writes, operands, options }) {
      const answer = await writes.getWrite({ writeId: operands[0] ?? "" });
      if (options.json) console.log(toJsonString(GetWriteResponseSchema, answer));
      else for (const line of describeStatus(answer.status)) console.log(line);
      return exitCode.ok;
    },
  },
  {
    name: "writes watch",
    summary: "Print each write of a secondary site, in order, once it has arrived or was rejected.",
    options: ["applied", "rejected", "after", "limit", "json"],
    examples: [
      "opsdb writes watch",
      "opsdb writes watch --rejected --json",
      "opsdb writes watch --after 1795410093198-0",
    ],
    run: watch,
  },
];

async function listRejected({ admin, options }: CommandCall): Promise<number> {
  const writes: RejectedWrite[] = [];
  for (let pageToken = ""; ; ) {
    const page = await admin.listRejectedWrites({
      site: options.site ?? "",
      includeResolved: options.all ?? false,
      pageSize: 500,
      pageToken,
    });
    writes.push(...page.writes);
    pageToken = page.nextPageToken;
    if (pageToken === "") break;
  }
  if (options.json) for (const write of writes) console.log(toJsonString(RejectedWriteSchema, write));
  else if (writes.length === 0)
    console.log(options.all ? "no write was rejected" : "no rejected write waits for a decision");
  else for (const line of describeRejected(writes)) console.log(line);
  return exitCode.ok;
}

async function watch({ writes, options }: CommandCall): Promise<number> {
  const count = readCount(options.limit, "--limit") ?? Number.POSITIVE_INFINITY;
  let told = 0;
  const events = writes.watchWrites(
    {
      report: options.applied ? WriteState.APPLIED : WriteState.REPLICATED,
      afterPosition: options.after ?? "",
      rejectedOnly: options.rejected ?? false,
    },
    { timeoutMs: 0 }, // until it is told to end
  );
  for await (const answer of events) {
    if (options.json) console.log(toJsonString(WatchWritesResponseSchema, answer));
    if (answer.event.case !== "write") continue;
    const { position, state, writeId, rejection } = answer.event.value;
    if (!options.json)
      console.log(
        `${position}  ${enumName(WriteState, state).padEnd(10)}  ${writeId}${rejection ? `  ${describeRejection(rejection)}` : ""}`,
      );
    told += 1;
    if (told >= count) break;
  }
  return exitCode.ok;
}

/** Does it for every id, also where one is refused, and answers the worst exit code. */
async function each({ operands, fail, motive }: CommandCall, work: (id: string) => Promise<void>): Promise<number> {
  motive(); // what is missing is said once, and before anything is done
  let worst: number = exitCode.ok;
  for (const id of operands) {
    try {
      await work(id);
    } catch (error) {
      worst = Math.max(worst, fail(error));
    }
  }
  return worst;
}

function describeRejected(writes: readonly RejectedWrite[]): string[] {
  const rows = writes.map(({ status, mutations, resolution }) => ({
    cells: [
      status?.writeId ?? "",
      status?.site ?? "",
      formatTime(status?.appliedAt),
      status?.rejection?.reason ?? "",
      resolution ? describeResolution(resolution) : "none yet",
    ],
    details: [...(status?.rejection ? [describeRejection(status.rejection)] : []), ...mutations.map(describeMutation)],
  }));
  return formatTable(["WRITE", "SITE", "REJECTED", "REASON", "DECISION"], rows);
}

function describeMutation({ table, operation, key, values, preconditions }: MutationText): string {
  const named = (columns: readonly ColumnText[]): string =>
    columns.map(({ column, text }) => `${column}=${text === undefined ? "NULL" : JSON.stringify(text)}`).join(", ");
  const set = values.filter(({ column }) => !key.some((part) => part.column === column));
  const only = preconditions.length === 0 ? "" : ` if ${preconditions.join(" and ")}`;
  return (
    `${enumName(MutationOperation, operation).toLowerCase()} ${table} [${named(key)}] ${named(set)}`.trimEnd() + only
  );
}

function describeRejection({ reason, message, sqlstate, mutation }: Rejection): string {
  const where = mutation === undefined ? "" : `, mutation ${mutation}`;
  return `${message} (${sqlstate === "" ? reason : `${reason}, ${sqlstate}`}${where})`;
}

function describeResolution(resolution: Resolution | undefined): string {
  if (!resolution) return "not settled";
  const { kind, newWriteId, operator, reason, at } = resolution;
  const what = kind === ResolutionKind.RETRIED ? `retried as ${newWriteId}` : "discarded";
  return `${what} by ${operator} at ${formatTime(at)}: ${reason}`;
}

/** Names and values, with names at least that wide. */
export function describeStatus(status: WriteStatus | undefined, width = 0): string[] {
  return formatPairs(
    [
      ["write", status?.writeId],
      ["state", stateOf(status)],
      ["site", status?.site],
      ["position", status?.position],
      ["commit LSN", status?.lsn],
      [status?.rejection ? "rejected" : "applied", status?.appliedAt && formatTime(status.appliedAt)],
      ["because", status?.rejection && describeRejection(status.rejection)],
    ],
    width,
  );
}

function stateOf(status: WriteStatus | undefined): string {
  return enumName(WriteState, status?.state ?? WriteState.UNSPECIFIED);
}
