import { setTimeout as delay } from "node:timers/promises";
import { eventually } from "../support/eventually.ts";
import { sql } from "../support/sql.ts";
import type { ChaosCaller } from "./chaos-caller.ts";
import type { ChaosSites } from "./chaos-sites.ts";
import type { FinalEvent, StatusEvent } from "./history.ts";
import type { Recorder } from "./recorder.ts";

type Status = Omit<StatusEvent, "kind" | "at">;
type Row = [key: number, value: string];

export interface CollectFinalOptions {
  sites: ChaosSites;
  /** A caller of each server of the secondary site. */
  servers: readonly ChaosCaller[];
  recorder: Recorder;
  /** When the last fault had healed and the last client had ended, by the recorder. */
  healedAt: number;
  roundTripMs: number;
  /** Is called when everything has drained, before the databases are read. */
  drained: () => Promise<void>;
}

/** Until nothing has moved for this long, a call that its client has given up may still be stored. */
const QUIET_MS = 1_000;

/** Waits until the site has drained, as long as it may take, and reads what is left of the run. */
export async function collectFinal(options: CollectFinalOptions): Promise<FinalEvent> {
  const { sites, servers, recorder, healedAt } = options;
  const { drained, status } = await drain(options);
  await options.drained();
  await sites.standby.caughtUp();
  const ledger = await sql<FinalEvent["ledger"][number]>(
    sites.mainUrl,
    `select write_id as "writeId", coalesce(position, '') as position, outcome, error->>'reason' as reason
     from opsdb.ledger where site = $1 order by applied_at`,
    [sites.secondaryName],
  );
  const effects = await sql<FinalEvent["effects"][number]>(
    sites.mainUrl,
    "select operation, key, value, transaction from chaos.effects order by at",
  );
  const merged = await Promise.all(servers.map((server) => server.read({ consistency: "merged", timeoutMs: 10_000 })));
  return {
    kind: "final",
    at: recorder.now(),
    drainedInMs: drained === undefined ? undefined : Math.max(0, Math.round(drained - healedAt)),
    status: { kind: "status", at: recorder.now(), ...status },
    ledger,
    effects,
    main: await rowsOf(sites.mainUrl),
    standby: await rowsOf(sites.standbyUrl),
    merged: merged.map(({ rows }) => rows),
  };
}

/** When both servers had nothing pending any more and stayed so; undefined where that was not in the time allowed. */
async function drain(options: CollectFinalOptions): Promise<{ drained: number | undefined; status: Status }> {
  const { servers, recorder, healedAt } = options;
  let allowedUntil = healedAt + 10_000 + QUIET_MS;
  let drained: number | undefined;
  for (let first = true; ; first = false) {
    const statuses = await Promise.all(servers.map((server) => statusOf(server).catch(() => undefined)));
    const known = statuses.find((status) => status !== undefined) ?? nothingKnown;
    const pending = Math.max(...statuses.map((status) => status?.pendingWrites ?? 0));
    // Each write may be one that main refuses, which takes several round trips: that is not the recovery.
    if (first) allowedUntil += pending * (5 + options.roundTripMs / 10);
    const empty = statuses.every((status) => status?.pendingWrites === 0 && status.overlayWrites === 0);
    drained = empty ? (drained ?? recorder.now()) : undefined;
    if (drained !== undefined && recorder.now() - drained >= QUIET_MS) return { drained, status: known };
    if (drained === undefined && recorder.now() > allowedUntil) return { drained, status: known };
    await delay(50);
  }
}

/** The status of a server that knows of everything acknowledged until now. */
async function statusOf(server: ChaosCaller): Promise<Status> {
  const { bufferUnreachable } = await server.read({ consistency: "merged", from: 2 ** 31 - 1, timeoutMs: 2_000 });
  if (bufferUnreachable) throw new Error("the server cannot read the buffer");
  for await (const status of server.statuses(AbortSignal.timeout(2_000))) return status;
  throw new Error("the watch ended without a status");
}

async function rowsOf(url: string): Promise<Row[]> {
  return await eventually(
    async () => {
      const rows = await sql<{ k: number; v: string }>(url, "select k, v from chaos.register order by k");
      return rows.map(({ k, v }): Row => [k, v]);
    },
    () => true,
  );
}

const away = { state: "", reason: "no server answered" };
const nothingKnown: Status = {
  pendingWrites: -1,
  overlayWrites: -1,
  appliedPosition: "",
  processor: away,
  buffer: away,
  main: away,
  local: away,
};
