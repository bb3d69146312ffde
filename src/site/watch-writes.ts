import type { BufferedWrites } from "../buffer/buffered-writes.ts";
import { rejectedId } from "../buffer/settle.ts";
import type { BufferedWrite } from "../buffer/write-buffer.ts";
import { OpsDbError } from "../errors.ts";
import type { Latest } from "../lib/latest.ts";
import { formatPosition, type Position } from "../position.ts";
import type { WriteStatus } from "../write.ts";
import type { WatchWritesOptions } from "./site.ts";

export interface WatchedWrites {
  writes: BufferedWrites;
  statusOf: (entry: BufferedWrite) => WriteStatus;
  /** Moves with every change of a write's state. */
  changes: Latest<number>;
  /** Whether nothing has ever left the stream. */
  neverTrimmed: () => Promise<boolean>;
  /** Looks often whether writes have arrived, until it is disposed of; undefined where that is of no use now. */
  attend: () => Disposable | undefined;
}

const PAGE = 256;

/**
 * A site's writes after a position, each once and in order, as soon as it is as far as asked. All that it keeps is the
 * position: while its reader is behind, it waits.
 */
export async function* watchWrites(watched: WatchedWrites, options: WatchWritesOptions): AsyncGenerator<WriteStatus> {
  const { writes, changes, statusOf } = watched;
  const { report, rejectedOnly, signal } = options;
  if (options.after !== undefined && !(await isThere(watched, options.after))) throw forgotten(options.after);
  let position = options.after ?? writes.last;
  for (;;) {
    const version = changes.version;
    if (position < writes.forgottenTo) throw forgotten(position);
    const page = writes.after(position, PAGE);
    for (const entry of page) {
      if (!isFar(entry, report)) break;
      position = entry.position;
      // A repeated append is no write of its own.
      if (isRepetition(writes, entry) || (rejectedOnly && entry.state !== "REJECTED")) continue;
      yield statusOf(entry);
    }
    if (position === page.at(-1)?.position) continue;
    using _attention = page.length > 0 ? watched.attend() : undefined;
    await changes.changed(version, signal);
  }
}

function isFar({ state }: BufferedWrite, report: WatchWritesOptions["report"]): boolean {
  return state === "REJECTED" || state === "REPLICATED" || (report === "APPLIED" && state === "APPLIED");
}

/** Of what comes with an id that belongs to other content, the first of each content is a write, and rejected. */
function isRepetition(writes: BufferedWrites, entry: BufferedWrite): boolean {
  return entry.duplicateOf !== undefined && writes.byId(rejectedId(entry)) !== entry;
}

/**
 * Whether everything after the position is still in the buffer. What left the stream before this process began it does
 * not know; but entries leave as a prefix, so nothing after one that is there has left.
 */
async function isThere({ writes, neverTrimmed }: WatchedWrites, position: Position): Promise<boolean> {
  if (position < writes.forgottenTo) return false;
  if (position >= writes.last || writes.firstAfter(position - 1n)?.position === position) return true;
  return position >= writes.forgottenTo && (writes.forgottenTo > 0n || (await neverTrimmed()));
}

function forgotten(position: Position): OpsDbError {
  return new OpsDbError(
    "POSITION_FORGOTTEN",
    `writes after ${formatPosition(position)} have left the buffer: ask for them with GetWrite or Query, and watch from now on`,
    { field: "after_position" },
  );
}
