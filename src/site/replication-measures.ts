import { setImmediate } from "node:timers/promises";
import { aborted, Deadline } from "../lib/abort.ts";
import type { MainStatus, PartState, PartStatus, ReplicationStatus } from "../replication/status.ts";
import { type Labelled, type Measure, up } from "./measure.ts";
import type { Site } from "./site.ts";

const states: readonly PartState[] = ["RUNNING", "IDLE", "RETRYING", "STANDBY", "DISABLED", "PAUSED"];
const walStatuses = ["reserved", "extended", "unreserved", "lost"] as const;

/** The parts of any site and the distance between its databases. */
export const replicationMeasures: readonly Measure[] = [
  {
    name: "opsdb_part_state",
    help: "1 for the state that a part of the site is in",
    type: "gauge",
    labelNames: ["part", "state"],
    read: (site) =>
      parts(site).flatMap(([part, status]) =>
        states.map((state) => ({ labels: { part, state }, value: status.state === state ? 1 : 0 })),
      ),
  },
  {
    name: "opsdb_part_state_seconds",
    help: "Time for which the part has been in its state for the same reason, in seconds",
    type: "gauge",
    labelNames: ["part"],
    read: (site) =>
      parts(site).map(([part, { since }]) => ({ labels: { part }, value: (Date.now() - since.getTime()) / 1_000 })),
  },
  {
    name: "opsdb_main_up",
    help: "1 while the main database answers",
    type: "gauge",
    read: (site) => up(site.readStatus().main.connection),
  },
  {
    name: "opsdb_local_up",
    help: "1 while the local database answers",
    type: "gauge",
    read: (site) => up(site.readStatus().local.connection),
  },
  {
    name: "opsdb_replica_lag_bytes",
    help: "Bytes of WAL between main's last known position and the local database",
    type: "gauge",
    read: (site) => number(site.readStatus().local.lagBytes),
  },
  {
    name: "opsdb_replica_lag_seconds",
    help: "Age of what the local database lacks, in seconds: 0 while main answers and nothing is lacking, else the replay age",
    type: "gauge",
    read: (site) => lagSeconds(site.readStatus()),
  },
  {
    name: "opsdb_replica_replay_age_seconds",
    help: "Age of the newest commit that the local database shows, in seconds; it also grows while main is idle",
    type: "gauge",
    read: (site) => replayAgeSeconds(site.readStatus()),
  },
  {
    name: "opsdb_main_lsn_bytes",
    help: "Write position of the main database's WAL, in bytes since its beginning, as it was last seen",
    type: "gauge",
    read: (site) => number(site.readStatus().main.lsn),
  },
  {
    name: "opsdb_local_lsn_bytes",
    help: "Position that the local database has replayed, in bytes since the beginning of the WAL",
    type: "gauge",
    read: (site) => number(site.readStatus().local.lsn),
  },
  {
    name: "opsdb_main_timeline",
    help: "Timeline of the main database: one more after each failover",
    type: "gauge",
    read: (site) => site.readStatus().main.timeline,
  },
  {
    name: "opsdb_local_timeline",
    help: "Timeline of the local database",
    type: "gauge",
    read: (site) => site.readStatus().local.timeline,
  },
  {
    name: "opsdb_local_replay_paused",
    help: "1 while somebody has paused replay on the local database",
    type: "gauge",
    read: (site) => (site.readStatus().local.replayPaused ? 1 : 0),
  },
  {
    name: "opsdb_local_receiver_streaming",
    help: "1 while the local database receives WAL; NaN where its user may not see that, or it is no replica",
    type: "gauge",
    read(site) {
      const { receiverState } = site.readStatus().local;
      return receiverState === undefined ? undefined : receiverState === "streaming" ? 1 : 0;
    },
  },
  {
    name: "opsdb_main_standby_lag_bytes",
    help: "Bytes of WAL between main and what each standby that it knows of has replayed, by the standby's name",
    type: "gauge",
    labelNames: ["standby"],
    read: (site) => largest(mainNow(site)?.standbys, "standby", ({ lagBytes }) => lagBytes),
  },
  {
    name: "opsdb_main_slot_retained_bytes",
    help: "Bytes of WAL that main keeps for a replication slot",
    type: "gauge",
    labelNames: ["slot"],
    read: (site) => largest(mainNow(site)?.slots, "slot", ({ retainedBytes }) => retainedBytes),
  },
  {
    name: "opsdb_main_slot_active",
    help: "1 while a standby uses the replication slot",
    type: "gauge",
    labelNames: ["slot"],
    read: (site) =>
      (mainNow(site)?.slots ?? []).map(({ name, active }) => ({ labels: { slot: name }, value: active ? 1 : 0 })),
  },
  {
    name: "opsdb_main_slot_wal_status",
    help: "1 for PostgreSQL's wal_status of the replication slot",
    type: "gauge",
    labelNames: ["slot", "wal_status"],
    read: (site) => (mainNow(site)?.slots ?? []).flatMap(slotStatus),
  },
  {
    name: "opsdb_rejected_writes_waiting",
    help: "Rejected writes that wait for an operator's decision, as the local database has them: of this site, or at the main site of all",
    type: "gauge",
    read: countRejected,
  },
];

function parts(site: Site): [part: string, status: PartStatus][] {
  const { main, local, buffer, processor } = site.readStatus();
  const all = {
    main: main.connection,
    local: local.connection,
    buffer: buffer?.connection,
    processor: processor?.state,
  };
  return Object.entries(all).flatMap(([part, status]) => (status ? [[part, status] as [string, PartStatus]] : []));
}

/** What main said, while it answers. */
function mainNow(site: Site): MainStatus | undefined {
  const { main } = site.readStatus();
  return main.connection.state === "RUNNING" ? main : undefined;
}

function number(value: bigint | undefined): number | undefined {
  return value === undefined ? undefined : Number(value);
}

function replayAgeSeconds({ local }: ReplicationStatus): number | undefined {
  return local.replayAgeMs === undefined ? undefined : local.replayAgeMs / 1_000;
}

function lagSeconds(status: ReplicationStatus): number | undefined {
  const { main, local } = status;
  if (!local.inRecovery && local.connection.state === "RUNNING") return 0;
  return main.connection.state === "RUNNING" && local.lagBytes === 0n ? 0 : replayAgeSeconds(status);
}

/** Standbys may have one name between them; the one that is furthest behind counts. */
function largest<T extends { name: string }>(
  items: readonly T[] = [],
  label: string,
  of: (item: T) => bigint,
): Labelled[] {
  const bytes = new Map<string, number>();
  for (const item of items) bytes.set(item.name, Math.max(bytes.get(item.name) ?? 0, Number(of(item))));
  return [...bytes].map(([name, value]) => ({ labels: { [label]: name }, value }));
}

function slotStatus({ name, walStatus }: MainStatus["slots"][number]): Labelled[] {
  return walStatuses.map((each) => ({ labels: { slot: name, wal_status: each }, value: walStatus === each ? 1 : 0 }));
}

/** A scrape waits for the database no longer than this, milliseconds. */
const COUNT_MS = 1_000;

async function countRejected(site: Site): Promise<number | undefined> {
  if (site.readStatus().local.connection.state !== "RUNNING") return undefined;
  await setImmediate(); // once the pools were looked at: its own wait for a connection would be taken for a caller's
  using deadline = new Deadline(COUNT_MS);
  return await aborted(deadline.signal, site.operator.countRejected()).catch(() => undefined);
}
