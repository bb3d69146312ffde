import { readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { eventually } from "../support/eventually.ts";
import { Link } from "../support/link.ts";
import { RunningOpsdb, runHere, runOpsdb, type Said } from "../support/opsdb.ts";
import { sql } from "../support/sql.ts";
import { startTwoSite, type TwoSite } from "../support/two-site.ts";

const slowly = { timeout: 180_000 };
const rowCount = 200_000;
/** Of one line, so that the whole result is much larger than the program may grow. */
const textBytes = 1_000;

let sites: TwoSite;

beforeAll(async () => {
  sites = await startTwoSite({ env: { secondary: { SQL_QUERIES: "on" } } });
  await sql(
    sites.urls.main,
    `create table large (id int primary key, filler text not null);
     insert into large select n, repeat('x', ${textBytes}) from generate_series(1, ${rowCount}) n`,
  );
  await sites.standby.caughtUp();
  await eventually(
    () => runHere(["tables", "large"], at()),
    ({ code }) => code === 0,
    { timeoutMs: 30_000, what: "that the catalog has the table" },
  );
}, 120_000);

afterAll(() => sites[Symbol.asyncDispose]());

test(
  "a table has its rows on lines, merged with what is pending, and JSON and CSV are made to be read again",
  slowly,
  async () => {
    await runHere(["drain", "pause", "--reason", "test"], at());
    const words = ["insert", "sources", "id=71", "name=Eris", "ra_deg=25.5", "dec_deg=-1.25", 'aliases=["a b"]'];
    await runOpsdb(["write", ...words], at());
    const shown = await query(
      "sources",
      "--where",
      "name in (Eris, Uranus)",
      "--order",
      "name",
      "--columns",
      "name,ra_deg,aliases",
    );
    // The record of the pause is a write as well, which may be on its way still.
    expect({ ...shown, out: shown.out.replace("2 pending writes", "1 pending write") }).toEqual({
      code: 0,
      err: "",
      out: [
        "name    ra_deg  aliases",
        "──────  ──────  ───────",
        'Eris      25.5  {"a b"}',
        "Uranus    57.2  {}",
        "(2 rows, 1 pending write merged)",
        "",
      ].join("\n"),
    });
    await runHere(["drain", "resume", "--reason", "test"], at());

    // What is printed as JSON can be written again, exactly.
    const units = await query("obs_units", "--json", "--order", "id");
    const again = await runOpsdb(["write", "upsert", "obs_units", "-", "--wait", "replicated"], {
      ...at(),
      input: units.out,
    });
    expect(again).toMatchObject({ code: 0, err: "" });
    expect((await query("obs_units", "--json", "--order", "id")).out).toBe(units.out);
    const csv = await query(
      "sources",
      "--where",
      "ra_deg between 20 and 60",
      "--format",
      "csv",
      "--order",
      "id desc",
      "--limit",
      "1",
    );
    expect(csv.out).toBe('id,name,ra_deg,dec_deg,aliases\r\n71,Eris,25.5,-1.25,"{""a b""}"\r\n');
  },
);

test("aggregates, groups, json, consistency and SQL are asked for with options", slowly, async () => {
  const counted = await query(
    "instruments",
    "--group-by",
    "kind",
    "--count",
    "--aggregate",
    "max(name) as last",
    "--order",
    "kind",
    "--json",
  );
  expect(counted.out).toBe(
    '{"kind":"camera","count":1,"last":"Prime-Cam"}\n{"kind":"receiver","count":1,"last":"CHAI"}\n',
  );
  const deep = await query(
    "obs_units",
    "--where",
    "tuning.frequency_ghz > 500",
    "--columns",
    "name",
    "--json",
    "--consistency",
    "main",
  );
  expect(deep.out).toBe('{"name":"NGC253 CO 7-6"}\n');
  const statement = "select name, ra_deg > $1 as east from sources where name like $2 order by 1";
  const asked = await query("--sql", statement, "--param", "50", "--param", "%r%n%", "--json");
  expect(asked.out).toBe('{"name":"Orion KL","east":true}\n{"name":"Uranus","east":true}\n');
});

test(`${rowCount} rows reach a slow reader whole, and the program stays small meanwhile`, slowly, async () => {
  // What does not fit into its heap ends the program.
  const env = { ...at().env, NODE_OPTIONS: "--max-old-space-size=64" };
  await using run = new RunningOpsdb(["query", "large", "--order", "id", "--format", "csv"], { env, read: false });
  const { stdout } = run.child;
  // While nobody reads, it comes to rest, and does not take the whole result into its memory first.
  const seen: number[] = [];
  await eventually(
    () => seen[seen.push(memoryMb(run.pid, "VmRSS")) - 1] ?? 0,
    (now) => seen.length > 20 && now > 80 && Math.abs(now - (seen.at(-20) ?? 0)) < 1,
    { timeoutMs: 60_000, everyMs: 100, what: "that its memory comes to rest" },
  );
  expect(seen.at(-1)).toBeLessThan(200);
  let [lines, bytes, last, pending] = [0, 0, 0, ""];
  let pauses = 0;
  for await (const chunk of stdout.setEncoding("utf8")) {
    const text = pending + String(chunk);
    const complete = text.split("\r\n");
    pending = complete.pop() ?? "";
    for (const line of complete) {
      if (lines > 0) expect(Number(line.slice(0, line.indexOf(",")))).toBe(last + 1);
      if (lines > 0) last += 1;
      lines += 1;
    }
    bytes += String(chunk).length;
    if (bytes > pauses * 20_000_000) {
      pauses += 1;
      await delay(300); // a reader that takes its time: what is not read waits at the server
      expect(memoryMb(run.pid, "VmRSS")).toBeLessThan(300);
    }
  }
  expect(await run.ended(), run.err).toBe(0);
  expect(lines).toBe(rowCount + 1);
  expect(bytes).toBeGreaterThan(rowCount * textBytes);
});

test(
  "an ordered result goes on after an interruption, with every row once, and one without order is told to be incomplete",
  slowly,
  async () => {
    await using link = new Link();
    const [host, port] = sites.secondary.grpc.split(":");
    const through = await link.forward({ host: host ?? "", port: Number(port) });
    const env = { OPSDB_SERVER: `${through.host}:${through.port}` };
    const interrupted = async (...options: string[]): Promise<{ ids: number[]; code: unknown; err: string }> => {
      await using run = new RunningOpsdb(["query", "large", "--columns", "id,filler", "--json", ...options], {
        env,
        read: false,
      });
      const ids: number[] = [];
      let pending = "";
      for await (const chunk of run.child.stdout.setEncoding("utf8")) {
        if (ids.length === 0) {
          link.cut();
          void link.heal();
        }
        const lines = (pending + String(chunk)).split("\n");
        pending = lines.pop() ?? "";
        for (const line of lines) ids.push((JSON.parse(line) as { id: number }).id);
      }
      return { ids, code: await run.ended(), err: run.err };
    };
    const ordered = await interrupted("--order", "id", "--limit", "50000");
    expect(ordered).toMatchObject({ code: 0, err: expect.stringMatching(/goes on after \d+ rows, in a new snapshot/) });
    expect(ordered.ids).toEqual(Array.from({ length: 50_000 }, (_, i) => i + 1));
    const unordered = await interrupted();
    expect(unordered).toMatchObject({
      code: 6,
      err: expect.stringMatching(
        /the result is incomplete after \d+ rows: .*; with --order it would have gone on by itself\n$/,
      ),
    });
    expect(unordered.ids.length).toBeLessThan(rowCount);
  },
);

test("a reader that goes away ends it without a word", slowly, async () => {
  await using run = new RunningOpsdb(["query", "large", "--json"], { ...at(), read: false });
  await new Promise((resolve) => run.child.stdout.once("readable", resolve));
  run.child.stdout.destroy();
  expect(await run.ended()).toBe(141);
  expect(run.err).toBe("");
});

test("tables are listed and described", slowly, async () => {
  const listed = await runHere(["tables"], at());
  expect(listed.out).toMatch(/^TABLE +WRITABLE +COMMENT\n/);
  expect(listed.out).toMatch(/^sources +yes +Targets on the sky\.$/m);
  expect((await runHere(["tables", "--names"], at())).out.split("\n")).toContain("weather_samples");
  const described = await runHere(["tables", "executed_obs_units"], at());
  expect(described.out).toMatch(/^obs_unit_id +uuid +yes$/m);
  expect(described.out).toMatch(/^status +observation_status .*\n +one of SCHEDULED, RUNNING,/m);
  expect(described.out).toContain("(obs_unit_id) refers to obs_units (id)");
  expect(JSON.parse((await runHere(["tables", "sources", "--json"], at())).out)).toMatchObject({
    table: { primaryKey: ["id"] },
  });
});

test.each([
  [["sources", "--where", "ra_deg # 3"], 2, /there is no such operator, as in/],
  [["sources", "--where", "nme = 3"], 3, /\(COLUMN_NOT_FOUND\); see its columns/],
  [["sources", "--where", "ra_deg like a"], 3, /\(INVALID_OPERATOR\)/],
  [["sources", "--where", "ra_deg = east"], 3, /\(INVALID_VALUE\)/],
  [["sources", "--limit", "many"], 2, /--limit is a whole number/],
  [["sources", "--json", "--format", "csv"], 2, /give one/],
  [["sources", "--format", "xml"], 2, /--format is one of table, json, csv/],
  [["sources", "--sql", "select 1"], 2, /name a table or give --sql, not both/],
  [["--sql", "select 1", "--order", "a"], 2, /say it in the statement/],
  [["--sql", "selec"], 3, /SQL_INVALID/],
  [["sources", "--param", "1"], 2, /--param is for --sql/],
  [[], 2, /name a table, or give --sql/],
  [["sources", "--max-age", "old"], 2, /--max-age is a time/],
])("wrong: opsdb query %j", slowly, async (words, code, why) => {
  const said = await runHere(["query", ...words], at());
  expect(said).toMatchObject({ code, out: "", err: expect.stringMatching(why) });
  expect(said.err.trim().split("\n")).toHaveLength(1);
});

function query(...words: string[]): Promise<Said> {
  return runOpsdb(["query", ...words], at());
}

function at(): { env: Record<string, string> } {
  return { env: { OPSDB_SERVER: sites.secondary.grpc } };
}

function memoryMb(pid: number, name: string): number {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(status)?.[1]) / 1024;
}
