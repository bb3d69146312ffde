// Writes per second from the buffer to the main database, without and with a long link, beside the same writes applied
// one at a time. Usage: ./dev bench drain [writes]
import { randomUUID } from "node:crypto";
import { Latest } from "../src/lib/latest.ts";
import { START } from "../src/position.ts";
import type { Write } from "../src/write.ts";
import { addressOf, openDrain, writeOf } from "../test/support/drain.ts";
import { Link } from "../test/support/link.ts";
import { startPair, startRedisServer } from "../test/support/services.ts";
import { prepareDatabase } from "../test/support/two-site.ts";

const obsUnit = "0b500000-0000-4000-8000-000000000001";
const instrument = "15700000-0000-4000-8000-000000000002";

/** What an instrument does: observations with their packages, weather, ends of observations, samples removed again. */
function night(count: number): Write[] {
  const writes: Write[] = [];
  const station = randomUUID();
  for (let i = 0; writes.length < count; i++) {
    const time = (s: number) => new Date(Date.UTC(2026, 10, 1) + (i * 10 + s) * 1_000).toISOString();
    const id = randomUUID();
    writes.push(
      writeOf(
        {
          table: "public.executed_obs_units",
          operation: "insert",
          key: [id],
          columns: [
            "id",
            "obs_unit_id",
            "instrument_id",
            "start_time",
            "status",
            "mean_pwv_mm",
            "module_numbers",
            "conditions",
          ],
          values: [id, obsUnit, instrument, time(0), "RUNNING", "0.612", "{1,2}", '{"wind": "calm"}'],
        },
        {
          table: "public.raw_data_packages",
          operation: "insert",
          key: [randomUUID()],
          columns: ["executed_obs_unit_id", "name"],
          values: [id, `package-${id}`],
        },
      ),
    );
    for (let sample = 1; sample <= 6; sample++)
      writes.push(
        writeOf({
          table: "public.weather_samples",
          operation: "insert",
          key: [station.slice(0, 8), time(sample)],
          columns: ["station", "sampled_at", "temperature_c", "pwv_mm"],
          values: [station.slice(0, 8), time(sample), "-12.25", "0.6"],
        }),
      );
    writes.push(
      writeOf({
        table: "public.weather_samples",
        operation: "delete",
        key: [station.slice(0, 8), time(1)],
        columns: [],
        values: [],
      }),
      writeOf({
        table: "public.executed_obs_units",
        operation: "update",
        key: [id],
        columns: ["end_time", "status"],
        values: [time(9), "COMPLETED"],
      }),
    );
  }
  return writes.slice(0, count);
}

const count = Number(process.argv[2] ?? 20_000);
await using stack = new AsyncDisposableStack();
const { primary } = stack.use(await startPair({ fsync: true }));
const redis = stack.use(await startRedisServer());
const link = stack.use(new Link());
const far = await link.forward(primary);
await prepareDatabase(primary.url);

async function drainRate(site: string, roundTripMs: number, writes: Write[], oneAtATime: boolean): Promise<number> {
  link.setRoundTrip(roundTripMs);
  const decided = new Latest(START);
  await using drain = await openDrain({
    site,
    redisUrl: redis.url,
    primaryUrl: primary.url,
    main: { ...addressOf(primary.url), ...far },
    processor: {
      ...(oneAtATime ? { batchWrites: 1, inFlight: 1 } : {}),
      changed: () => decided.set(drain.processor.cursor),
    },
  });
  for (let i = 0; i < writes.length; i += 1_000)
    await Promise.all(writes.slice(i, i + 1_000).map((write) => drain.buffer.append(write)));
  const started = performance.now();
  drain.start();
  await decided.until((cursor) => cursor >= drain.buffer.writes.last, AbortSignal.timeout(600_000));
  const seconds = (performance.now() - started) / 1_000;
  if (drain.processor.status.rejectedWrites > 0) throw new Error("main rejected writes of the bench");
  return writes.length / seconds;
}

console.log(
  `drain to main: ${count} writes of inserts, updates and deletes on 3 tables, fsync on, connecting included`,
);
console.log("round trip   one at a time      batches under way   ratio");
const rates: number[] = [];
for (const roundTripMs of [0, 220]) {
  const few = roundTripMs === 0 ? 1_000 : 20;
  const single = await drainRate(`single-${roundTripMs}`, roundTripMs, night(few), true);
  const rate = await drainRate(`batches-${roundTripMs}`, roundTripMs, night(count), false);
  rates.push(rate);
  const cells = [
    `${roundTripMs} ms`.padStart(10),
    `${single.toFixed(1)}/s`.padStart(15),
    `${Math.round(rate)}/s`.padStart(20),
  ];
  console.log(`${cells.join("  ")}   ${Math.round(rate / single)}x`);
}
const [near = 1, distant = 0] = rates;
console.log(`at 220 ms the drain keeps ${((distant / near) * 100).toFixed(0)}% of its rate at 0 ms`);
