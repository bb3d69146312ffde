import { lastValues, put, valuesOf } from "./check-history-ground.ts";
import type { Plant } from "./check-history-plant.ts";

/** In what became of the writes of main's own clients. */
export const plantsInMainSite: readonly Plant[] = [
  {
    kind: "diverged",
    name: "another value went with a row of main's own clients than it had",
    into(ground) {
      const effect = ground.any(
        ground.final.effects.filter(({ operation, key }) => operation === "DELETE" && key >= 1_000_000),
      );
      if (effect) effect.value = "another";
      return effect !== undefined;
    },
  },
  {
    kind: "diverged",
    name: "every place lacks a row of main's own clients that main's effects made",
    into(ground) {
      const { main, standby, merged } = ground.final;
      const row = ground.any(main.filter(([key]) => key >= 1_000_000));
      if (row) for (const rows of [main, standby, ...merged]) put(rows, row[0], undefined);
      return row !== undefined;
    },
  },
  {
    kind: "lost",
    name: "an acknowledged write at main has no effects",
    into(ground) {
      const sent = ground.any(
        ground
          .sent("main")
          .filter(({ write, acknowledgedAt }) => acknowledgedAt < Infinity && valuesOf(write).length > 0),
      );
      return sent !== undefined && ground.remove(ground.effectsOf(sent.write));
    },
  },
  {
    kind: "torn",
    name: "a write at main happened in part",
    into(ground) {
      const several = ground.sent("main").filter(({ write }) => ground.effectsOf(write).length > 1);
      const write = ground.any(several)?.write;
      const effect = ground.any(write ? ground.effectsOf(write) : []);
      return effect !== undefined && ground.remove([effect]);
    },
  },
  {
    kind: "lost",
    name: "at main an earlier write stands, the later one was acknowledged",
    into(ground) {
      const { effects, main, standby, merged } = ground.final;
      const found = ground.successive("main").flatMap(([first, second]) =>
        valuesOf(first.write).flatMap(({ key }) => {
          const [before, last] = effects.filter((effect) => effect.key === key).slice(-2);
          const theirs =
            before?.value === lastValues(first.write).get(key) && last?.value === lastValues(second.write).get(key);
          return theirs && before?.operation !== "DELETE" && last?.operation === "UPDATE" ? [{ before, last }] : [];
        }),
      );
      const { before, last } = ground.any(found) ?? {};
      if (!before || !last) return false;
      [before.value, last.value] = [last.value, before.value];
      for (const rows of [main, standby, ...merged]) put(rows, last.key, last.value);
      return true;
    },
  },
  {
    kind: "lost",
    name: "at main a deleted row stands again, the deletion was acknowledged",
    into(ground) {
      const { effects, main, standby, merged } = ground.final;
      const found = ground.successive("main").flatMap(([first, second]) =>
        [...lastValues(first.write)].flatMap(([key, value]) => {
          const [before, last] = effects.filter((effect) => effect.key === key).slice(-2);
          const ends = second.write.changes.findLast((change) => change.key === key)?.operation === "delete";
          const theirs = before?.value === value && before.operation !== "DELETE" && last?.operation === "DELETE";
          return ends && theirs && last ? [{ value, last }] : [];
        }),
      );
      const { value, last } = ground.any(found) ?? {};
      if (!last) return false;
      for (const rows of [main, standby, ...merged]) put(rows, last.key, value);
      return ground.remove([last]);
    },
  },
  {
    kind: "stale-read",
    name: "a read of main shows a value that was replaced before it was called",
    into(ground) {
      const found = ground
        .successive("main")
        .flatMap(([first, second]) =>
          [...lastValues(first.write)].flatMap(([key, old]) =>
            ground.reads.flatMap((read) =>
              read.consistency === "main" && second.acknowledgedAt < read.at && lastValues(second.write).has(key)
                ? [{ read, key, old }]
                : [],
            ),
          ),
        );
      const { read, key, old } = ground.any(found) ?? {};
      if (!read || key === undefined) return false;
      put(read.rows, key, old);
      return true;
    },
  },
  {
    kind: "stale-read",
    name: "a read of main lacks a row that nobody deletes",
    into(ground) {
      const found = ground
        .sent("main")
        .flatMap(({ write, acknowledgedAt }) =>
          [...lastValues(write).keys()].flatMap((key) =>
            ground.everDeleted(key)
              ? []
              : ground.reads.flatMap((read) =>
                  read.consistency === "main" && acknowledgedAt < read.at ? [{ read, key }] : [],
                ),
          ),
        );
      const { read, key } = ground.any(found) ?? {};
      if (!read || key === undefined) return false;
      put(read.rows, key, undefined);
      return true;
    },
  },
  {
    kind: "inexact-read",
    name: "a read shows a write at main that was called after its answer",
    into(ground) {
      const read = ground.any(ground.reads);
      const later = ground
        .sent("main")
        .filter(({ write, calledAt }) => calledAt > (read?.until ?? 0) && ground.effectsOf(write).length > 0);
      const write = ground.any(later)?.write;
      const [row] = write ? lastValues(write) : [];
      if (!read || !row) return false;
      put(read.rows, ...row);
      return true;
    },
  },
  {
    kind: "torn",
    name: "a read shows one row of a write at main, and another as it was before",
    into(ground) {
      const found = ground.reads.flatMap((read) =>
        ground.several(read.rows, "main").flatMap(({ write, rows }) =>
          rows.flatMap(([key]) => {
            const before = ground.before(write, key);
            return before === undefined ? [] : [{ read, key, before }];
          }),
        ),
      );
      const { read, key, before } = ground.any(found) ?? {};
      if (!read || key === undefined) return false;
      put(read.rows, key, before);
      return true;
    },
  },
  {
    kind: "lost",
    name: "a write at main was read and has no effects",
    into(ground) {
      const seen = new Set(ground.reads.flatMap(({ rows }) => rows.map(([, value]) => value)));
      const unknown = ground
        .sent("main")
        .filter(
          ({ write, acknowledgedAt }) => acknowledgedAt === Infinity && valuesOf(write).some((v) => seen.has(v.value)),
        );
      const sent = ground.any(unknown);
      return sent !== undefined && ground.remove(ground.effectsOf(sent.write));
    },
  },
];
