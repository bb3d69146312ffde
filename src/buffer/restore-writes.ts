import { failpoint } from "../lib/failpoint.ts";
import { formatPosition, type Position } from "../position.ts";
import type { BufferedWrites } from "./buffered-writes.ts";
import type { DataMarks } from "./data-marks.ts";
import { ignoreOutOfMemory } from "./durability.ts";
import { findLost } from "./lost-writes.ts";
import { leftTo, type Stream } from "./stream.ts";
import type { UnreadWrites } from "./unread-writes.ts";

export interface Restoring {
  writes: BufferedWrites;
  unread: UnreadWrites;
  stream: Stream;
  marks: DataMarks;
  /** Where this process had read the stream to when it last looked at it: what left since it may have missed. */
  readTo: Position;
  /** The highest position that the databases speak of. */
  knownTo: Position;
  /** Memory is about to say nothing of what it lacks. */
  incomplete: () => void;
  progress: (reason: string) => void;
}

/** Writes under way at once where many are written again. */
const PAGE = 500;

/** Writes again what this process remembers and Redis came back without (an older copy, a lost disk), and tells the loss. */
export async function restoreWrites(restoring: Restoring): Promise<void> {
  const { unread, stream, progress } = restoring;
  await takeOutLost(restoring);
  // All of them stay known until they were read: Redis may lose them once more meanwhile.
  const again = unread.remembered;
  for (let done = 0; done < again.length; done += PAGE) {
    progress(`writing again what Redis has lost: ${done} of ${again.length} writes`);
    await Promise.all(again.slice(done, done + PAGE).map((entry) => stream.writeAgain(entry)));
    failpoint("restore-middle");
  }
  await stream.create().catch(ignoreOutOfMemory);
}

/** What Redis has lost leaves memory and is read anew once it was written again. */
async function takeOutLost({ writes, unread, stream, marks, readTo, knownTo, incomplete }: Restoring): Promise<void> {
  const { last } = writes;
  const seen = await stream.sweep(writes.forgottenTo, await stream.info());
  writes.leftStream(leftTo(seen), readTo);
  const lost = await findLost(writes, stream, seen);
  const neverRead = unread.neverRead(marks.epoch, seen, lost.length);
  const [first] = lost;
  if (first || neverRead > 0) await marks.dropLeases();
  const told = [
    ...(first
      ? [
          `Redis came back without ${lost.length} writes, from position ${formatPosition(first.position)} on; this process remembers them and is writing them again`,
        ]
      : []),
    ...(neverRead > 0
      ? [
          `Redis has lost at least ${neverRead} writes that this process had not read yet: they are gone unless another process of the site remembers them`,
        ]
      : []),
  ];
  if (told.length > 0) {
    // Before the evidence goes: Redis keeps it when this process ends in between.
    await marks.reportLoss(told.join(". "));
    unread.forgetLook();
  }
  unread.trimmedTo(seen.trimmedTo);
  if (first) {
    // What cannot have its old position must not get one that the drain may have passed, whatever the clock says.
    const passed = knownTo > last ? knownTo : last;
    if (first.position <= seen.generated && passed > seen.generated) await stream.moveTo(passed);
    unread.lose(lost);
    // Their places may be others now: they are read anew, and until then memory says nothing of what it lacks.
    incomplete();
    writes.truncate(first.position - 1n);
  }
}
