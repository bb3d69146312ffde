import { expect, test } from "vitest";
import { SiteStub, statusNamed, statusOf } from "../../test/support/site-stub.ts";
import { linkSignals } from "../lib/linked-signal.ts";
import { type WatchEvent, type WatchOptions, watchReplication } from "./replication-watch.ts";

const writeId = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11";
const never = 0x7fffffff;

interface Watch extends AsyncDisposable {
  site: SiteStub;
  stopping: AbortController;
  caller: AbortController;
  next(): Promise<string>;
  events: AsyncGenerator<WatchEvent>;
}

function watch(options: Partial<WatchOptions> = {}, site = new SiteStub()): Watch {
  const stopping = new AbortController();
  const caller = new AbortController();
  const events = watchReplication({
    site,
    writeId: undefined,
    lsn: undefined,
    heartbeatMs: never,
    untilDone: false,
    signal: caller.signal,
    stopping: stopping.signal,
    ...options,
  });
  return {
    site,
    stopping,
    caller,
    events,
    next: async () => name(await events.next()),
    async [Symbol.asyncDispose]() {
      caller.abort();
      await events.return(undefined).catch(() => {});
      expect(site.open.value, "waits left open").toBe(0);
    },
  };
}

function name({ done, value }: IteratorResult<WatchEvent>): string {
  if (done) return "end";
  switch (value.kind) {
    case "status":
      return value.status.site;
    case "write":
      return value.write.state;
    default:
      return value.kind;
  }
}

test("the full status comes at once, then each change", async () => {
  await using w = watch();
  expect(await w.next()).toBe("first");
  const next = w.next();
  w.site.status.set(statusNamed("second"));
  expect(await next).toBe("second");
});

test("a slow watcher gets the newest status and every state of its write", async () => {
  await using w = watch({ writeId });
  w.site.followed.set([statusOf(writeId, "ACCEPTED")]);
  expect(await w.next()).toBe("first");
  for (let i = 0; i < 1000; i += 1) w.site.status.set(statusNamed(`status ${i}`));
  w.site.followed.set([statusOf(writeId, "ACCEPTED"), statusOf(writeId, "APPLIED"), statusOf(writeId, "REPLICATED")]);
  const told = [await w.next(), await w.next(), await w.next(), await w.next()];
  expect(told.filter((each) => each.startsWith("status"))).toEqual(["status 999"]);
  expect(told.filter((each) => !each.startsWith("status"))).toEqual(["ACCEPTED", "APPLIED", "REPLICATED"]);
});

test("until_done ends once the write is replicated and the LSN replayed", async () => {
  const site = new SiteStub();
  site.followed.set([statusOf(writeId, "ACCEPTED"), statusOf(writeId, "REPLICATED")]);
  await using w = watch({ writeId, lsn: 5n, untilDone: true }, site);
  expect(await w.next()).toBe("first");
  expect([await w.next(), await w.next()]).toEqual(["ACCEPTED", "REPLICATED"]);
  const rest = w.next();
  site.replayed.set(5n);
  expect(await rest).toBe("lsn_replayed");
  expect(await w.next()).toBe("end");
});

test("until_done with nothing to follow tells the status once", async () => {
  await using w = watch({ untilDone: true });
  expect([await w.next(), await w.next()]).toEqual(["first", "end"]);
});

test("a rejected write is done as well", async () => {
  const site = new SiteStub();
  site.followed.set([statusOf(writeId, "REJECTED")]);
  await using w = watch({ writeId, untilDone: true }, site);
  expect([await w.next(), await w.next(), await w.next()]).toEqual(["first", "REJECTED", "end"]);
});

test("silence is filled with heartbeats", async () => {
  await using w = watch({ heartbeatMs: 1 });
  expect([await w.next(), await w.next(), await w.next()]).toEqual(["first", "heartbeat", "heartbeat"]);
});

test("an unknown write fails the watch", async () => {
  await using w = watch({ writeId });
  expect(await w.next()).toBe("first");
  await expect(w.next()).rejects.toMatchObject({ reason: "WRITE_NOT_FOUND" });
});

test("a stopping server ends the watch with SHUTTING_DOWN", async () => {
  await using w = watch({ lsn: 5n });
  expect(await w.next()).toBe("first");
  const next = w.next();
  w.stopping.abort();
  await expect(next).rejects.toMatchObject({ reason: "SHUTTING_DOWN" });
});

test("a watcher that goes away leaves no wait behind", async () => {
  await using w = watch({ lsn: 5n, writeId });
  w.site.followed.set([statusOf(writeId, "ACCEPTED")]);
  expect(await w.next()).toBe("first");
  await w.next();
  const next = w.next();
  w.caller.abort(new Error("gone"));
  await expect(next).rejects.toThrow("gone");
  expect(w.site.open.value).toBe(0);
});

test("a linked signal lets go of the signals it followed", () => {
  const long = new AbortController();
  const linked = linkSignals(long.signal);
  linked[Symbol.dispose]();
  long.abort();
  expect(linked.signal.aborted).toBe(false);
});
