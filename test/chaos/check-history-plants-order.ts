import { contentOf, valuesOf } from "./check-history-ground.ts";
import type { Plant } from "./check-history-plant.ts";

/** In the ledger, the order and the effects of the secondary site. */
export const plantsInOrder: readonly Plant[] = [
  {
    kind: "lost",
    name: "an acknowledged write has no ledger row",
    into(ground) {
      const { final } = ground;
      const lost = ground.any(ground.sent("secondary").filter(({ acknowledgedAt }) => acknowledgedAt < Infinity));
      final.ledger = final.ledger.filter(({ writeId }) => writeId !== lost?.write.writeId);
      return lost !== undefined;
    },
  },
  {
    kind: "lost",
    name: "an applied write has no effects",
    into(ground) {
      const whole = ground
        .decided("APPLIED")
        .filter(({ sent }) => sent.write.changes.every(({ operation }) => operation !== "delete"));
      const lost = ground.any(whole);
      return lost !== undefined && ground.remove(ground.effectsOf(lost.sent.write));
    },
  },
  {
    kind: "lost",
    name: "a row was deleted, and the ledger does not know the only write that deletes it",
    into(ground) {
      const at = ground.final.at - 1;
      ground.events.push({
        ...{ kind: "write", client: "given up", site: "secondary", at, until: at, outcome: "unknown" },
        ...{ writeId: "given up/1", changes: [{ operation: "delete", key: 999_999 }], poison: false },
      });
      ground.final.effects.push({ operation: "DELETE", key: 999_999, value: "another", transaction: "later" });
      return true;
    },
  },
  {
    kind: "doubled",
    name: "an effect happened twice",
    into({ final, pick }) {
      const at = pick(final.effects.length);
      const effect = final.effects[at];
      if (!effect || effect.operation === "DELETE") return false;
      final.effects.splice(at, 0, { ...effect });
      return true;
    },
  },
  {
    kind: "doubled",
    name: "a row was deleted twice",
    into(ground) {
      const { final } = ground;
      const effect = ground.any(final.effects.filter(({ operation }) => operation === "DELETE"));
      if (effect) final.effects.splice(final.effects.indexOf(effect), 0, { ...effect });
      return effect !== undefined;
    },
  },
  {
    kind: "doubled",
    name: "a row was deleted once more, with a value that it never had then",
    into(ground) {
      const { final } = ground;
      const rejected = new Set(
        ground.decided("REJECTED").flatMap(({ sent }) => sent.write.changes.map(({ key }) => key)),
      );
      const effect = ground.any(
        final.effects.filter(({ operation, key }) => operation === "DELETE" && key < 1_000_000 && !rejected.has(key)),
      );
      if (effect) final.effects.push({ ...effect, value: "another", transaction: "later" });
      return effect !== undefined;
    },
  },
  {
    kind: "doubled",
    name: "the ledger has an id twice",
    into(ground) {
      const row = ground.any(ground.final.ledger);
      if (row) ground.final.ledger.push({ ...row, position: "1999999999999-0" });
      return row !== undefined;
    },
  },
  {
    kind: "invented",
    name: "an effect that nobody asked for",
    into({ final, pick }) {
      const key = pick(2) === 0 ? 3 : 1_000_003;
      final.effects.push({ operation: "UPDATE", key, value: "nobody-1-1", transaction: "later" });
      return true;
    },
  },
  {
    kind: "invented",
    name: "a deletion that nobody asked for",
    into({ final, pick }) {
      const key = pick(2) === 0 ? 999_999 : 1_999_999;
      final.effects.push({ operation: "DELETE", key, value: "nobody-1-1", transaction: "later" });
      return true;
    },
  },
  {
    kind: "invented",
    name: "an effect of a write on another row",
    into(ground) {
      const effect = ground.any(ground.final.effects.filter(({ operation }) => operation !== "DELETE"));
      if (effect) effect.key += 500;
      return effect !== undefined;
    },
  },
  {
    kind: "invented",
    name: "a ledger row that no client has sent",
    into({ final }) {
      final.ledger.push({ writeId: "nobody/1", position: "1999999999999-0", outcome: "APPLIED", reason: null });
      return true;
    },
  },
  {
    kind: "refused-but-visible",
    name: "a write that was refused is applied",
    into(ground) {
      const refused = ground.any(
        ground.sent("secondary").filter((sent) => sent.refused && sent.write.error !== "WRITE_ID_REUSED"),
      );
      if (!refused || ground.final.ledger.some(({ writeId }) => writeId === refused.write.writeId)) return false;
      const { writeId } = refused.write;
      ground.final.ledger.push({ writeId, position: "1999999999999-0", outcome: "APPLIED", reason: null });
      return true;
    },
  },
  {
    kind: "refused-but-visible",
    name: "a deletion that only a refused write can have made",
    into(ground) {
      const site = ground.pick(2) === 0 ? "main" : "secondary";
      const key = site === "main" ? 1_999_999 : 999_999;
      const at = ground.final.at - 1;
      ground.events.push({
        ...{ kind: "write", client: "refused", site, at, until: at, outcome: "failed", error: "BUFFER_FULL" },
        ...{ writeId: "refused/1", changes: [{ operation: "delete", key }], poison: false },
      });
      ground.final.effects.push({ operation: "DELETE", key, value: "nobody-1-1", transaction: "later" });
      return true;
    },
  },
  {
    kind: "both",
    name: "a rejected write has an effect",
    into(ground) {
      const rejected = ground.any(ground.decided("REJECTED"))?.sent.write;
      const own = ground.any(rejected ? valuesOf(rejected) : []);
      if (own) ground.final.effects.push({ operation: "UPDATE", key: own.key, value: own.value, transaction: "later" });
      return own !== undefined;
    },
  },
  {
    kind: "both",
    name: "a row was deleted that only rejected writes delete",
    into(ground) {
      const deleted = ground
        .decided("REJECTED")
        .flatMap(({ sent }) => sent.write.changes.filter(({ operation }) => operation === "delete"));
      const change = ground.any(deleted);
      if (change)
        ground.final.effects.push({ operation: "DELETE", key: change.key, value: "another", transaction: "later" });
      return change !== undefined;
    },
  },
  {
    kind: "both",
    name: "a write was answered REJECTED and is applied",
    into(ground) {
      const applied = new Set(ground.decided("APPLIED").map(({ sent }) => contentOf(sent.write)));
      const write = ground.any(ground.writes.filter((each) => each.outcome === "ok" && applied.has(contentOf(each))));
      if (write) write.state = "REJECTED";
      return write !== undefined;
    },
  },
  {
    kind: "wrongly-rejected",
    name: "a write with which nothing is wrong is rejected",
    into(ground) {
      const row = ground.any(ground.decided("APPLIED"))?.row;
      if (row) Object.assign(row, { outcome: "REJECTED", reason: "CHECK_VIOLATION" });
      return row !== undefined;
    },
  },
  {
    kind: "wrongly-applied",
    name: "poison is applied",
    into(ground) {
      const row = ground.any(ground.decided("REJECTED").filter(({ sent }) => sent.write.poison))?.row;
      if (row) Object.assign(row, { outcome: "APPLIED", reason: null });
      return row !== undefined;
    },
  },
  {
    kind: "wrongly-applied",
    name: "a write is applied that its rows forbid",
    into(ground) {
      const row = ground.any(ground.decided("REJECTED").filter(({ sent }) => !sent.write.poison))?.row;
      if (row) Object.assign(row, { outcome: "APPLIED", reason: null });
      return row !== undefined;
    },
  },
  {
    kind: "reordered",
    name: "two writes have each other's place, although one was answered before the other was called",
    into(ground) {
      const [first, second] = ground.any(ground.successive("secondary")) ?? [];
      const a = first && ground.ledgerRow(first);
      const b = second && ground.ledgerRow(second);
      if (!a || !b) return false;
      [a.position, b.position] = [b.position, a.position];
      return true;
    },
  },
  {
    kind: "reordered",
    name: "two writes were answered with the places that they have, the earlier called after the answer to the later",
    into(ground) {
      const [first, second] = ground.any(ground.successive("secondary")) ?? [];
      const a = first && ground.ledgerRow(first);
      const b = second && ground.ledgerRow(second);
      if (!a || !b) return false;
      [a.position, b.position] = [b.position, a.position];
      for (const write of ground.writes)
        for (const row of [a, b])
          if (write.outcome === "ok" && write.writeId === row.writeId) write.position = row.position;
      return true;
    },
  },
  {
    kind: "reordered",
    name: "a write was acknowledged with an earlier place than it has",
    into(ground) {
      const sent = ground.any(ground.sent("secondary").filter(({ acknowledgedAt }) => acknowledgedAt < Infinity));
      const first = ground.writes.find(
        ({ writeId, until, outcome }) =>
          writeId === sent?.write.writeId && outcome === "ok" && until === sent.acknowledgedAt,
      );
      if (first) first.position = "1-0";
      return first !== undefined;
    },
  },
  {
    kind: "reordered",
    name: "a ledger row has no place",
    into(ground) {
      const row = ground.any(ground.final.ledger);
      if (row) row.position = "";
      return row !== undefined;
    },
  },
  {
    kind: "reordered",
    name: "two effects on one row, of different writes, happened the other way round in one transaction",
    into(ground) {
      const effects = ground.final.effects;
      const pairs = effects.flatMap((effect, i) => {
        const next = effects.findIndex((other, j) => j > i && other.key === effect.key);
        const later = effects[next];
        const writes = [effect, later].map((each) => each && ground.owner(each.value)?.write.writeId);
        const both = effect.key < 1_000_000 && effect.operation !== "DELETE" && later?.operation === "UPDATE";
        return both && writes[0] !== writes[1] ? [[i, next] as const] : [];
      });
      const [i = 0, j = 0] = ground.any(pairs) ?? [];
      const [first, second] = [effects[i], effects[j]];
      if (!first || !second || i === j) return false;
      [first.value, second.value] = [second.value, first.value];
      for (const effect of effects) delete effect.transaction;
      return true;
    },
  },
  {
    kind: "reordered",
    name: "two transactions happened the other way round",
    into(ground) {
      const { final } = ground;
      const groups = [...Map.groupBy(final.effects, ({ transaction }) => transaction).values()];
      const ours = groups.filter((group) =>
        group.some((effect) => effect.key < 1_000_000 && effect.operation !== "DELETE"),
      );
      const at = ground.pick(ours.length - 1);
      const [first, second] = ours.slice(at, at + 2);
      if (!first || !second) return false;
      const swapped = groups.map((group) => (group === first ? second : group === second ? first : group));
      final.effects = swapped.flat();
      return true;
    },
  },
  {
    kind: "torn",
    name: "one effect of several did not happen",
    into(ground) {
      const several = ground.decided("APPLIED").filter(({ sent }) => ground.effectsOf(sent.write).length > 1);
      const write = ground.any(several)?.sent.write;
      const effect = ground.any(write ? ground.effectsOf(write) : []);
      return effect !== undefined && ground.remove([effect]);
    },
  },
  {
    kind: "torn",
    name: "a deletion beside another effect did not happen",
    into(ground) {
      const { effects } = ground.final;
      const write = ground.any(
        ground.decided("APPLIED").filter(({ sent }) => {
          const values = valuesOf(sent.write);
          return values.length > 0 && values.length < sent.write.changes.length;
        }),
      )?.sent.write;
      const [mine] = write ? ground.effectsOf(write) : [];
      const keys = new Set(write?.changes.flatMap((c) => (c.operation === "delete" ? [c.key] : [])));
      const others = ground.decided("APPLIED").filter(({ sent }) => sent.write.writeId !== write?.writeId);
      const gone = effects.filter(
        ({ operation, key, transaction }) =>
          operation === "DELETE" &&
          transaction === mine?.transaction &&
          keys.has(key) &&
          // No other write of the transaction can have made it.
          others.every(
            ({ sent }) =>
              !sent.write.changes.some((c) => c.operation === "delete" && c.key === key) ||
              ground.effectsOf(sent.write)[0]?.transaction !== transaction,
          ),
      );
      const sure = gone.filter(({ key }) => gone.filter((other) => other.key === key).length === 1);
      const maybe = ground
        .decided("APPLIED")
        .some(({ sent }) => valuesOf(sent.write).length === 0 && sent.write.changes.some((c) => keys.has(c.key)));
      return !maybe && ground.remove(sure.slice(0, 1));
    },
  },
  {
    kind: "torn",
    name: "effects of one write happened in two transactions",
    into(ground) {
      const several = [...ground.decided("APPLIED").map(({ sent }) => sent), ...ground.sent("main")].filter(
        ({ write }) => ground.effectsOf(write).length > 1,
      );
      const write = ground.any(several)?.write;
      const effect = ground.any(write ? ground.effectsOf(write) : []);
      if (effect) effect.transaction = "another";
      return effect !== undefined;
    },
  },
  {
    kind: "read-went-back",
    name: "a client saw a write of unknown outcome, and then did not",
    into(ground) {
      const { final } = ground;
      const operation = { client: "last", site: "secondary" as const };
      const at = final.at;
      ground.events.push({
        ...{
          ...operation,
          client: "given up",
          kind: "write",
          at,
          until: at + 1,
          outcome: "unknown",
          error: "no answer",
        },
        ...{ writeId: "last/1", changes: [{ operation: "upsert", key: 500, value: "last-1-0" }], poison: false },
      });
      final.ledger.push({ writeId: "last/1", position: "1999999999999-0", outcome: "APPLIED", reason: null });
      final.effects.push({ operation: "INSERT", key: 500, value: "last-1-0", transaction: "last" });
      const before = [...final.main];
      for (const rows of [final.main, final.standby, ...final.merged]) rows.push([500, "last-1-0"]);
      final.at = at + 10;
      const read = {
        ...operation,
        kind: "read",
        outcome: "ok",
        consistency: "merged",
        bufferUnreachable: false,
      } as const;
      ground.events.push({ ...read, at: at + 2, until: at + 3, rows: [...final.main] });
      ground.events.push({ ...read, at: at + 4, until: at + 5, rows: before });
      return true;
    },
  },
  {
    kind: "state-went-back",
    name: "a write was answered APPLIED and is rejected",
    into(ground) {
      const rejected = new Set(ground.decided("REJECTED").map(({ sent }) => contentOf(sent.write)));
      const write = ground.any(ground.writes.filter((each) => each.outcome === "ok" && rejected.has(contentOf(each))));
      if (write) write.state = ground.pick(2) === 0 ? "APPLIED" : "REPLICATED";
      return write !== undefined;
    },
  },
];
