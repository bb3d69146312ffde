import { toJson } from "@bufbuild/protobuf";
import type { Table } from "../../gen/ts/opsdb/v1/catalog_service_pb.ts";
import {
  type ColumnValues,
  type Mutation,
  type WriteResponse,
  WriteState,
  WriteStatusSchema,
} from "../../gen/ts/opsdb/v1/write_pb.ts";
import { derivedId } from "../derived-id.ts";
import { parseWriteId, WriteIds } from "../rpc/write-id.ts";
import { type CommandCall, type SiteCommand, UsageError } from "./command.ts";
import { enumName } from "./enum-name.ts";
import { exitCode } from "./exit-code.ts";
import { formatPairs } from "./format-table.ts";
import { valueJson, valueText } from "./format-value.ts";
import { jsonDocuments } from "./json-documents.ts";
import { type MutationDraft, operations, toMutation } from "./mutation-draft.ts";
import { parseMutations, parseRowsInput } from "./parse-mutations.ts";
import { printable } from "./printable.ts";
import { readCount, readTime, readWord } from "./read-option.ts";
import { type ReadWrite, readWrite, type WriteDraft } from "./read-writes.ts";
import { retryCall } from "./retry-call.ts";
import { sendWrite } from "./send-write.ts";
import { describeStatus } from "./writes-commands.ts";

const DEFAULT_TIMEOUT_MS = 30_000;
/** Width of the names, so that those said before the write is sent stand above the others. */
const PAIRS = "commit LSN".length;

export const writeCommand: SiteCommand = {
  name: "write",
  operands: {
    usage: "insert|update|upsert|delete TABLE COLUMN=VALUE... [if ...] [and ...], or -",
    least: 1,
    complete: [[...operations, "-"], "tables"],
  },
  summary: "Write rows: one atomic write, or many from standard input. Sent again after a lost answer, it stays one.",
  details: `The words are one write, all of it or nothing:

  insert TABLE COLUMN=VALUE...   add a row
  update TABLE COLUMN=VALUE...   change a row; columns of the primary key say which
  upsert TABLE COLUMN=VALUE...   add the row, or change it where its key exists
  delete TABLE COLUMN=VALUE...   remove the row with this primary key
  ... if COLUMN=VALUE...         only where the row has these values; also: if exists, if missing
  ... and update TABLE ...       one more in the same write

A value is in PostgreSQL's own form for the column's type, or for a list in JSON: [1,2]. NULL is NULL; where a text could
be meant, COLUMN:=null. After := always stands JSON. For a time, now is the clock of this computer.

With "-" standard input has JSON, such as one object a line; each is a write of its own, unless --atomic or --batch
says otherwise:

  {"insert": "TABLE", "values": {"COLUMN": VALUE, ...}}
  {"update": "TABLE", "key": {...}, "values": {...}, "if": {...}}   also "if_exists": true
  [{...}, {...}]                                                  one write of several changes
  {"write_id": "...", "mutations": [{...}, ...]}                  the same with an id

With "insert TABLE -", and update, upsert and delete alike, each is a row: {"COLUMN": VALUE, ...}, as
"opsdb query TABLE --format json" prints it. The first that is refused ends it, and --write-id with the same input goes on.

Exit code: 0 as far as --wait asks, 3 refused, 4 rejected by the main database, 5 accepted but not so far in time.`,
  options: ["write-id", "wait", "timeout", "atomic", "batch", "json"],
  examples: [
    "opsdb write insert weather_samples station=cerro sampled_at=now pwv_mm=0.42",
    "opsdb write update weather_samples station=cerro sampled_at=2026-04-02T03:04:05Z pwv_mm=NULL if exists",
    "opsdb write upsert sources id=5 name='M 42' ra_deg=83.82 dec_deg=-5.39 'aliases=[\"Orion Nebula\"]' --wait replicated",
    "opsdb write delete sources id=5 and delete sources id=6",
    `echo '{"station": "cerro", "sampled_at": "2026-04-02T03:05:00Z", "pwv_mm": 0.4}' | opsdb write insert weather_samples -`,
    "opsdb write - --batch 500 --timeout 5m < night.jsonl",
  ],
  run: write,
};

async function write(call: CommandCall): Promise<number> {
  const { operands, options } = call;
  const rows = parseRowsInput(operands);
  const fromInput = rows !== undefined || (operands.length === 1 && operands[0] === "-");
  if (!fromInput && (options.atomic || options.batch))
    throw new UsageError("--atomic and --batch are for standard input: opsdb write -");
  if (options.atomic && options.batch) throw new UsageError("--atomic and --batch exclude each other");
  const given = options["write-id"];
  const writeId = given === undefined ? new WriteIds().next() : readId(given);
  const writer = new Writer(call);
  if (!fromInput) return await writer.one({ mutations: parseMutations(operands), writeId });
  if (process.stdin.isTTY) call.say("reads JSON from standard input; end it with Ctrl-D");
  const atomic = options.atomic ? Number.POSITIVE_INFINITY : undefined;
  const perWrite = atomic ?? readCount(options.batch, "--batch") ?? 1;
  return await writer.all(batches(drafts(rows), perWrite), writeId, options.atomic ?? false);
}

/** Sends writes one after the other, so that they take effect in their order, and says what became of each. */
class Writer {
  readonly #call: CommandCall;
  readonly #tables = new Map<string, Promise<Table>>();
  readonly #waitFor: WriteState;
  readonly #timeoutMs: number;

  constructor(call: CommandCall) {
    this.#call = call;
    const wait = readWord(call.options.wait, "--wait", ["applied", "replicated"]);
    this.#waitFor =
      wait === undefined ? WriteState.ACCEPTED : wait === "applied" ? WriteState.APPLIED : WriteState.REPLICATED;
    this.#timeoutMs = readTime(call.options.timeout, "--timeout") ?? DEFAULT_TIMEOUT_MS;
  }

  /** The id is printed before the write is sent, so that its outcome can be asked for whatever happens. */
  async one({ mutations: drafts, writeId }: WriteDraft & { writeId: string }): Promise<number> {
    const { json } = this.#call.options;
    const mutations = await this.#mutations(drafts);
    if (!json) for (const line of formatPairs([["write", writeId]], PAIRS)) console.log(line);
    const answer = await this.#send(writeId, mutations);
    if (json) console.log(answerJson(answer));
    else for (const line of describeAnswer(answer, drafts)) console.log(line);
    return this.#outcome(answer);
  }

  /** The id of the n-th write follows from the one of all, so that the same input with the same id is written once. */
  async all(writes: AsyncIterable<ReadWrite>, idOfAll: string, atomic: boolean): Promise<number> {
    const { json } = this.#call.options;
    let [count, line, worst]: [number, number, number] = [0, 1, exitCode.ok];
    const unfinished = (): void =>
      this.#call.say(
        `ended at line ${line}, after ${count} ${count === 1 ? "write" : "writes"}, which stay; with --write-id ${idOfAll} the same input goes on there`,
      );
    const stopped = (): never => {
      unfinished();
      process.exit(130);
    };
    process.once("SIGINT", stopped);
    try {
      for await (const write of writes) {
        line = write.line;
        const id = write.writeId ?? (atomic ? idOfAll : derivedId("command line", idOfAll, String(count)));
        const answer = await this.#send(id, await this.#mutations(write.mutations));
        console.log(json ? answerJson(answer) : describeBriefly(answer));
        worst = Math.max(worst, this.#outcome(answer));
        count += 1;
      }
    } catch (error) {
      const code = error instanceof UsageError ? exitCode.usage : this.#call.fail(error);
      if (error instanceof UsageError) this.#call.say(error.message);
      if (count > 0 || code === exitCode.failure) unfinished();
      return code;
    } finally {
      process.off("SIGINT", stopped);
    }
    if (count === 0) throw new UsageError("standard input is empty");
    return worst;
  }

  #send(writeId: string, mutations: Mutation[]): Promise<WriteResponse> {
    const request = { writeId, mutations, waitFor: this.#waitFor };
    const waits = this.#waitFor !== WriteState.ACCEPTED;
    return sendWrite(this.#call, request, { timeoutMs: this.#timeoutMs, waits });
  }

  async #mutations(drafts: readonly MutationDraft[]): Promise<Mutation[]> {
    const mutations: Mutation[] = [];
    for (const draft of drafts) mutations.push(toMutation(draft, await this.#describe(draft.table)));
    return mutations;
  }

  #describe(table: string): Promise<Table> {
    let known = this.#tables.get(table);
    if (known === undefined) {
      known = this.#ask(table);
      this.#tables.set(table, known);
    }
    return known;
  }

  async #ask(table: string): Promise<Table> {
    const { catalog, say } = this.#call;
    const { table: described } = await retryCall((timeoutMs) => catalog.describeTable({ table }, { timeoutMs }), {
      say,
      timeoutMs: this.#timeoutMs,
      remedy: "it is tried again",
    });
    if (!described) throw new Error(`the server has not described table ${table}`);
    return described;
  }

  #outcome({ status, waitTimedOut }: WriteResponse): number {
    if (status?.state === WriteState.REJECTED) {
      this.#call.say("the main database has rejected the write; see it with: opsdb writes rejected");
      return exitCode.rejected;
    }
    if (!waitTimedOut) return exitCode.ok;
    this.#call.say(
      `not ${this.#call.options.wait} yet; the write goes on, see how far it is with: opsdb writes get ${status?.writeId}`,
    );
    return exitCode.unfinished;
  }
}

async function* drafts(rows: ReturnType<typeof parseRowsInput>): AsyncGenerator<ReadWrite> {
  process.stdin.setEncoding("utf8");
  for await (const document of jsonDocuments(process.stdin))
    yield { ...readWrite(document, rows), line: document.line };
}

/** Joins so many of the input's values into one write. */
async function* batches(writes: AsyncIterable<ReadWrite>, perWrite: number): AsyncGenerator<ReadWrite> {
  let [joined, size, last]: [MutationDraft[], number, number] = [[], 0, 1];
  for await (const { mutations, writeId, line } of writes) {
    last = line;
    if (writeId !== undefined) {
      if (perWrite > 1) throw new UsageError("an id of its own and --atomic or --batch exclude each other");
      yield { mutations, writeId: readId(writeId), line };
      continue;
    }
    joined.push(...mutations);
    size += 1;
    if (size < perWrite) continue;
    yield { mutations: joined, line };
    [joined, size] = [[], 0];
  }
  if (size > 0) yield { mutations: joined, line: last };
}

function readId(text: string): string {
  try {
    return parseWriteId(text, "write_id");
  } catch (cause) {
    throw new UsageError(`a write id is a UUID, 8-4-4-4-12, not ${JSON.stringify(text)}`, { cause });
  }
}

function describeAnswer({ status, rows, duplicate }: WriteResponse, drafts: readonly MutationDraft[]): string[] {
  return [
    ...describeStatus(status, PAIRS).slice(1), // the id is told already
    ...formatPairs(
      [["duplicate", duplicate ? "this id was written before; nothing was stored again" : undefined]],
      PAIRS,
    ),
    ...rows.map((row, i) => `${drafts[i]?.operation} ${drafts[i]?.table}: ${rowText(row)}`),
  ];
}

function describeBriefly({ status, duplicate }: WriteResponse): string {
  const state = enumName(WriteState, status?.state ?? WriteState.UNSPECIFIED);
  const { rejection } = status ?? {};
  const why = rejection === undefined ? "" : `  ${printable(rejection.message)} (${rejection.reason})`;
  return `${status?.writeId}  ${state}${duplicate ? "  written before" : ""}${why}`;
}

function rowText({ values }: ColumnValues): string {
  return Object.entries(values)
    .map(([name, value]) => `${name}=${printable(valueText(value) ?? "NULL")}`)
    .join(" ");
}

function answerJson({ status, rows, waitTimedOut, duplicate }: WriteResponse): string {
  const told = status ? JSON.stringify(toJson(WriteStatusSchema, status)) : "{}";
  const shown = rows.map(
    ({ values }) =>
      `{${Object.entries(values)
        .map(([name, value]) => `${JSON.stringify(name)}:${valueJson(value)}`)
        .join(",")}}`,
  );
  return `{"status":${told},"rows":[${shown.join(",")}],"waitTimedOut":${waitTimedOut},"duplicate":${duplicate}}`;
}
