import type pg from "pg";
import { type Lsn, parseLsn } from "../lsn.ts";
import { type Position, parsePosition, START } from "../position.ts";
import { queryRows } from "../postgres/use-client.ts";

/** What one look at the local database tells. */
export interface LocalState {
  systemIdentifier: string;
  inRecovery: boolean;
  /** Replay LSN of a replica, write LSN of a primary. */
  lsn: Lsn;
  timeline: number;
  /** Age of the newest replayed commit, milliseconds. */
  replayAgeMs: number | undefined;
  receiverState: string | undefined;
  replayPaused: boolean;
  /** The site's cursor as this database shows it. */
  cursor: Position;
}

// On a replica the timeline comes from the receiver while it streams, and otherwise from the last restart point and from
// how far replay must have come, which alone knows of a switch since then; a primary's is in the name of the WAL file it
// writes.
const LOCAL_STATE = `
select (select system_identifier from pg_control_system()),
  r.recovery,
  case when r.recovery then coalesce(pg_last_wal_replay_lsn(), '0/0') else pg_current_wal_lsn() end,
  case when r.recovery
    then greatest((select timeline_id from pg_control_checkpoint()), (select min_recovery_end_timeline from pg_control_recovery()),
      coalesce((select received_tli from pg_stat_wal_receiver), 0))
    else ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int end,
  case when r.recovery then extract(epoch from clock_timestamp() - pg_last_xact_replay_timestamp()) * 1000 end,
  case when r.recovery then coalesce((select coalesce(status, 'unknown') from pg_stat_wal_receiver), 'stopped') end,
  case when r.recovery then pg_is_wal_replay_paused() else false end,
  (select position from opsdb.cursor where site = $1)
from (select pg_is_in_recovery() as recovery) r`;

/** One look at the database, given up with the signal. */
export async function readLocalState(pool: pg.Pool, site: string, signal: AbortSignal): Promise<LocalState> {
  const [row] = await queryRows(pool, signal, { name: "opsdb_local_state", text: LOCAL_STATE, values: [site] });
  const [systemIdentifier, recovery, lsn, timeline, age, receiver, paused, cursor] = row ?? [];
  return {
    systemIdentifier: systemIdentifier ?? "",
    inRecovery: recovery === "t",
    lsn: parseLsn(lsn ?? "0/0"),
    timeline: Number(timeline),
    replayAgeMs: age == null ? undefined : Math.max(0, Number(age)),
    receiverState: receiver ?? undefined,
    replayPaused: paused === "t",
    cursor: cursor == null ? START : parsePosition(cursor),
  };
}

/** The site's cursor as the database shows it, given up with the signal. */
export async function readCursor(pool: pg.Pool, site: string, signal: AbortSignal): Promise<Position> {
  const [row] = await queryRows(pool, signal, {
    name: "opsdb_cursor",
    text: "select position from opsdb.cursor where site = $1",
    values: [site],
  });
  return row?.[0] == null ? START : parsePosition(row[0]);
}
