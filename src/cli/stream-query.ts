import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { type QueryHeader, QueryRequestSchema, type Row } from "../../gen/ts/opsdb/v1/query_pb.ts";
import { sleep } from "../lib/abort.ts";
import { Backoff } from "../lib/backoff.ts";
import type { CommandCall } from "./command.ts";
import { transient } from "./transient.ts";

/** The stream broke off after rows had come, and could not be taken up again; `cause` says why. */
export class IncompleteResult extends Error {
  override readonly name = "IncompleteResult";
  readonly rows: number;
  readonly resumable: boolean;

  constructor(rows: number, resumable: boolean, cause: unknown) {
    super(`the result is incomplete after ${rows} rows`, { cause });
    this.rows = rows;
    this.resumable = resumable;
  }
}

export type ResultPart = { kind: "header"; header: QueryHeader } | { kind: "rows"; rows: Row[] };

/** How long an interrupted stream is tried again, milliseconds. */
const RETRY_MS = 30_000;

/**
 * The parts of a result, read at the pace of whoever takes them. A stream that breaks off is taken up after the last
 * row that was taken, where the result has an order, and begun again where no row was taken yet; the header comes once.
 */
export async function* streamQuery(
  { queries, say }: Pick<CommandCall, "queries" | "say">,
  init: MessageInitShape<typeof QueryRequestSchema>,
  timeoutMs: number | undefined,
): AsyncGenerator<ResultPart> {
  const request = create(QueryRequestSchema, init);
  using ending = new Ending(timeoutMs);
  const backoff = new Backoff({ firstMs: 200, longestMs: 5_000 });
  let [rows, headed, brokenAt]: [number, boolean, number | undefined] = [0, false, undefined];
  for (;;) {
    const attempt = new AbortController();
    try {
      let complete = false;
      const signal = AbortSignal.any([attempt.signal, ending.signal]);
      for await (const { part } of queries.query(request, { signal, timeoutMs: 0 })) {
        if (part.case === "header") {
          if (headed && brokenAt !== undefined) say(`the result goes on after ${rows} rows, in a new snapshot`);
          if (!headed) yield { kind: "header", header: part.value };
          headed = true;
        } else if (part.case === "batch") {
          yield { kind: "rows", rows: part.value.rows };
          rows += part.value.rows.length;
          request.resumeAfter = part.value.resumePoint;
        } else if (part.case === "trailer") complete = true;
        brokenAt = undefined;
        backoff.reset();
      }
      if (complete) return;
      throw new ConnectError("the stream ended without its trailer", Code.Unavailable);
    } catch (thrown) {
      if (ending.signal.aborted)
        throw rows === 0 ? ending.signal.reason : new IncompleteResult(rows, true, ending.signal.reason);
      const passing = transient(thrown);
      const resumable = rows === 0 || request.resumeAfter.length > 0;
      const now = performance.now();
      if (brokenAt === undefined && passing && resumable)
        say(`${passing.error.rawMessage}; it is tried again for ${RETRY_MS / 1_000} s`);
      brokenAt ??= now;
      if (!passing || !resumable || now - brokenAt > RETRY_MS)
        throw rows === 0 ? thrown : new IncompleteResult(rows, resumable, thrown);
      await sleep(Math.max(passing.afterMs, backoff.next()), ending.signal);
    } finally {
      attempt.abort(); // leaving the loop does not end the call
    }
  }
}

/** A signal that aborts after the time, milliseconds; never without one. */
class Ending implements Disposable {
  readonly #controller = new AbortController();
  readonly #timer: NodeJS.Timeout | undefined;

  constructor(timeoutMs: number | undefined) {
    if (timeoutMs === undefined) return;
    const error = new ConnectError(`no complete result within ${timeoutMs / 1_000} s`, Code.DeadlineExceeded);
    this.#timer = setTimeout(() => this.#controller.abort(error), timeoutMs);
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }
}
