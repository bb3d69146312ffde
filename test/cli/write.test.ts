import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "vitest";
import { eventually } from "../support/eventually.ts";
import { Link } from "../support/link.ts";
import { RunningOpsdb, runHere, runOpsdb, type Said } from "../support/opsdb.ts";
import { sql } from "../support/sql.ts";
import { startTwoSite, type TwoSite } from "../support/two-site.ts";

/** Each run of the program is a process of its own. */
const slowly = { timeout: 120_000 };
const uuid = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/;

let sites: TwoSite;

beforeAll(async () => {
  sites = await startTwoSite();
});

afterAll(() => sites[Symbol.asyncDispose]());

test("words become one write whose types come from the catalog, and main has the row", slowly, async () => {
  const said = await write(
    'insert sources id=11 ra_deg=83.8 dec_deg=-5.4 name=M@42 aliases=["Orion@Nebula","b"]',
    "and insert instruments id=15700000-0000-4000-8000-000000000009 telescope_id=7e1e0000-0000-4000-8000-000000000001",
    'name=Cam parameters={"a":[1]} frequency_min_ghz=NULL available=false field_of_view_deg:=0.5',
    "and insert weather_samples station=now sampled_at=now pwv_mm=1e-3",
    "--wait replicated",
  );
  expect(said).toMatchObject({ code: 0, err: "" });
  expect(said.out).toMatch(/^write +[0-9a-f-]{36}\nstate +REPLICATED\nsite +ccat\nposition +\d+-\d+\n/);
  expect(said.out).toMatch(/^insert sources: id=11 name=M 42 .*aliases=\{"Orion Nebula",b\}$/m);
  expect(await onMain("select * from sources where id = 11")).toMatchObject([
    { name: "M 42", ra_deg: 83.8, dec_deg: -5.4, aliases: ["Orion Nebula", "b"] },
  ]);
  expect(await onMain("select * from instruments where name = 'Cam'")).toMatchObject([
    { parameters: { a: [1] }, frequency_min_ghz: null, available: false, kind: "camera" },
  ]);
  // now is a time in a column of times, and a word in one of words.
  const [sample] = await onMain<{ sampled_at: Date }>("select * from weather_samples where station = 'now'");
  expect(Math.abs(Date.now() - Number(sample?.sampled_at))).toBeLessThan(600_000);
});

test("update, upsert and delete address rows by their key, and conditions hold or refuse", slowly, async () => {
  await write("insert sources id=21 name=Ceres ra_deg=1 dec_deg=1");
  expect(await write("update sources id=21 ra_deg=2 if name=Ceres ra_deg=1")).toMatchObject({ code: 0 });
  const refused = await write("update sources id=21 ra_deg=3 if name=Vesta --wait applied");
  expect(refused).toMatchObject({ code: 4, err: expect.stringContaining("see it with: opsdb writes rejected") });
  expect(refused.out).toMatch(/^because .*PRECONDITION_FAILED/m);
  await write(
    "upsert sources id=21 name=Ceres ra_deg=2 dec_deg=2 and insert sources id=22 name=Pallas ra_deg=0 dec_deg=0",
  );
  expect(await write("delete sources id=22 if exists --wait applied")).toMatchObject({ code: 0 });
  expect(await onMain("select id, name, ra_deg, dec_deg from sources where id in (21, 22)")).toEqual([
    { id: "21", name: "Ceres", ra_deg: 2, dec_deg: 2 },
  ]);
});

test(
  "JSON lines on standard input are one write each, in order, and the same input with the same id is written once",
  slowly,
  async () => {
    const id = randomUUID();
    const input = [
      { insert: "sources", values: { id: 31, name: "A", ra_deg: 1, dec_deg: 1 } },
      [
        { update: "sources", key: { id: 31 }, values: { name: "B" }, if: { name: "A" } },
        { insert: "sources", values: { id: 32, name: "C", ra_deg: 1.5, dec_deg: 1, aliases: ["x", null] } },
      ],
      { write_id: randomUUID(), mutations: [{ delete: "sources", key: { id: 999 } }] },
    ].map((line) => JSON.stringify(line));
    const first = await write(`- --write-id ${id} --wait replicated`, { input: `${input.join("\n")}\n` });
    expect(first).toMatchObject({ code: 0, err: "" });
    expect(first.out.trim().split("\n")).toEqual(Array(3).fill(expect.stringMatching(/^[0-9a-f-]{36} {2}REPLICATED$/)));
    const again = await write(`- --write-id ${id} --wait replicated`, { input: input.join("") });
    expect(again.out).toBe(first.out.replaceAll("REPLICATED", "REPLICATED  written before"));
    expect(await onMain("select id, name, aliases from sources where id in (31, 32) order by id")).toEqual([
      { id: "31", name: "B", aliases: [] },
      { id: "32", name: "C", aliases: ["x", null] },
    ]);
    const ids = first.out.match(new RegExp(uuid, "g"));
    const rows = await onMain("select position from opsdb.ledger where write_id = any($1)", [ids]);
    expect(rows).toHaveLength(3);
  },
);

test("rows on standard input go into one table, in batches or as one write, with every digit", slowly, async () => {
  const row = (second: number): string =>
    `{"station": "in", "sampled_at": "2026-01-01T00:00:${second}Z", "temperature_c": -${second}.10}`;
  const seconds = [10, 11, 12, 13, 14];
  const said = await write("insert weather_samples - --batch 2 --json --wait applied", {
    input: seconds.map(row).join("\n"),
  });
  const answers = said.out
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as { rows: object[] });
  expect(answers.map(({ rows }) => rows.length)).toEqual([2, 2, 1]);
  expect(answers[0]?.rows[0]).toMatchObject({ station: "in", sampled_at: "2026-01-01T00:00:10Z", pwv_mm: null });
  expect(await onMain("select temperature_c from weather_samples where station = 'in' order by sampled_at")).toEqual(
    seconds.map((second) => ({ temperature_c: `-${second}.10` })),
  );
  // One bad row in an atomic input, and nothing is written.
  const bad = await write("upsert weather_samples - --atomic", {
    input: `${row(20)}\n${row(21).replace("-21.10", '"warm"')}`,
  });
  expect(bad).toMatchObject({ code: 3, out: "", err: expect.stringContaining("INVALID_VALUE") });
  expect(await merged("sampled_at >= 2026-01-01T00:00:20Z", "station = in")).toBe("");
});

test("input that is refused in its middle says where, and how to go on", slowly, async () => {
  const row = (station: string): string => `{"station": "${station}", "sampled_at": "2026-01-02T00:00:00Z"}`;
  const input = [row("m1"), "", row("m2"), "{}", row("m3")];
  const stopped = await write("upsert weather_samples -", { input: input.join("\n") });
  expect(stopped.code).toBe(3);
  expect(stopped.out.trim().split("\n")).toHaveLength(2);
  const [, id = ""] =
    /ended at line 4, after 2 writes, which stay; with --write-id (\S+) the same input goes on there\n$/.exec(
      stopped.err,
    ) ?? [];
  expect(stopped.err).toContain("(MISSING_KEY); see its primary key with: opsdb tables TABLE");
  input[3] = row("m4");
  const mended = await write(`upsert weather_samples - --write-id ${id}`, { input: input.join("\n") });
  expect(mended.out.trim().split("\n")).toEqual([
    expect.stringContaining("written before"),
    expect.stringContaining("written before"),
    expect.stringMatching(/ACCEPTED$/),
    expect.stringMatching(/ACCEPTED$/),
  ]);
  const broken = await write("-", { input: `{"delete": "sources", "key": {"id": 998}}\n{"insert": "sour` });
  expect(broken).toMatchObject({
    code: 2,
    err: expect.stringContaining('line 2 of standard input: "{\\"insert\\": \\"sour" is not JSON'),
  });
});

test("a server that is away is tried again with the same id until it is back", slowly, async () => {
  await sites.secondary.stop();
  await using _back = startedAtEnd();
  await using run = new RunningOpsdb(args("insert sources id=41 name=Late ra_deg=0 dec_deg=0 --timeout 100s"), at());
  await run.says(/sent again with the same id|tried again/);
  await sites.secondary.start();
  expect(await run.ended(), run.err).toBe(0);
  await eventually(
    () => onMain("select name from sources where id = 41"),
    (rows) => rows.length === 1,
  );
  await sites.secondary.ready();
  await sites.secondary.stop();
  const gone = await write("insert sources id=42 name=Never ra_deg=0 dec_deg=0 --timeout 1s");
  expect(gone).toMatchObject({
    code: 1,
    err: expect.stringContaining(`no server can be reached at ${sites.secondary.grpc}`),
  });
});

test("a write whose answer is lost is one write", slowly, async () => {
  await using link = new Link();
  const [host, port] = sites.secondary.grpc.split(":");
  const through = await link.forward({ host: host ?? "", port: Number(port) });
  const id = randomUUID();
  // The drain is held, so that the write is waited for, and the connection is cut meanwhile.
  await runHere(["drain", "pause", "--reason", "test"], at());
  const words = args(`insert sources id=51 name=Once ra_deg=0 dec_deg=0 --write-id ${id} --wait applied --timeout 60s`);
  await using run = new RunningOpsdb(words, { env: { OPSDB_SERVER: `${through.host}:${through.port}` } });
  await eventually(async () => (await runHere(["writes", "get", id], at())).code === 0, undefined, {
    timeoutMs: 60_000,
  });
  link.cut();
  void link.heal();
  await run.says(/sent again with the same id/);
  await runHere(["drain", "resume", "--reason", "test"], at());
  expect(await run.ended(), run.err).toBe(0);
  expect(run.out).toMatch(/^duplicate +this id was written before/m);
  expect(await onMain("select name from sources where id = 51")).toEqual([{ name: "Once" }]);
  expect(await onMain("select outcome from opsdb.ledger where write_id = $1", [id])).toHaveLength(1);
});

test("a write that is not so far in time is no failure, and one that main refuses is", slowly, async () => {
  await runHere(["drain", "pause", "--reason", "test"], at());
  const waiting = await write("insert sources id=61 name=Slow ra_deg=0 dec_deg=0 --wait applied --timeout 1s");
  await runHere(["drain", "resume", "--reason", "test"], at());
  expect(waiting).toMatchObject({
    code: 5,
    err: expect.stringMatching(/not applied yet; the write goes on, .* opsdb writes get [0-9a-f-]{36}\n$/),
  });
  expect(waiting.out).toMatch(/^state +ACCEPTED$/m);
  await write("delete sources id=61 --wait applied");
  const refused = await write("insert sources id=62 name=Uranus ra_deg=0 dec_deg=0 --wait applied");
  expect(refused.code).toBe(4);
  expect(refused.out).toMatch(/^because .*UNIQUE_VIOLATION, 23505/m);
});

test.each([
  ["insert sources id=1 name=NULL ra_deg=0 dec_deg=0", 2, /name=NULL may be NULL or the four letters: say name:=null/],
  ["insert sources id=1 name=Orion ra_deg=400 dec_deg=0", 3, /CHECK_VIOLATION/],
  ["insert nowhere id=1", 3, /\(TABLE_NOT_FOUND\); list the tables with: opsdb tables/],
  ["insert sources id=1 nme=x", 3, /\(COLUMN_NOT_FOUND\); see its columns with: opsdb tables TABLE/],
  ["insert sources id=1 name=x --wait soon", 2, /--wait is one of applied, replicated, not "soon"/],
  ["insert sources id=1 name=x --timeout fast", 2, /--timeout is a time such as 500ms, 30s or 5m/],
  ["insert sources id=1 name=x --write-id 7", 2, /a write id is a UUID/],
  ["insert sources id=1 --atomic", 2, /--atomic and --batch are for standard input/],
  ["- --atomic --batch 2", 2, /exclude each other/],
])("wrong: opsdb write %s", slowly, async (words, code, why) => {
  const said = await runHere(args(words), at());
  expect(said).toMatchObject({ code, err: expect.stringMatching(why) });
  expect(said.err.trim().split("\n")).toHaveLength(1);
});

/** The server runs again when this is over, whatever happens meanwhile. */
function startedAtEnd(): AsyncDisposable {
  return {
    async [Symbol.asyncDispose]() {
      if (!sites.secondary.running) await sites.secondary.start();
      await sites.secondary.ready();
    },
  };
}

/** The words between spaces, where @ stands for a space. */
function args(words: string): string[] {
  return ["write", ...words.split(" ").map((word) => word.replaceAll("@", " "))];
}

function write(...parts: [...string[]] | [string, { input: string }]): Promise<Said> {
  const last = parts.at(-1);
  const words = parts.filter((part) => typeof part === "string").join(" ");
  return runOpsdb(args(words), { ...at(), ...(typeof last === "object" && last) });
}

function at(): { env: Record<string, string> } {
  return { env: { OPSDB_SERVER: sites.secondary.grpc } };
}

function onMain<Row extends Record<string, unknown>>(text: string, values?: unknown[]): Promise<Row[]> {
  return sql<Row>(sites.urls.main, text, values);
}

async function merged(...where: string[]): Promise<string> {
  const conditions = where.flatMap((condition) => ["--where", condition]);
  return (await runOpsdb(["query", "weather_samples", "--json", ...conditions], at())).out;
}
