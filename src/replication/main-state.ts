import type pg from "pg";
import { type Lsn, parseLsn } from "../lsn.ts";
import { type Position, parsePosition, START } from "../position.ts";
import { queryRows } from "../postgres/use-client.ts";
import type { MainStatus } from "./status.ts";

/** What one look at the main database tells; standbys and slots are empty where the role may not see them. */
export interface MainState extends Pick<MainStatus, "standbys" | "slots"> {
  lsn: Lsn;
  timeline: number;
  /** The site's cursor. */
  cursor: Position;
}

// replay_lag is not asked: it says 0.5 ms while replay is paused (facts.md, PostgreSQL 6); bytes are computed.
const MAIN_STATE = `
select w.lsn, ('x' || substr(pg_walfile_name(w.lsn), 1, 8))::bit(32)::int,
  (select json_agg(json_build_array(application_name, state, replay_lsn, pg_wal_lsn_diff(w.lsn, replay_lsn)::text)) from pg_stat_replication),
  (select json_agg(json_build_array(slot_name, active, coalesce(wal_status, 'unknown'), pg_wal_lsn_diff(w.lsn, restart_lsn)::text))
    from pg_replication_slots where slot_type = 'physical'),
  (select position from opsdb.cursor where site = $1)
from (select pg_current_wal_lsn() as lsn) w`;

/** One look at the main database, given up with the signal. */
export async function readMainState(pool: pg.Pool, site: string, signal: AbortSignal): Promise<MainState> {
  const [row] = await queryRows(pool, signal, { name: "opsdb_main_state", text: MAIN_STATE, values: [site] });
  const [lsn, timeline, standbys, slots, cursor] = row ?? [];
  const standbyRows = JSON.parse(standbys ?? "[]") as [string, string | null, string | null, string | null][];
  const slotRows = JSON.parse(slots ?? "[]") as [string, boolean, string, string | null][];
  return {
    lsn: parseLsn(lsn ?? ""),
    timeline: Number(timeline),
    cursor: cursor == null ? START : parsePosition(cursor),
    standbys: standbyRows.map(([name, state, replayLsn, lag]) => ({
      name,
      state: state ?? "unknown",
      ...(replayLsn === null ? {} : { replayLsn: parseLsn(replayLsn) }),
      lagBytes: bytes(lag),
    })),
    slots: slotRows.map(([name, active, walStatus, retained]) => ({
      name,
      active,
      walStatus,
      retainedBytes: bytes(retained),
    })),
  };
}

function bytes(text: string | null): bigint {
  const value = BigInt(text ?? 0);
  return value < 0n ? 0n : value;
}
