import { exact, isSites, lastValues, put, valuesOf } from "./check-history-ground.ts";
import type { Plant } from "./check-history-plant.ts";

/** In what reads of the secondary site's rows show. */
export const plantsInReads: readonly Plant[] = [
  {
    kind: "lost",
    name: "a write of unknown outcome was read and is not in the ledger",
    into(ground) {
      const { final, reads } = ground;
      const seen = new Set(reads.filter(exact).flatMap(({ rows }) => rows.filter(isSites).map(([, value]) => value)));
      const lost = ground.any(
        ground
          .decided("APPLIED")
          .filter(
            ({ sent }) => sent.acknowledgedAt === Infinity && valuesOf(sent.write).some((v) => seen.has(v.value)),
          ),
      );
      final.ledger = final.ledger.filter((row) => row !== lost?.row);
      return lost !== undefined;
    },
  },
  {
    kind: "invented",
    name: "a read shows a row that nobody wrote",
    into(ground) {
      const { rows } = ground.any(ground.reads) ?? {};
      rows?.push([[-777, 777, 1_000_777][ground.pick(3)] ?? 777, "nobody-1-1"]);
      return rows !== undefined;
    },
  },
  {
    kind: "refused-but-visible",
    name: "a read shows a value that was refused",
    into(ground) {
      const read = ground.any(ground.reads);
      const sent = ground.any([...ground.sent("secondary"), ...ground.sent("main")].filter(({ refused }) => refused));
      const { key, value } = ground.any(sent ? valuesOf(sent.write) : []) ?? {};
      if (!read || key === undefined) return false;
      put(read.rows, key, value);
      return true;
    },
  },
  {
    kind: "both",
    name: "a read of the replica or of main shows a poison write",
    into(ground) {
      const read = ground.any(ground.reads.filter(({ consistency }) => consistency !== "merged"));
      const poison = ground.any(ground.decided("REJECTED").filter(({ sent }) => sent.write.poison))?.sent.write;
      const own = ground.any(poison ? valuesOf(poison) : []);
      if (own) read?.rows.push([own.key, own.value]);
      return read !== undefined && own !== undefined;
    },
  },
  {
    kind: "torn",
    name: "a read shows one row of a write, and another as it was before",
    into(ground) {
      const read = ground.any(ground.reads);
      const write = ground.any(ground.several(read?.rows ?? [], "secondary"));
      const [key] = ground.any(write?.rows ?? []) ?? [];
      if (!read || !write || key === undefined) return false;
      const before = ground.before(write.write, key);
      // A row that goes again later can be missing beside the others.
      if (before === undefined && ground.everDeleted(key)) return false;
      put(read.rows, key, before);
      return true;
    },
  },
  {
    kind: "torn",
    name: "a read shows a value that its own write replaces",
    into(ground) {
      const inside = ground.decided("APPLIED").flatMap(({ sent: { write } }) => {
        const last = lastValues(write);
        return valuesOf(write).filter(({ key, value }) => key >= 0 && last.get(key) !== value);
      });
      const own = ground.any(inside);
      const read = ground.any(ground.reads);
      if (own && read) put(read.rows, own.key, own.value);
      return own !== undefined && read !== undefined;
    },
  },
  {
    kind: "stale-read",
    name: "a merged read shows what was there before a write that was acknowledged",
    into(ground) {
      const reads = ground.reads.filter(exact);
      const found = reads.flatMap((later) => {
        const known = ground.decided("APPLIED").filter(({ sent }) => {
          const [own] = valuesOf(sent.write);
          return sent.acknowledgedAt < later.at && own && own.key >= 0 && !ground.everDeleted(own.key);
        });
        const newest = Math.max(...known.map(({ sent }) => sent.calledAt));
        const earlier = reads.filter(({ until }) => until < newest).at(-1);
        return earlier ? [{ later, earlier }] : [];
      });
      const { later, earlier } = ground.any(found) ?? {};
      if (!later || !earlier) return false;
      later.rows = [...earlier.rows.filter(isSites), ...later.rows.filter(([key]) => key >= 1_000_000)];
      return true;
    },
  },
  {
    kind: "inexact-read",
    name: "a read has a row twice",
    into(ground) {
      const { rows } = ground.any(ground.reads) ?? {};
      const row = ground.any(rows ?? []);
      if (row) rows?.push([...row]);
      return row !== undefined;
    },
  },
  {
    kind: "inexact-read",
    name: "a row is missing in a read beside a later one",
    into(ground) {
      const found = ground.reads.flatMap((read) =>
        read.rows.filter(isSites).flatMap(([key]) => {
          if (ground.everDeleted(key)) return [];
          const first = ground.final.effects.find((effect) => effect.key === key);
          const creator = first && ground.owner(first.value);
          if (!creator || creator.write.changes.some((change) => change.key !== key)) return [];
          const later = read.rows.some(
            ([other, value]) =>
              other !== key && other < 1_000_000 && (ground.owner(value)?.calledAt ?? 0) > creator.acknowledgedAt,
          );
          return later ? [{ read, key }] : [];
        }),
      );
      const { read, key } = ground.any(found) ?? {};
      if (!read || key === undefined) return false;
      put(read.rows, key, undefined);
      return true;
    },
  },
  {
    kind: "inexact-read",
    name: "a read shows a write that was called after its answer",
    into(ground) {
      const found = ground.reads.flatMap((later) => {
        const called = later.rows.filter(isSites).map(([, value]) => ground.owner(value)?.calledAt ?? 0);
        const earlier = ground.reads.filter(({ until }) => until < Math.max(...called)).at(-1);
        return earlier ? [{ earlier, later }] : [];
      });
      const { earlier, later } = ground.any(found) ?? {};
      if (!earlier || !later) return false;
      earlier.rows = [...later.rows.filter(isSites), ...earlier.rows.filter(([key]) => key >= 1_000_000)];
      return true;
    },
  },
];
