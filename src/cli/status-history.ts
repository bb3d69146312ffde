import { type ReplicationStatus, SiteRole } from "../../gen/ts/opsdb/v1/replication_pb.ts";
import { knownLag } from "./known-lag.ts";

/** One look at a site, each second. Rates are those since the look before; undefined where they are not known. */
export interface Sample {
  pending: number | undefined;
  lagBytes: number | undefined;
  acceptedPerSecond: number | undefined;
  appliedPerSecond: number | undefined;
}

/** The newest looks, oldest first. */
export class StatusHistory {
  readonly #most: number;
  #samples: Sample[] = [];
  #before: { status: ReplicationStatus; atMs: number } | undefined;

  constructor(most: number) {
    this.#most = most;
  }

  get samples(): readonly Sample[] {
    return this.#samples;
  }

  /** A look where nothing is known, because the server does not answer, leaves a gap. */
  add(status: ReplicationStatus | undefined, atMs: number): void {
    const sample = status === undefined ? gap : this.#compare(status, atMs);
    this.#samples = [...this.#samples.slice(1 - this.#most), sample];
    this.#before = status && { status, atMs };
  }

  #compare(status: ReplicationStatus, atMs: number): Sample {
    const { buffer, processor } = status;
    const pending = buffer && Number(buffer.pendingWrites);
    const lagBytes = knownLag(status);
    const before = this.#before;
    const seconds = before && (atMs - before.atMs) / 1_000;
    const decided = decidedWrites(status) - (before ? decidedWrites(before.status) : 0);
    // Counters begin anew with the process, and another process of the site may be the one that applies.
    const known = processor && before && seconds && decided >= 0 && status.role === SiteRole.SECONDARY;
    if (!known || pending === undefined)
      return { pending, lagBytes, acceptedPerSecond: undefined, appliedPerSecond: undefined };
    const more = pending - Number(before.status.buffer?.pendingWrites ?? 0n);
    return {
      pending,
      lagBytes,
      acceptedPerSecond: Math.max(0, decided + more) / seconds,
      appliedPerSecond: decided / seconds,
    };
  }
}

const gap: Sample = {
  pending: undefined,
  lagBytes: undefined,
  acceptedPerSecond: undefined,
  appliedPerSecond: undefined,
};

function decidedWrites({ processor }: ReplicationStatus): number {
  return Number((processor?.appliedWrites ?? 0n) + (processor?.rejectedWrites ?? 0n));
}
