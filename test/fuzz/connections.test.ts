import { create, toBinary } from "@bufbuild/protobuf";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { QueryRequestSchema } from "../../gen/ts/opsdb/v1/query_pb.ts";
import { WriteRequestSchema } from "../../gen/ts/opsdb/v1/write_pb.ts";
import { Chance } from "../property/chance.ts";
import { eventually } from "../support/eventually.ts";
import { sql } from "../support/sql.ts";
import { FuzzSites, roles } from "./fuzz-sites.ts";
import { HealthyCaller } from "./healthy-caller.ts";
import { envelope } from "./planned-call.ts";
import {
  callHeaders,
  END_HEADERS,
  END_STREAM,
  frame,
  frameTypes,
  headerBlock,
  opening,
  preface,
  RawConnection,
} from "./raw-connection.ts";
import type { Holdings } from "./watched-process.ts";

const { TEST_SEED = "1", TEST_NIGHTLY } = process.env;
/** How much of everything: more in a long run. */
const times = TEST_NIGHTLY ? 10 : 1;

/**
 * What a server may hold more than before the first abuse, once it is quiet again. Heap: code that was compiled and caches
 * that fill once, such as the catalog's and PostgreSQL's statements, come to some megabytes; what is abused here would be
 * hundreds. Sockets: the pools of 10 and 20 connections fill up and keep them for a minute.
 */
const MORE_HEAP = 24 * 1024 ** 2;
const MORE_BUFFERS = 24 * 1024 ** 2;
const MORE_SOCKETS = 38;

const describeTable = "/opsdb.v1.CatalogService/DescribeTable";
const listTables = "/opsdb.v1.CatalogService/ListTables";
const health = "/grpc.health.v1.Health/Check";
const watchHealth = "/grpc.health.v1.Health/Watch";
const query = "/opsdb.v1.QueryService/Query";
const write = "/opsdb.v1.WriteService/Write";

let fuzz: FuzzSites;

beforeAll(async () => {
  fuzz = await FuzzSites.start();
  // Rows for results that do not fit into any window.
  await sql(
    fuzz.sites.urls.main,
    `insert into weather_samples (station, sampled_at, pwv_mm)
    select 'large', timestamptz '2020-01-01' + n * interval '1 second', n from generate_series(1, 200000) n`,
  );
  await fuzz.sites.standby.caughtUp();
});

afterAll(async () => {
  await fuzz?.[Symbol.asyncDispose]();
});

/** Sends what is wrong; what it leaves open is closed when it returns, unless it lies in the connections given back. */
type Abuse = (address: string, chance: Chance) => Promise<void>;

const abuses: [what: string, abuse: Abuse][] = [
  [
    "a preface that is cut at each byte",
    async (address) => {
      for (let cut = 0; cut < preface.length; cut++)
        for (const how of ["end", "resetAndDestroy"] as const) {
          await using connection = await RawConnection.open(address);
          await connection.send(preface.subarray(0, cut));
          connection.socket[how]();
        }
    },
  ],
  [
    "a preface with each byte wrong",
    async (address) => {
      for (let at = 0; at < preface.length; at++) {
        await using connection = await RawConnection.open(address);
        const wrong = Buffer.from(opening());
        wrong[at] = (wrong[at] ?? 0) ^ 0x20;
        await connection.send(wrong);
        connection.socket.end();
        await connection.closed;
      }
    },
  ],
  [
    "random bytes",
    async (address, chance) => {
      for (let i = 0; i < 50 * times; i++) {
        await using connection = await RawConnection.open(address);
        const noise = Buffer.from(Array.from({ length: chance.below(3_000) }, () => chance.below(256)));
        await connection.send(chance.once(2) ? Buffer.concat([opening(), noise]) : noise);
        connection.socket.end();
        await connection.closed;
      }
    },
  ],
  [
    "random frames",
    async (address, chance) => {
      for (let i = 0; i < 100 * times; i++) {
        await using connection = await RawConnection.open(address);
        await connection.send(opening());
        for (let n = chance.between(1, 30); n > 0; n--) await connection.send(randomFrame(chance, address));
        connection.socket.end();
        await connection.closed;
      }
    },
  ],
  [
    "frames of a length, a stream and an order that may not be",
    async (address) => {
      const headers = callHeaders(address, health);
      const sequences: Buffer[][] = [
        [frame(frameTypes.data, 0, 0, Buffer.alloc(8))],
        [frame(frameTypes.data, 0, 5, Buffer.alloc(8))],
        [frame(frameTypes.headers, END_HEADERS, 0, headers)],
        [frame(frameTypes.headers, END_HEADERS, 2, headers)],
        [frame(frameTypes.headers, 0, 1, headers), frame(frameTypes.data, 0, 1, Buffer.alloc(8))],
        [frame(frameTypes.headers, END_HEADERS, 3, headers), frame(frameTypes.headers, END_HEADERS, 1, headers)],
        [frame(frameTypes.headers, END_HEADERS, 1, Buffer.concat([headers, headers]))],
        [frame(frameTypes.headers, END_HEADERS, 1, headerBlock({ ":path": health }))],
        [frame(frameTypes.headers, END_HEADERS, 1, Buffer.alloc(100, 0xff))],
        [frame(frameTypes.headers, END_HEADERS | 8, 1, Buffer.from([200, ...headers]))],
        [frame(frameTypes.settings, 0, 0, Buffer.alloc(5))],
        [frame(frameTypes.settings, 0, 1, Buffer.alloc(6))],
        [frame(frameTypes.settings, 0, 0, Buffer.from([0, 4, 0xff, 0xff, 0xff, 0xff]))],
        [frame(frameTypes.settings, 0, 0, Buffer.from([0, 5, 0, 0, 0, 1]))],
        [frame(frameTypes.ping, 0, 0, Buffer.alloc(7))],
        [frame(frameTypes.windowUpdate, 0, 0, Buffer.alloc(4))],
        [frame(frameTypes.windowUpdate, 0, 0, Buffer.from([0x7f, 0xff, 0xff, 0xff]))],
        [frame(frameTypes.reset, 0, 9, Buffer.alloc(4))],
        [frame(frameTypes.reset, 0, 0, Buffer.alloc(4))],
        [frame(frameTypes.pushPromise, END_HEADERS, 1, Buffer.alloc(8))],
        [frame(frameTypes.continuation, END_HEADERS, 1, headers)],
        [frame(frameTypes.goaway, 0, 0, Buffer.alloc(3))],
        [frame(99, 0xff, 0x7fffffff, Buffer.alloc(50))],
        [frame(frameTypes.data, 0, 1, Buffer.alloc(4), 0xffffff)],
      ];
      for (const sequence of sequences) {
        await using connection = await RawConnection.open(address);
        await connection.send(opening(), ...sequence);
        connection.socket.end();
        await connection.closed;
      }
    },
  ],
  [
    "headers that go on in CONTINUATION without end",
    async (address) => {
      await using connection = await RawConnection.open(address);
      await connection.send(opening(), frame(frameTypes.headers, 0, 1, callHeaders(address, health)));
      const more = frame(frameTypes.continuation, 0, 1, headerBlock({ "x-more": "x".repeat(8_000) }));
      for (let i = 0; i < 3_000 * times && !connection.socket.destroyed; i++) await connection.send(more);
    },
  ],
  [
    "a flood of empty CONTINUATION",
    async (address) => {
      await using connection = await RawConnection.open(address);
      await connection.send(opening(), frame(frameTypes.headers, 0, 1, callHeaders(address, health)));
      const flood = Buffer.concat(
        Array.from({ length: 1_000 }, () => frame(frameTypes.continuation, 0, 1, Buffer.alloc(0))),
      );
      for (let i = 0; i < 30 * times && !connection.socket.destroyed; i++) await connection.send(flood);
    },
  ],
  [
    "headers larger than any server takes",
    async (address) => {
      for (const bytes of [10_000, 70_000, 1_000_000]) {
        await using connection = await RawConnection.open(address);
        const block = callHeaders(address, health, { "x-large": "x".repeat(bytes) });
        const pieces = Array.from({ length: Math.ceil(block.length / 16_000) }, (_, i) =>
          frame(
            i === 0 ? frameTypes.headers : frameTypes.continuation,
            (i + 1) * 16_000 >= block.length ? END_HEADERS : 0,
            1,
            block.subarray(i * 16_000, (i + 1) * 16_000),
          ),
        );
        await connection.send(opening(), ...pieces);
        await answered(connection);
      }
      await using plain = await RawConnection.open(address);
      await plain.send(Buffer.from(`GET /healthz HTTP/1.1\r\nhost: x\r\nx-large: ${"x".repeat(100_000)}\r\n\r\n`));
      await plain.closed;
    },
  ],
  [
    "small headers that unpack to large ones",
    async (address) => {
      await using connection = await RawConnection.open(address);
      // One entry of the dynamic table of 4,000 bytes, then a reference to it (0xbe) as often as fits.
      const name = Buffer.from("x-bomb");
      const entry = Buffer.concat([
        Buffer.from([0x40, name.length]),
        name,
        Buffer.from([0x7f, 0xa1, 0x1e]),
        Buffer.alloc(4_000, 0x78),
      ]);
      await connection.send(opening());
      for (let i = 0; i < 20 * times; i++) {
        const block = Buffer.concat([callHeaders(address, health), entry, Buffer.alloc(11_000, 0xbe)]);
        await connection.send(frame(frameTypes.headers, END_HEADERS | END_STREAM, 2 * i + 1, block));
      }
      await answered(connection);
    },
  ],
  [
    "calls that are reset as soon as they are made",
    async (address) => {
      for (const path of [health, query, watchHealth, write]) {
        await using connection = await RawConnection.open(address);
        await connection.send(opening());
        const body = envelope(0, path === query ? largeQuery : new Uint8Array());
        for (let i = 0; i < 1_500 * times && !connection.socket.destroyed; i++) {
          const stream = 2 * i + 1;
          await connection.send(
            frame(frameTypes.headers, END_HEADERS, stream, callHeaders(address, path)),
            frame(frameTypes.data, END_STREAM, stream, body),
            frame(frameTypes.reset, 0, stream, Buffer.from([0, 0, 0, 8])),
          );
        }
      }
    },
  ],
  [
    "floods of PING, SETTINGS, PRIORITY and WINDOW_UPDATE",
    async (address) => {
      const kinds = [
        frame(frameTypes.ping, 0, 0, Buffer.alloc(8)),
        frame(frameTypes.settings, 0, 0, Buffer.alloc(0)),
        frame(frameTypes.settings, 0, 0, Buffer.from([0, 1, 0, 0, 0, 0, 0, 4, 0, 0, 0xff, 0xff])),
        frame(frameTypes.priority, 0, 1, Buffer.from([0, 0, 0, 3, 16])),
        frame(frameTypes.windowUpdate, 0, 0, Buffer.from([0, 0, 0, 1])),
      ];
      for (const kind of kinds)
        for (const reads of [true, false]) {
          await using connection = await RawConnection.open(address, { reads });
          await connection.send(opening());
          const flood = Buffer.concat(Array.from({ length: 1_000 }, () => kind));
          for (let i = 0; i < 20 * times && !connection.socket.destroyed; i++)
            await Promise.race([connection.send(flood), pause(200)]); // the server may stop reading, which is right
        }
    },
  ],
  [
    "readers of large results who open no window, and go",
    async (address) => {
      const connections = await Promise.all(
        Array.from({ length: 8 }, () => RawConnection.open(address, { reads: false })),
      );
      for (const [i, connection] of connections.entries())
        await connection.send(
          opening(i % 2 === 0 ? 0 : 65_535),
          frame(frameTypes.headers, END_HEADERS, 1, callHeaders(address, query)),
          frame(frameTypes.data, END_STREAM, 1, envelope(0, largeQuery)),
        );
      await pause(500);
      for (const connection of connections) await connection[Symbol.asyncDispose]();
    },
  ],
  [
    "requests that come a byte at a time, and stay away",
    async (address) => {
      const connections = await Promise.all(Array.from({ length: 60 }, () => RawConnection.open(address)));
      const half = envelope(0, Buffer.alloc(500_000)).subarray(0, 250_000);
      const starts = [
        Buffer.from(
          `POST ${write} HTTP/1.1\r\nhost: x\r\ncontent-type: application/proto\r\ncontent-length: 4000000\r\n\r\n`,
        ),
        Buffer.from("GET /healthz HTTP/1.1\r\nhost: x\r\nx-slow: "),
        Buffer.concat([opening(), frame(frameTypes.headers, END_HEADERS, 1, callHeaders(address, write))]),
        Buffer.concat([
          opening(),
          frame(frameTypes.headers, END_HEADERS, 1, callHeaders(address, write)),
          ...Array.from({ length: 4 }, (_, i) =>
            frame(frameTypes.data, 0, 1, half.subarray(i * 16_000, (i + 1) * 16_000)),
          ),
        ]),
        Buffer.concat([opening(), frame(frameTypes.headers, 0, 1, callHeaders(address, write))]),
      ];
      for (const [i, connection] of connections.entries()) await connection.send(starts[i % starts.length] ?? preface);
      for (let i = 0; i < 20; i++) {
        await Promise.all(connections.slice(0, 10).map((connection) => connection.send(Buffer.from("x"))));
        await pause(20);
      }
      for (const connection of connections) await connection[Symbol.asyncDispose]();
    },
  ],
  [
    "calls that are abandoned half-way, by closing and by reset",
    async (address, chance) => {
      for (let i = 0; i < 60 * times; i++) {
        await using connection = await RawConnection.open(address);
        const path = chance.of([query, write, describeTable, watchHealth]);
        const message = path === query ? largeQuery : path === write ? oneWrite : new Uint8Array();
        const whole = Buffer.concat([
          opening(),
          frame(frameTypes.headers, END_HEADERS, 1, callHeaders(address, path)),
          frame(frameTypes.data, END_STREAM, 1, envelope(0, message)),
        ]);
        await connection.send(whole.subarray(0, chance.once(2) ? whole.length : chance.below(whole.length)));
        await pause(chance.of([0, 1, 10]));
        connection.socket[chance.of(["destroy", "resetAndDestroy"] as const)]();
      }
    },
  ],
  [
    "a thousand calls at once on one connection",
    async (address) => {
      await using connection = await RawConnection.open(address);
      const calls = Array.from({ length: 1_000 }, (_, i) => [
        frame(frameTypes.headers, END_HEADERS, 2 * i + 1, callHeaders(address, i % 2 === 0 ? listTables : watchHealth)),
        frame(frameTypes.data, END_STREAM, 2 * i + 1, envelope(0, new Uint8Array())),
      ]);
      await connection.send(opening(), ...calls.flat());
      await answered(connection);
      await pause(200);
    },
  ],
  [
    "a thousand idle connections, silent or after one call",
    async (address) => {
      const open: RawConnection[] = [];
      for (let i = 0; i < 1_000; i++) {
        const connection = await RawConnection.open(address);
        open.push(connection);
        if (i % 3 === 1) await connection.send(opening());
        if (i % 3 === 2) await connection.send(Buffer.from("GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"));
      }
      await using healthy = new HealthyCaller(fuzz.callers[address === fuzz.sites.main.grpc ? "main" : "secondary"]);
      await eventually(() => healthy.report.writeIds.length > 3, Boolean, { what: "that others are served" });
      for (const connection of open) await connection[Symbol.asyncDispose]();
    },
  ],
  [
    "HTTP/1.1 that is none",
    async (address) => {
      const requests = [
        "GET / HTTP/9.9\r\n\r\n",
        "GET /healthz\r\n\r\n",
        "\r\n\r\n\r\n",
        "PRI * HTTP/1.1\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nhost: x\r\n\r\n",
        "CONNECT x:1 HTTP/1.1\r\nhost: x\r\n\r\n",
        `POST ${write} HTTP/1.1\r\nhost: [\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}`,
        `POST ${write} HTTP/1.1\r\nhost: a b\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}`,
        `POST ${write} HTTP/1.1\r\nhost: \r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}`,
        `POST ${write} HTTP/1.0\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}`,
        `POST http://[${write} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}`,
        `POST ${write} HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n{}`,
        `POST ${write} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\ncontent-length: 6\r\n\r\n{}`,
        `POST ${write} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n`,
        `POST ${write} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffff\r\n`,
        `POST ${write} HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n{}`,
        `POST ${write} HTTP/1.1\r\nhost: x\r\nexpect: nothing\r\ncontent-length: 2\r\n\r\n{}`,
        "GET /healthz HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nhost: x\r\nupgrade: h2c\r\nconnection: upgrade, http2-settings\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n\r\n",
        `GET /healthz HTTP/1.1\r\nhost: x\r\n\0bad: x\r\n\r\n`,
        `GET ${"/x".repeat(20_000)} HTTP/1.1\r\nhost: x\r\n\r\n`,
        "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n".repeat(2_000),
      ];
      for (const request of requests) {
        await using connection = await RawConnection.open(address);
        await connection.send(Buffer.from(request, "latin1"));
        connection.socket.end();
        await Promise.race([connection.closed, pause(1_000)]);
      }
    },
  ],
];

const largeQuery = toBinary(QueryRequestSchema, create(QueryRequestSchema, { table: "weather_samples" }));
const oneWrite = toBinary(
  WriteRequestSchema,
  create(WriteRequestSchema, { mutations: [{ table: "weather_samples" }] }),
);

function randomFrame(chance: Chance, address: string): Buffer {
  const type = chance.below(11);
  const payload =
    type === frameTypes.headers && !chance.once(4)
      ? callHeaders(address, chance.of([health, query, write, describeTable]))
      : Buffer.from(Array.from({ length: chance.of([0, 4, 5, 6, 8, chance.below(200)]) }, () => chance.below(256)));
  const length = chance.once(20) ? chance.below(2 ** 24) : payload.length;
  return frame(
    type,
    chance.of([0, 1, 4, 5, 8, 0x20, chance.below(256)]),
    chance.of([0, 1, 1, 3, 3, 2, chance.below(2 ** 31)]),
    payload,
    length,
  );
}

/** The server has said something, or ended the connection. */
async function answered(connection: RawConnection): Promise<void> {
  await eventually(() => connection.received > 0 || connection.socket.destroyed, Boolean, { what: "an answer" });
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

describe.each(roles)("at the %s site", (role) => {
  let before: Holdings;

  beforeAll(async () => {
    await using healthy = new HealthyCaller(fuzz.callers[role]);
    await eventually(() => healthy.report.writeIds.length > 10);
    before = await fuzz.holdings(role);
  });

  afterEach(async () => {
    fuzz.requireAlive();
    expect(fuzz.errors(role)).toEqual([]);
    expect(
      await eventually(
        () => fuzz.busyConnections(),
        ({ length }) => length === 0,
        { what: "that nobody works for those who left" },
      ),
    ).toEqual([]);
  });

  test.each(abuses)("%s leave everybody else served", { timeout: 60_000 * times }, async (_what, abuse) => {
    const healthy = new HealthyCaller(fuzz.callers[role]);
    try {
      await abuse(fuzz.sites[role].grpc, new Chance(Number(TEST_SEED)));
      await healthy.once();
    } finally {
      await healthy[Symbol.asyncDispose]();
    }
    expect(healthy.report.failures).toEqual([]);
  });

  test("then the server holds what it held before", async () => {
    const after = await eventually(
      () => fuzz.holdings(role),
      ({ heap, buffers, sockets }) =>
        heap < before.heap + MORE_HEAP &&
        buffers < before.buffers + MORE_BUFFERS &&
        sockets <= before.sockets + MORE_SOCKETS,
      { timeoutMs: 20_000, everyMs: 500, what: `that as little is held as before, ${JSON.stringify(before)}` },
    );
    if (TEST_NIGHTLY) console.info(role, { before, after });
  });
});
