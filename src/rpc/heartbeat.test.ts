import { createClient } from "@connectrpc/connect";
import { expect, test } from "vitest";
import { WriteService } from "../../gen/ts/opsdb/v1/write_service_pb.ts";
import { statusOf } from "../../test/support/site-stub.ts";
import { StubServer } from "../../test/support/stub-server.ts";
import { aborted } from "../lib/abort.ts";
import { withHeartbeats } from "./heartbeat.ts";

const never = new AbortController().signal;

test("the source is asked for one thing at a time, when the reader asks", async () => {
  let taken = 0;
  async function* source(): AsyncGenerator<{ n: number }> {
    for (;;) yield { n: ++taken };
  }
  const events = withHeartbeats({ source, heartbeatMs: 60_000, signal: never, stopping: never });
  for (let n = 1; n <= 3; n++) {
    expect((await events.next()).value).toEqual({ n });
    expect(taken).toBe(n);
  }
  await events.return(undefined);
});

test("what comes while a heartbeat is told is not lost", async () => {
  const give: ((n: number) => void)[] = [];
  async function* source(): AsyncGenerator<{ n: number }> {
    for (;;) yield { n: await new Promise<number>((resolve) => give.push(resolve)) };
  }
  const events = withHeartbeats({ source, heartbeatMs: 10, signal: never, stopping: never });
  expect((await events.next()).value).toHaveProperty("heartbeat");
  give[0]?.(7);
  for (;;) {
    const { value } = await events.next();
    if (value && "heartbeat" in value) continue;
    expect(value).toEqual({ n: 7 });
    break;
  }
  give[1]?.(8);
  await events.return(undefined);
});

test("a reader that goes away leaves nothing waiting at the site", async () => {
  await using stub = await StubServer.open();
  stub.site.onWatchWrites = async function* ({ signal }) {
    yield statusOf("00000000-0000-4000-8000-000000000000", "REPLICATED");
    await aborted(signal, new Promise<void>(() => {}));
  };
  const { watchWrites } = createClient(WriteService, stub.connect());
  const gone = new AbortController();
  const events = watchWrites({}, { signal: gone.signal })[Symbol.asyncIterator]();
  expect((await events.next()).value?.event.case).toBe("write");
  expect(stub.site.open.value).toBe(1);
  gone.abort();
  await expect(events.next()).rejects.toThrow();
  await stub.site.open.until((open) => open === 0, AbortSignal.timeout(5_000));
});
