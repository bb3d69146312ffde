import type pg from "pg";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createPool } from "../../src/postgres/connection.ts";
import { textsOf } from "../../src/postgres/row-bytes.ts";
import { queryRows } from "../../src/postgres/use-client.ts";
import type {
  AggregateFunction,
  ComparisonOperator,
  Condition,
  RelatedQuery,
  TableQuery,
} from "../../src/query/table-query.ts";
import { relatedTexts } from "../../src/rpc/row-encoder.ts";
import type { Site, WriteAck } from "../../src/site/site.ts";
import type { Value } from "../../src/value.ts";
import { addressOf } from "../support/drain.ts";
import { Link } from "../support/link.ts";
import { home, mutation, openSite, type RunningSite, read, request, write } from "../support/sites.ts";
import { createDatabase, type TestDatabase } from "../support/test-database.ts";
import { wholeTable } from "../support/whole-table.ts";

const schema = `
  create type kind as enum ('bias', 'flat', 'science');
  create table program (id int primary key, title text not null, parent int references program);
  create table thing (
    id int primary key, small int2, big int8, num numeric, dbl float8, yes bool, name text, code varchar(8), fixed char(6),
    at timestamptz, day date, long interval, uid uuid, raw bytea, tags text[], numbers int[], doc jsonb, old json,
    what kind, span tstzrange, slots int4multirange, net inet, words tsvector, spot point, area circle, bits bit(4),
    program int references program, backup int constraint second references program,
    doubled numeric generated always as (num * 2) stored);
  create index on thing (at desc, id);
  create table file (thing int references thing, n int, path text, size int8, primary key (thing, n));
  insert into program values (1, 'survey'), (2, 'follow-up'), (3, 'none');
  insert into thing select i, i % 5, i * 1000000000::int8, i / 4.0, i / 3.0, i % 2 = 0, 'Name ' || i, 'c' || i % 7,
    'f' || i % 3, '2026-01-01 00:00:00+00'::timestamptz + i * interval '1 hour', date '2026-01-01' + i % 6,
    i * interval '1 hour', ('00000000-0000-0000-0000-0000000000' || lpad(i::text, 2, '0'))::uuid, decode(lpad(i::text, 2, '0'), 'hex'),
    array['a', 't' || i % 3, null], array[i % 3, i], jsonb_build_object('i', i, 'deep', jsonb_build_array(1, jsonb_build_object('k', 'v' || i % 3))),
    '{"x": 1}', (enum_range(null::kind))[1 + i % 3], tstzrange('2026-01-01'::timestamptz + i * interval '1 day', '2026-01-03'::timestamptz + i * interval '1 day'),
    int4multirange(int4range(i, i + 2)), ('10.0.' || i % 3 || '.' || i)::inet, to_tsvector('simple', 'star ' || i), point(i, i), circle(point(i, 0), 2),
    (i % 16)::bit(4), 1 + i % 2, 3
    from generate_series(1, 30) i;
  insert into thing (id) values (31), (32);
  insert into file select i, n, 'file ' || i || '-' || n, n * 10 from generate_series(1, 10) i, generate_series(1, i % 4) n;`;

let database: TestDatabase;
let link: Link;
let running: RunningSite;
let site: Site;
let last: WriteAck;
let main: pg.Pool;

type Set = Record<string, string | null>;
const insert = (table: string, set: Set) => mutation("insert", table, { set });
const update = (id: number, set: Set) => mutation("update", "thing", { key: { id: `${id}` }, set });

/** Of every kind: rows that move into and out of conditions, rows that go, come, and come back. */
const pending = [
  insert("program", { id: "4", title: "pending" }),
  update(1, { small: "4", name: "renamed", at: "2026-02-01 00:00:00+00", num: "1000.25", program: "4" }),
  update(2, { small: null, tags: "{zz,t1}", doc: '{"i": 2, "flag": true}', what: "flat", span: "empty" }),
  update(3, { at: null, num: "NaN", dbl: "Infinity", name: null, day: "infinity" }),
  mutation("delete", "thing", { key: { id: "32" } }),
  mutation("delete", "file", { key: { thing: "5", n: "1" } }),
  insert("thing", { id: "40", small: "3", big: "-5", num: "7.50", name: "Ünïcode_50%", at: "2026-01-01 05:00:00+00" }),
  insert("thing", {
    id: "41",
    tags: "{a}",
    doc: '[1, "i"]',
    old: '{"x": 2}',
    net: "10.0.1.0/24",
    words: "'star':1 '7':2",
    spot: "(1,2)",
    area: "<(0,0),50>",
    slots: "{[100,200)}",
    span: "[2026-01-05,)",
    uid: "00000000-0000-0000-0000-000000000015",
    fixed: "f1",
    program: "4",
  }),
  insert("file", { thing: "40", n: "1", path: 'pending "quoted", {x}', size: "7" }),
  insert("file", { thing: "1", n: "9", path: null, size: null }),
];

beforeAll(async () => {
  database = await createDatabase();
  await database.onPrimary(schema);
  await database.caughtUp();
  main = createPool(addressOf(database.primaryUrl), { applicationName: "test" }, 1);
  link = new Link();
  const mainUrl = await link.forwardUrl(database.primaryUrl);
  running = await openSite("secondary", {
    site: database.site,
    mainUrl,
    localUrl: database.standbyUrl,
    redisUrl: database.redisUrl,
  });
  site = running.site;
  link.cut();
  for (const one of pending) last = await write(site, request(one));
  for (const [, query] of queries) answers.push((await read(site, query)).rows);
  link.heal();
  await home(site, last);
});

afterAll(async () => {
  await main.end();
  await running[Symbol.asyncDispose]();
  await link[Symbol.asyncDispose]();
  await database[Symbol.asyncDispose]();
});

const text = (value: string): Value => ({ kind: "string", value });
const texts = (...all: string[]): Value => ({ kind: "array", values: all.map(text) });
const is = (column: string, operator: ComparisonOperator, value: Value, path?: string[]): Condition => ({
  kind: "comparison",
  column,
  operator,
  value,
  ...(path && { path }),
  field: "where",
});
const ids = (where: Condition): Partial<TableQuery> & { table: string } => ({
  table: "thing",
  columns: ["id"],
  where,
  orderBy: [{ column: "id", descending: false }],
});

/** Conditions, each with what it means in SQL. */
const conditions: [string, Condition][] = [
  ["small = 4", is("small", "=", { kind: "int64", value: 4n })],
  ["small <> 4", is("small", "<>", { kind: "int64", value: 4n })],
  ["not (small >= 3)", { kind: "not", condition: is("small", ">=", { kind: "int64", value: 3n }) }],
  ["small is not distinct from null", is("small", "IS NOT DISTINCT FROM", { kind: "null" })],
  ["small = null", is("small", "=", { kind: "null" })],
  ["big < 3000000000", is("big", "<", { kind: "int64", value: 3_000_000_000n })],
  ["num between 2 and 7.5", { kind: "between", column: "num", low: text("2"), high: text("7.5"), field: "where" }],
  ["num > 1000", is("num", ">", { kind: "numeric", value: "1000" })],
  ["doubled <= 5", is("doubled", "<=", { kind: "numeric", value: "5" })],
  ["dbl >= 9.9", is("dbl", ">=", { kind: "double", value: 9.9 })],
  ["yes = true", is("yes", "=", { kind: "bool", value: true })],
  ["name like 'Name 1%'", is("name", "LIKE", text("Name 1%"))],
  ["name ilike '%ÏCODE\\_50\\%'", is("name", "ILIKE", text("%ÏCODE\\_50\\%"))],
  ["name ~ '^[A-Z].* 2[0-9]?$'", is("name", "~", text("^[A-Z].* 2[0-9]?$"))],
  ["name ~* '^RENAMED'", is("name", "~*", text("^RENAMED"))],
  ["name > 'Name 3'", is("name", ">", text("Name 3"))],
  [
    "code in ('c1', 'c6', null)",
    { kind: "in", column: "code", values: [text("c1"), text("c6"), { kind: "null" }], field: "where" },
  ],
  [
    "not code in ('c1', 'c6')",
    { kind: "not", condition: { kind: "in", column: "code", values: [text("c1"), text("c6")], field: "where" } },
  ],
  [
    "not code in ('c1', null)",
    { kind: "not", condition: { kind: "in", column: "code", values: [text("c1"), { kind: "null" }], field: "where" } },
  ],
  ["fixed = 'f1'", is("fixed", "=", text("f1"))],
  [
    "at >= '2026-01-02Z' and at < '2026-02-01 00:00:00.000001Z'",
    {
      kind: "and",
      conditions: [is("at", ">=", text("2026-01-02 00:00:00Z")), is("at", "<", text("2026-02-01 00:00:00.000001Z"))],
    },
  ],
  [
    "at is null or day = 'infinity'",
    { kind: "or", conditions: [{ kind: "is_null", column: "at", field: "where" }, is("day", "=", text("infinity"))] },
  ],
  ["long > '25 hours'", is("long", ">", text("1 day 1 hour"))],
  [
    "uid = '00000000-0000-0000-0000-000000000015'",
    is("uid", "=", { kind: "uuid", value: "00000000-0000-0000-0000-000000000015" }),
  ],
  ["uid < '00000000-0000-0000-0000-000000000003'", is("uid", "<", text("00000000-0000-0000-0000-000000000003"))],
  ["raw = '\\x15'", is("raw", "=", { kind: "bytes", value: Buffer.from("15", "hex") })],
  ["tags @> '{t1}'", is("tags", "@>", texts("t1"))],
  ["tags <@ '{a,zz,t1}'", is("tags", "<@", texts("a", "zz", "t1"))],
  ["tags && '{t2,zz}'", is("tags", "&&", texts("t2", "zz"))],
  [
    "numbers @> '{2,29}'",
    is("numbers", "@>", {
      kind: "array",
      values: [
        { kind: "int64", value: 2n },
        { kind: "int64", value: 29n },
      ],
    }),
  ],
  ["numbers > '{2}'", is("numbers", ">", text("{2}"))],
  ["doc @> '{\"i\": 7}'", is("doc", "@>", { kind: "json", value: '{"i": 7}' })],
  [
    'doc <@ \'{"i": 2, "flag": true, "more": 1}\'',
    is("doc", "<@", { kind: "json", value: '{"i": 2, "flag": true, "more": 1}' }),
  ],
  ["doc ? 'i'", is("doc", "?", text("i"))],
  ["doc ?| '{flag,none}'", is("doc", "?|", texts("flag", "none"))],
  ["doc ?& '{i,deep}'", is("doc", "?&", texts("i", "deep"))],
  ["doc @? '$.deep[*] ? (@.k == \"v1\")'", is("doc", "@?", text('$.deep[*] ? (@.k == "v1")'))],
  ["doc @@ '$.i > 20'", is("doc", "@@", text("$.i > 20"))],
  ["doc #>> '{deep,1,k}' = 'v2'", is("doc", "=", text("v2"), ["deep", "1", "k"])],
  ["doc #>> '{deep,1,k}' like 'v%'", is("doc", "LIKE", text("v%"), ["deep", "1", "k"])],
  ["doc #> '{i}' >= '12'", is("doc", ">=", { kind: "int64", value: 12n }, ["i"])],
  ["doc #> '{flag}' = 'true'", is("doc", "=", { kind: "bool", value: true }, ["flag"])],
  ["old::jsonb #> '{x}' = '2'", is("old", "=", { kind: "json", value: "2" }, ["x"])],
  ["what >= 'flat'", is("what", ">=", text("flat"))],
  [
    "span @> '2026-01-07 12:00Z'::timestamptz",
    is("span", "@>", { kind: "timestamp", seconds: 1_767_787_200n, nanos: 0 }),
  ],
  ["span @> '[2026-01-07Z,2026-01-08Z)'::tstzrange", is("span", "@>", text("[2026-01-07 00:00Z,2026-01-08 00:00Z)"))],
  ["span <@ '[2026-01-01Z,2026-01-08Z)'::tstzrange", is("span", "<@", text("[2026-01-01Z,2026-01-08Z)"))],
  ["span && '[2026-01-20Z,2026-01-21Z)'::tstzrange", is("span", "&&", text("[2026-01-20Z,2026-01-21Z)"))],
  ["span << '[2026-01-20Z,2026-01-21Z)'::tstzrange", is("span", "<<", text("[2026-01-20Z,2026-01-21Z)"))],
  ["span >> '[2026-01-20Z,2026-01-21Z)'::tstzrange", is("span", ">>", text("[2026-01-20Z,2026-01-21Z)"))],
  ["span -|- '[2026-01-20Z,2026-01-21Z)'::tstzrange", is("span", "-|-", text("[2026-01-20Z,2026-01-21Z)"))],
  ["slots @> 7", is("slots", "@>", { kind: "int64", value: 7n })],
  ["slots && '{[150,151)}'::int4multirange", is("slots", "&&", text("{[150,151)}"))],
  ["net <<= '10.0.1.0/24'", is("net", "<@", text("10.0.1.0/24"))],
  ["net << '10.0.1.0/24'", is("net", "<<", text("10.0.1.0/24"))],
  ["net >>= '10.0.1.4'", is("net", "@>", text("10.0.1.4"))],
  ["words @@ 'star & 7'", is("words", "@@", text("star & 7"))],
  ["spot <@ box '(0,0),(5,5)'", is("spot", "<@", text("(0,0),(5,5)"))],
  ["spot <@ circle '<(0,0),3>'", is("spot", "<@", text("<(0,0),3>"))],
  ["spot ~= point '(1,2)'", is("spot", "=", text("(1,2)"))],
  ["area && circle '<(0,0),1>'", is("area", "&&", text("<(0,0),1>"))],
  ["bits = '0011'", is("bits", "=", text("0011"))],
];

const by = (column: string, more: Partial<TableQuery["orderBy"][number]> = {}) => ({
  column,
  descending: false,
  ...more,
});
const thing = (query: Partial<TableQuery>): Partial<TableQuery> & { table: string } => ({
  table: "thing",
  columns: ["id"],
  ...query,
});

/** Orders, limits and groups, each with the SQL that says the same. */
const shaped: [string, Partial<TableQuery> & { table: string }][] = [
  [
    "select id from thing order by at desc, id limit 5",
    thing({ orderBy: [by("at", { descending: true })], limit: 5n }),
  ],
  ["select id from thing order by at, id limit 7", thing({ orderBy: [by("at")], limit: 7n })],
  [
    "select id from thing order by at nulls first, id desc limit 4",
    thing({ orderBy: [by("at", { nullsFirst: true }), by("id", { descending: true })], limit: 4n }),
  ],
  [
    "select id from thing order by at desc nulls last, id limit 3",
    thing({ orderBy: [by("at", { descending: true, nullsFirst: false })], limit: 3n }),
  ],
  [
    "select id from thing order by dbl desc, num desc, id limit 6",
    thing({ orderBy: [by("dbl", { descending: true }), by("num", { descending: true })], limit: 6n }),
  ],
  [
    "select id from thing where small = 4 order by name, id limit 3",
    thing({ where: is("small", "=", text("4")), orderBy: [by("name")], limit: 3n }),
  ],
  [
    "select id from thing where name like '%e%' order by at, id limit 3",
    thing({ where: is("name", "LIKE", text("%e%")), orderBy: [by("at")], limit: 3n }),
  ],
  [
    "select id from thing where id < 3 order by id limit 1",
    thing({ where: is("id", "<", text("3")), orderBy: [by("id")], limit: 1n }),
  ],
  ["select id, id from thing order by id limit 0", thing({ columns: ["id", "id"], orderBy: [by("id")], limit: 0n })],
  [
    "select what, count(*), count(num), count(distinct small), sum(small), sum(big), sum(num), avg(dbl), avg(small), min(at), max(name) from thing group by what order by what desc",
    thing({
      columns: [],
      groupBy: ["what"],
      orderBy: [by("what", { descending: true })],
      aggregates: [
        { function: "count", column: undefined, name: "count" },
        { function: "count", column: "num", name: "numbers" },
        { function: "count_distinct", column: "small", name: "different" },
        { function: "sum", column: "small", name: "a" },
        { function: "sum", column: "big", name: "b" },
        { function: "sum", column: "num", name: "c" },
        { function: "avg", column: "dbl", name: "d" },
        { function: "avg", column: "small", name: "e" },
        { function: "min", column: "at", name: "f" },
        { function: "max", column: "name", name: "g" },
      ],
    }),
  ],
  [
    "select count(*), max(id) from thing where small = 3",
    thing({
      columns: [],
      where: is("small", "=", text("3")),
      aggregates: [
        { function: "count", column: undefined, name: "count" },
        { function: "max", column: "id", name: "last" },
      ],
    }),
  ],
  [
    "select small, count(*) from thing group by small order by count(*) desc, small limit 3",
    thing({
      columns: [],
      groupBy: ["small"],
      orderBy: [by("count", { descending: true })],
      limit: 3n,
      aggregates: [{ function: "count", column: undefined, name: "count" }],
    }),
  ],
  [
    "select distinct what, yes from thing order by yes, what",
    thing({ columns: [], groupBy: ["what", "yes"], orderBy: [by("yes")] }),
  ],
];

const queries: [string, Partial<TableQuery> & { table: string }][] = [
  ...conditions.map(([sql, where]): [string, Partial<TableQuery> & { table: string }] => [
    `select id from thing where ${sql} order by id`,
    ids(where),
  ]),
  ...shaped,
];
const answers: unknown[][] = [];

describe("G6: a merged answer is what main says once the pending writes have arrived, and so is the local one then", () => {
  test.each(queries.map(([sql, query], i) => ({ sql, query, i })))("$sql", async ({ sql, query, i }) => {
    const expected = await queryRows(main, AbortSignal.timeout(10_000), { text: sql });
    expect(answers[i]).toEqual(expected);
    expect((await read(site, { ...query, consistency: "local" })).rows).toEqual(expected);
  });
});

describe("a result that was interrupted goes on after its last row", () => {
  const orders: Partial<TableQuery>["orderBy"][] = [
    [by("id")],
    [by("id", { descending: true })],
    [by("at")],
    [by("at", { descending: true })],
    [by("at", { nullsFirst: true })],
    [by("small", { descending: true, nullsFirst: false }), by("name")],
    [by("yes"), by("num", { descending: true })],
    [by("dbl"), by("uid", { descending: true })],
  ];

  test.each(orders.map((orderBy, i) => ({ orderBy, i })))("order $i, after every row", async ({ orderBy }) => {
    link.cut();
    await write(site, request(insert("thing", { id: "50", small: "2", at: "2026-01-01 03:30:00Z", yes: "false" })));
    await write(site, request(update(7, { at: null, small: "2", name: "seven" })));
    const query = wholeTable({ table: "thing", columns: ["name"], ...(orderBy && { orderBy }), identity: "q" });
    const whole = await interrupted(query, Infinity);
    expect(whole.rows.length).toBeGreaterThan(30);
    const limited = await interrupted({ ...query, limit: 20n }, Infinity);
    for (let after = 1; after < whole.rows.length; after += 1) {
      const { rows, point } = await interrupted({ ...query, batchSize: 1 }, after);
      const rest = await interrupted({ ...query, resumeAfter: point, batchSize: 7 }, Infinity);
      expect([...rows, ...rest.rows]).toEqual(whole.rows);
      const few = await interrupted({ ...query, resumeAfter: point, limit: 20n }, Infinity);
      expect([...rows, ...few.rows].slice(0, 20)).toEqual(limited.rows);
      expect(few.rows).toHaveLength(Math.max(0, 20 - after));
    }
    link.heal();
    await home(site, await write(site, request(mutation("delete", "thing", { key: { id: "50" } }))));
  });

  test("a point of another query, or none at all, is refused with the field", async () => {
    const query = wholeTable({ table: "thing", columns: ["name"], orderBy: [by("name")], identity: "q", batchSize: 1 });
    const { point } = await interrupted(query, 3);
    for (const bad of [
      { ...query, resumeAfter: point, identity: "other" },
      { ...query, resumeAfter: point, orderBy: [by("id")] },
      { ...query, resumeAfter: point.slice(1) },
      { ...query, resumeAfter: Buffer.from('[1,"q",-1,["a",null]]') },
      { ...query, resumeAfter: Buffer.from('[1,"q",1,["\\u0000","1"]]') },
    ])
      await expect(interrupted(bad, 1)).rejects.toMatchObject({ reason: "INVALID_FIELD", field: "resume_after" });
  });

  /** Reads so many rows and goes away. */
  async function interrupted(query: TableQuery, count: number): Promise<{ rows: string[]; point: Uint8Array }> {
    const rows: string[] = [];
    let point = new Uint8Array();
    for await (const part of site.query(query, { timeoutMs: 10_000, signal: new AbortController().signal })) {
      if (part.kind !== "batch") continue;
      rows.push(...part.rows.map((row) => JSON.stringify(textsOf(row))));
      point = Uint8Array.from(part.resumePoint ?? []);
      if (rows.length >= count) break;
    }
    return { rows, point };
  }
});

describe("related rows come with each row, merged as well", () => {
  const related = (table: string, more: Partial<RelatedQuery> = {}): RelatedQuery => ({
    table,
    foreignKey: undefined,
    columns: [],
    where: undefined,
    orderBy: [],
    limit: undefined,
    field: "related[0]",
    ...more,
  });
  const ask = async (query: Partial<TableQuery> & { table: string }) => {
    const { header, rows } = await readWithRelated(query);
    const at = header.columns.length;
    return rows.map((row) => [...row.slice(0, at), ...header.related.map((_, i) => relatedTexts(row[at + i] ?? null))]);
  };
  const readWithRelated = async (query: Partial<TableQuery> & { table: string }) => {
    const parts = await Array.fromAsync(
      site.query(wholeTable(query), { timeoutMs: 10_000, signal: new AbortController().signal }),
    );
    const rows = parts.flatMap((part) => (part.kind === "batch" ? part.rows.map(textsOf) : []));
    const [first] = parts;
    if (first?.kind !== "header") throw new Error("no header");
    return { header: first.header, rows };
  };
  const queries = [
    thing({ columns: ["id"], where: is("id", "<", text("6")), orderBy: [by("at")], related: [related("file")] }),
    thing({
      columns: ["id"],
      orderBy: [by("id", { descending: true })],
      limit: 4n,
      related: [
        related("program", { foreignKey: "thing_program_fkey", columns: ["title"] }),
        related("file", { limit: 1n }),
      ],
    }),
    {
      table: "program",
      columns: ["title"],
      orderBy: [by("id")],
      related: [
        related("thing", {
          foreignKey: "thing_program_fkey",
          columns: ["name", "yes", "fixed", "raw"],
          where: is("id", "<", text("4")),
          orderBy: [by("name", { descending: true })],
        }),
        related("program"),
      ],
    },
    {
      table: "file",
      where: is("path", "LIKE", text('%"%')),
      orderBy: [by("n")],
      related: [related("thing", { columns: ["id", "doubled"] })],
    },
  ];

  test("as main says once the writes have arrived, and in the types of their columns", async () => {
    link.cut();
    await write(site, request(insert("file", { thing: "2", n: "7", path: 'a "quoted" {NULL}, \\', size: null })));
    await write(site, request(mutation("update", "file", { key: { thing: "3", n: "1" }, set: { path: null } })));
    await write(site, request(insert("program", { id: "9", title: "child", parent: "1" })));
    await write(site, request(update(3, { program: "9", num: "1.5", raw: "\\x00ff", yes: "true", fixed: "ab" })));
    const merged = [];
    for (const query of queries) merged.push(await ask(query));
    link.heal();
    await home(site, await write(site, request(insert("program", { id: "10", title: "last" }))));
    for (const [i, query] of queries.entries()) {
      const rows = (await ask({ ...query, consistency: "main" })).filter((row) => row[0] !== "last");
      expect(merged[i]).toEqual(rows);
      expect(rows.length).toBeGreaterThan(0);
    }
    expect(merged[0]).toContainEqual([
      "2",
      [
        ["2", "1", "file 2-1", "10"],
        ["2", "2", "file 2-2", "20"],
        ["2", "7", 'a "quoted" {NULL}, \\', null],
      ],
    ]);
    expect(merged[2]?.[3]).toEqual(["pending", [["renamed", "f", "f1    ", "\\x01"]], []]);
    expect(merged[2]?.at(-1)).toEqual(["child", [[null, "t", "ab    ", "\\x00ff"]], []]);
  });

  test("a table to which no foreign key leads, or several, is refused with the field", async () => {
    const wrong = (table: string, related: RelatedQuery) => ask({ table, related: [related] });
    await expect(wrong("thing", related("program"))).rejects.toMatchObject({
      reason: "INVALID_FIELD",
      field: "related[0].foreign_key",
      message: expect.stringContaining("second, thing_program_fkey") as string,
    });
    await expect(wrong("file", related("program"))).rejects.toMatchObject({ field: "related[0].table" });
    await expect(wrong("thing", related("file", { foreignKey: "none" }))).rejects.toMatchObject({
      field: "related[0].foreign_key",
    });
    await expect(wrong("thing", related("nothing"))).rejects.toMatchObject({
      reason: "TABLE_NOT_FOUND",
      field: "related[0].table",
    });
    await expect(wrong("thing", related("file", { columns: ["x"] }))).rejects.toMatchObject({
      reason: "COLUMN_NOT_FOUND",
      field: "related[0].columns[0]",
    });
  });
});

describe("bad input is refused with the field", () => {
  const aggregate = (name: AggregateFunction, column: string) =>
    thing({ columns: [], aggregates: [{ function: name, column, name: "x" }] });
  test.each<[string, Partial<TableQuery> & { table: string }, object]>([
    [
      "an operator that the type lacks",
      ids(is("small", "@>", text("1"))),
      { reason: "INVALID_OPERATOR", field: "where.operator" },
    ],
    [
      "a pattern for a number",
      ids(is("small", "LIKE", text("1"))),
      { reason: "INVALID_OPERATOR", field: "where.operator" },
    ],
    ["an order of json", ids(is("old", "<", text("1"))), { reason: "INVALID_OPERATOR", field: "where.operator" }],
    [
      "a path into a number",
      ids(is("small", "=", text("1"), ["a"])),
      { reason: "INVALID_OPERATOR", field: "where.path" },
    ],
    ["a value that does not fit", ids(is("small", "=", text("x"))), { reason: "INVALID_VALUE", field: "where.value" }],
    [
      "BETWEEN of points",
      ids({ kind: "between", column: "spot", low: text("(0,0)"), high: text("(1,1)"), field: "where" }),
      { reason: "INVALID_OPERATOR", field: "where" },
    ],
    ["a tsquery that PostgreSQL cannot read", ids(is("words", "@@", text("a &"))), { reason: "INVALID_VALUE" }],
    [
      "more conditions than a statement has parameters",
      ids({ kind: "or", conditions: Array.from({ length: 65_536 }, () => is("small", "=", text("1"))) }),
      { reason: "INVALID_FIELD", field: "where" },
    ],
    ["a regular expression that PostgreSQL cannot read", ids(is("name", "~", text("["))), { reason: "INVALID_VALUE" }],
    [
      "an unknown column in the order",
      thing({ orderBy: [by("x")] }),
      { reason: "COLUMN_NOT_FOUND", field: "order_by[0].column" },
    ],
    ["an order by json", thing({ orderBy: [by("old")] }), { reason: "INVALID_OPERATOR", field: "order_by[0].column" }],
    ["an unknown group", thing({ columns: [], groupBy: ["x"] }), { reason: "COLUMN_NOT_FOUND", field: "group_by[0]" }],
    ["a group of json", thing({ columns: [], groupBy: ["old"] }), { reason: "INVALID_OPERATOR", field: "group_by[0]" }],
    ["the sum of texts", aggregate("sum", "name"), { reason: "INVALID_OPERATOR", field: "aggregates[0].function" }],
    [
      "the greatest of truths",
      aggregate("max", "yes"),
      { reason: "INVALID_OPERATOR", field: "aggregates[0].function" },
    ],
    [
      "columns besides groups",
      thing({ columns: ["id"], groupBy: ["small"] }),
      { reason: "INVALID_FIELD", field: "columns" },
    ],
    [
      "an order by what no group has",
      thing({ columns: [], groupBy: ["small"], orderBy: [by("id")] }),
      { reason: "COLUMN_NOT_FOUND", field: "order_by[0].column" },
    ],
  ])("%s", async (_, query, error) => {
    await expect(read(site, query)).rejects.toMatchObject(error);
  });
});
