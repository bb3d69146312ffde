import type { BufferedWrite } from "../buffer/write-buffer.ts";
import type { WriteStatus } from "../write.ts";

/** A buffered write's status as this process knows it. */
export function entryStatus(site: string, entry: BufferedWrite): WriteStatus {
  return {
    writeId: entry.writeId,
    state: entry.state,
    site,
    position: entry.position,
    ...(entry.lsn === undefined ? {} : { lsn: entry.lsn }),
    ...(entry.appliedAt === undefined ? {} : { appliedAt: entry.appliedAt }),
    ...(entry.rejection === undefined ? {} : { rejection: entry.rejection }),
  };
}
