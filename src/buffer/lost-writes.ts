import type { BufferedWrites, RawEntry } from "./buffered-writes.ts";
import type { Stream } from "./stream.ts";

const PAGE = 2_000;

/**
 * The writes that this process remembers and the stream does not have any more, oldest first: Redis was emptied, or came
 * back with an older copy. Entries that are proven and missing at the head were trimmed by another process.
 */
export async function findLost(writes: BufferedWrites, stream: Stream): Promise<RawEntry[]> {
  const { length, generated, first } = await stream.info();
  const firstUnproven = writes.firstUnproven;
  const headStands = firstUnproven === undefined || (first !== undefined && first <= firstUnproven.position);
  // Entries leave a stream at its head only: where head, tail and number agree, all between them is there.
  if (generated === writes.last && headStands && first !== undefined && length === writes.countAfter(first - 1n))
    return [];
  if (generated === writes.last && headStands && writes.unproven === 0) return [];
  return await compare(writes, stream);
}

async function compare(writes: BufferedWrites, stream: Stream): Promise<RawEntry[]> {
  const { generated } = await stream.info();
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
