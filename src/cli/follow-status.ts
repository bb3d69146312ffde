import { ConnectError } from "@connectrpc/connect";
import type { ReplicationStatus } from "../../gen/ts/opsdb/v1/replication_pb.ts";
import { sleep } from "../lib/abort.ts";
import { Backoff } from "../lib/backoff.ts";
import { describeCallError } from "./call-error.ts";
import type { CommandCall } from "./command.ts";
import { transient } from "./transient.ts";

/** A server that tells nothing for this time, not even a heartbeat, is taken for gone, milliseconds. */
const SILENCE_MS = 5_000;

/** What is known of a site at a moment. */
export interface FollowedSite {
  /** The newest status; undefined before the first. */
  status: ReplicationStatus | undefined;
  /** Since when nothing comes from the server, and why; undefined while it tells. */
  disconnected: { since: Date; reason: string } | undefined;
}

/** Follows a site's status, over restarts of its server; the newest is in `now`. */
export class StatusFollower {
  readonly now: FollowedSite = { status: undefined, disconnected: undefined };
  readonly #call: Pick<CommandCall, "replication" | "server">;
  readonly #changed: () => void;

  constructor(call: Pick<CommandCall, "replication" | "server">, changed: () => void) {
    this.#call = call;
    this.#changed = changed;
  }

  /** Resolves when the signal aborts; rejects with what trying again does not mend, such as a missing right. */
  async run(signal: AbortSignal): Promise<void> {
    const backoff = new Backoff({ firstMs: 250, longestMs: 2_000 });
    while (!signal.aborted) {
      try {
        await this.#watch(signal, backoff);
      } catch (error) {
        if (signal.aborted) return;
        if (!transient(error)) throw error;
        const { since = new Date() } = this.now.disconnected ?? {};
        this.now.disconnected = { since, reason: describeCallError(error, this.#call.server).message };
        this.#changed();
      }
      await sleep(backoff.next(), signal).catch(() => {});
    }
  }

  async #watch(signal: AbortSignal, backoff: Backoff): Promise<void> {
    const silent = new AbortController();
    const timer = setTimeout(() => silent.abort(new ConnectError("the server is silent")), SILENCE_MS);
    try {
      const events = this.#call.replication.watchReplication(
        { heartbeat: { seconds: 1n } },
        { signal: AbortSignal.any([signal, silent.signal]), timeoutMs: 0 },
      );
      for await (const { event } of events) {
        timer.refresh();
        backoff.reset();
        this.now.disconnected = undefined;
        if (event.case === "status") this.now.status = event.value;
        this.#changed();
      }
      throw new ConnectError("the server has ended the watch");
    } finally {
      clearTimeout(timer);
      silent.abort();
    }
  }
}
