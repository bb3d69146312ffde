import { put, valuesOf } from "./check-history-ground.ts";
import type { Plant } from "./check-history-plant.ts";

/** In the tables of the end, and in what the site's status said. */
export const plantsInEnd: readonly Plant[] = [
  {
    kind: "invented",
    name: "a row of main, the standby or a last merged read that nobody wrote",
    into(ground) {
      const { main, standby, merged } = ground.final;
      ground.any([main, standby, ...merged])?.push([ground.pick(2) === 0 ? 777 : 1_000_777, "nobody-1-1"]);
      return true;
    },
  },
  {
    kind: "both",
    name: "main, the standby or a last merged read has a value of a rejected write",
    into(ground) {
      const { main, standby, merged } = ground.final;
      const rejected = ground.any(ground.decided("REJECTED"))?.sent.write;
      const own = ground.any(rejected ? valuesOf(rejected) : []);
      if (own) put(ground.any([main, standby, ...merged]) ?? [], own.key, own.value);
      return own !== undefined;
    },
  },
  {
    kind: "torn",
    name: "main, the standby or a last merged read has one row of a write, and not another",
    into(ground) {
      const { main, standby, merged } = ground.final;
      const rows = ground.any([main, standby, ...merged]) ?? [];
      const write = ground.any(ground.several(rows, "secondary"));
      const row = ground.any(write?.rows ?? []);
      if (!write || !row) return false;
      put(rows, row[0], ground.before(write.write, row[0]));
      return true;
    },
  },
  {
    kind: "diverged",
    name: "main, the standby or a last merged read has not the last value of a row",
    into(ground) {
      const { main, standby, merged } = ground.final;
      const row = ground.lastAlone();
      const owner = row && ground.owner(row[1]);
      if (!row || !owner) return false;
      put(ground.any([main, standby, ...merged]) ?? [], row[0], ground.before(owner.write, row[0]));
      return true;
    },
  },
  {
    kind: "diverged",
    name: "main, the standby or a last merged read lacks a row of main's own clients",
    into(ground) {
      const { main, standby, merged } = ground.final;
      const row = ground.any(main.filter(([key]) => key >= 1_000_000));
      if (row) put(ground.any([main, standby, ...merged]) ?? [], row[0], undefined);
      return row !== undefined;
    },
  },
  {
    kind: "diverged",
    name: "main, the standby or a last merged read has a row twice",
    into(ground) {
      const { main, standby, merged } = ground.final;
      const rows = ground.any([main, standby, ...merged]) ?? [];
      const row = ground.any(rows);
      if (row) rows.push([...row]);
      return row !== undefined;
    },
  },
  {
    kind: "diverged",
    name: "an insert was an update, or the other way round",
    into(ground) {
      const effect = ground.any(ground.final.effects.filter(({ operation }) => operation !== "DELETE"));
      if (effect) effect.operation = effect.operation === "INSERT" ? "UPDATE" : "INSERT";
      return effect !== undefined;
    },
  },
  {
    kind: "not-drained",
    name: "the site had not drained in time",
    into({ final }) {
      final.drainedInMs = undefined;
      return true;
    },
  },
  {
    kind: "not-drained",
    name: "a write is pending in the end",
    into({ final }) {
      final.status.pendingWrites = 1;
      return true;
    },
  },
  {
    kind: "not-drained",
    name: "a write is in the overlay in the end",
    into({ final }) {
      final.status.overlayWrites = 1;
      return true;
    },
  },
  {
    kind: "not-drained",
    name: "the record has no end",
    into({ events, final }) {
      events.splice(events.indexOf(final), 1);
      return true;
    },
  },
  {
    kind: "silent-stall",
    name: "idle beside a pending write",
    into: (ground) => ground.sample(6_000, { processor: { state: "IDLE", reason: "the buffer is empty" } }),
  },
  {
    kind: "silent-stall",
    name: "running on the spot",
    into: (ground) => ground.sample(21_000, { processor: { state: "RUNNING", reason: "" } }),
  },
  {
    kind: "silent-stall",
    name: "waiting without a reason",
    into(ground) {
      const part = ground.any(["processor", "buffer", "main", "local"] as const) ?? "main";
      return ground.sample(0, { [part]: { state: "RETRYING", reason: "" } });
    },
  },
  {
    kind: "silent-stall",
    name: "a state without a name",
    into(ground) {
      const part = ground.any(["processor", "buffer", "main", "local"] as const) ?? "main";
      return ground.sample(0, { [part]: { state: "", reason: "something" } });
    },
  },
  {
    kind: "silent-stall",
    name: "one server idle beside a pending write while another has moved on",
    into(ground) {
      const idle = { state: "IDLE", reason: "the buffer is empty" };
      ground.sample(6_000, { server: "a", processor: idle });
      return ground.sample(6_000, { server: "b", pendingWrites: 0, appliedPosition: "9-9", processor: idle });
    },
  },
];
