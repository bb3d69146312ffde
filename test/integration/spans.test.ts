import { SpanStatusCode } from "@opentelemetry/api";
import { expect, test } from "vitest";
import { WriteState } from "../../gen/ts/opsdb/v1/write_pb.ts";
import { RecordedSpans } from "../support/recorded-spans.ts";
import { serveSite } from "../support/served-site.ts";
import { openSite } from "../support/sites.ts";
import { collect } from "../support/stub-server.ts";
import { createDatabase } from "../support/test-database.ts";

const traceId = "4bf92f3577b34da6a3ce929d0e0e4736";
const headers = { traceparent: `00-${traceId}-00f067aa0ba902b7-01` };
const insert = (n: string) => ({
  mutations: [
    {
      table: "log",
      operation: {
        case: "insert" as const,
        value: { values: { n: { kind: { case: "stringValue" as const, value: n } } } },
      },
    },
  ],
});

test("one trace has a write's call, its append, its way to main, and a read", async () => {
  await using spans = new RecordedSpans();
  await using database = await createDatabase();
  await database.onPrimary("create table log (n int primary key check (n < 1000))");
  await database.caughtUp();
  const { site: name, primaryUrl: mainUrl, standbyUrl: localUrl, redisUrl } = database;
  await using secondary = await openSite("secondary", { site: name, mainUrl, localUrl, redisUrl });
  await using served = await serveSite(secondary.site);
  const { writes, queries } = served.caller;
  const { status } = await writes.write({ ...insert("1"), waitFor: WriteState.REPLICATED }, { headers });
  await collect(queries.query({ table: "log" }, { headers }));

  const call = spans.named("opsdb.v1.WriteService/Write");
  const read = spans.named("opsdb.v1.QueryService/Query");
  for (const [child, parent] of [
    ["XADD", call],
    ["apply on main", call],
    ["SELECT log", read],
  ] as const) {
    const span = spans.named(child);
    expect([child, span?.spanContext().traceId]).toEqual([child, traceId]);
    expect([child, span?.parentSpanContext?.spanId]).toEqual([child, parent?.spanContext().spanId]);
    expect(span?.status.code).toBe(SpanStatusCode.UNSET);
  }
  expect(spans.named("apply on main")?.attributes).toMatchObject({
    "opsdb.write_id": status?.writeId,
    "opsdb.position": status?.position,
  });
});

test("what nobody asked for is in no trace: the site's own work makes no spans", async () => {
  await using spans = new RecordedSpans();
  await using database = await createDatabase();
  const { site, primaryUrl: mainUrl, standbyUrl: localUrl, redisUrl } = database;
  await using _secondary = await openSite("secondary", { site, mainUrl, localUrl, redisUrl });
  expect(spans.all).toEqual([]);
});

test("a write at the main site is applied in its call's trace", async () => {
  await using spans = new RecordedSpans();
  await using database = await createDatabase();
  await database.onPrimary("create table log (n int primary key)");
  const { site, primaryUrl: url, redisUrl } = database;
  await using main = await openSite("main", { site, mainUrl: url, localUrl: url, redisUrl });
  await using served = await serveSite(main.site);
  const { writes } = served.caller;
  await writes.write(insert("1"), { headers });
  await expect(writes.write(insert("1"), { headers })).rejects.toThrow();
  const applied = spans.all.filter((span) => span.name === "apply");
  expect(applied.map((span) => span.spanContext().traceId)).toEqual([traceId, traceId]);
  expect(applied.map((span) => span.attributes["error.type"])).toEqual([undefined, "OpsDbError"]);
});
