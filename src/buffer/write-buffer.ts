import type { Lsn } from "../lsn.ts";
import type { Position } from "../position.ts";
import type { Rejection, Write, WriteState } from "../write.ts";

/** A write in the buffer, with what is known of its way home. */
export interface BufferedWrite {
  readonly position: Position;
  readonly writeId: string;
  readonly acceptedAt: Date;
  /** Size of its payload in the buffer. */
  readonly bytes: number;
  /** Decodes the payload, or answers what was decoded before. */
  readonly write: Write;
  /**
   * The position of the first write with this id, where there is one: then this entry does nothing, because Redis
   * clients and callers resend.
   */
  readonly duplicateOf: Position | undefined;
  /** Whether that first write has other content: then main rejects this one, by its contentId. */
  readonly conflicting: boolean;
  /** ACCEPTED until more is known. */
  state: WriteState;
  lsn: Lsn | undefined;
  appliedAt: Date | undefined;
  rejection: Rejection | undefined;
}
