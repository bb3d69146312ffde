import type { Position } from "../position.ts";
import type { BufferedWrites, RawEntry } from "./buffered-writes.ts";
import type { Stream, StreamInfo } from "./stream.ts";

const PAGE = 2_000;

/**
 * The writes that this process remembers and the stream, as it was `seen` just now, does not have any more, oldest
 * first: Redis was emptied, or came back with an older copy. What another process trimmed is not lost.
 */
export async function findLost(writes: BufferedWrites, stream: Stream, seen: StreamInfo): Promise<RawEntry[]> {
  if (isWhole(writes, seen)) return [];
  const missing = await compare(writes, stream, seen.generated);
  if (missing.length === 0) return missing;
  // After the entries, for what was trimmed while they were read was marked before.
  const { trimmedTo } = await stream.info();
  return missing.filter(({ position }) => position > trimmedTo);
}

/** Whether nothing can be missing, without reading: entries leave a stream at its head only. */
function isWhole(writes: BufferedWrites, { length, generated, first, trimmedTo }: StreamInfo): boolean {
  if (generated !== writes.last) return false;
  const unproven = writes.firstUnproven;
  const oldest = unproven && unproven.position <= trimmedTo ? writes.firstAfter(trimmedTo) : unproven;
  if (oldest === undefined) return true;
  return first !== undefined && first <= oldest.position && length === writes.countAfter(first - 1n);
}

async function compare(writes: BufferedWrites, stream: Stream, generated: Position): Promise<RawEntry[]> {
  const lost: RawEntry[] = [];
  let stored = await stream.after(writes.forgottenTo, PAGE);
  let at = 0;
  for (const entry of writes.payloadsAfter(writes.forgottenTo)) {
    while (stored.length > 0 && (stored[at]?.position ?? entry.position) < entry.position) {
      at += 1;
      if (at < stored.length) continue;
      stored = await stream.after(stored[at - 1]?.position ?? entry.position, PAGE);
      at = 0;
    }
    if (stored[at]?.position === entry.position) continue;
    // What is proven is kept for a failover only. Where the whole tail is gone it is written again with the rest.
    if (entry.position > generated || !writes.isProven(entry.position)) lost.push(entry);
  }
  return lost;
}
