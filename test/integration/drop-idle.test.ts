import { expect, inject, test } from "vitest";
import { createPool } from "../../src/postgres/connection.ts";
import { dropIdle, useClient } from "../../src/postgres/use-client.ts";
import { addressOf } from "../support/drain.ts";

test("after one connection fell silent no other of its age is used, and those in use stay", async () => {
  const pool = createPool(addressOf(inject("primaryUrl")), { applicationName: "drop-idle" }, 4);
  try {
    const pid = (): Promise<number> =>
      useClient(pool, AbortSignal.timeout(5_000), async (client) =>
        Number((await client.query("select pg_backend_pid() as pid, pg_sleep(0.05)")).rows[0]?.pid),
      );
    const before = await Promise.all([pid(), pid(), pid()]);
    const inUse = await pool.connect();
    await dropIdle(pool);
    expect([pool.idleCount, pool.totalCount]).toEqual([0, 1]);
    expect((await inUse.query("select 1 as one")).rows).toHaveLength(1);
    const after = await Promise.all([pid(), pid()]);
    expect(after.filter((id) => before.includes(id))).toEqual([]);
    inUse.release();
  } finally {
    await pool.end();
  }
});
