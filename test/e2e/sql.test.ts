import { afterAll, beforeAll, expect, test } from "vitest";
import { insert, update } from "../../demo/mutations.ts";
import { nothing, text, uuid } from "../../demo/values.ts";
import { eventually } from "../support/eventually.ts";
import { sql } from "../support/sql.ts";
import { startTwoSite, type TwoSite } from "../support/two-site.ts";
import { refusal, resultOf, SiteCaller } from "./site-caller.ts";

let sites: TwoSite;
let secondary: SiteCaller;

beforeAll(async () => {
  sites = await startTwoSite({ env: { secondary: { SQL_QUERIES: "on", SQL_MAX_ROWS: "1000" } } });
  secondary = new SiteCaller(sites.secondary);
});

afterAll(async () => {
  secondary?.[Symbol.dispose]();
  await sites?.[Symbol.asyncDispose]();
});

const ask = async (statement: string, parameters = [] as ReturnType<typeof text>[]) =>
  resultOf(await Array.fromAsync(secondary.queries.query({ sql: statement, parameters })));

test("G5 G6: while the link is cut, SQL shows what main says once it is healed", async () => {
  const site = "11111111-1111-4111-8111-111111111111";
  const place = {
    name: text("Chajnantor"),
    country: text("CL"),
    altitude_m: text("5612"),
    latitude: text("-22.98"),
    longitude: text("-67.74"),
  };
  const { status } = await secondary.write([insert("observatories", { ...place, id: uuid(site) })]);
  await secondary.home(status?.writeId);

  sites.link.cut();
  await secondary.write([
    update("observatories", { id: uuid(site) }, { name: text("Cerro Chajnantor") }),
    ...["North", "South"].map((name) =>
      insert("telescopes", {
        observatory_id: uuid(site),
        name: text(name),
        aperture_m: text("6.00"),
        first_light: nothing(),
      }),
    ),
  ]);
  const statement = `with here as (select * from observatories where name like $1)
    select h.name, count(t.id) as telescopes, sum(t.aperture_m) as metres, array_agg(t.name order by t.name) as names
    from here h left join public.telescopes t on t.observatory_id = h.id group by h.name order by h.name`;
  const { header, rows } = await ask(statement, [text("%Chajnantor")]);
  expect(header.pendingWrites).toBe(1n);
  expect(header.columns.map(({ name, type }) => `${name} ${type}`)).toEqual([
    "name character varying(120)",
    "telescopes bigint",
    "metres numeric",
    "names character varying[]",
  ]);
  expect(rows).toHaveLength(1);
  expect(rows[0]?.telescopes?.kind).toEqual({ case: "int64Value", value: 2n });
  expect(rows[0]?.metres?.kind).toEqual({ case: "numericValue", value: "12.00" });

  sites.link.heal();
  const last = await secondary.write([
    insert("sources", { name: text("Orion"), ra_deg: text("83.8"), dec_deg: text("-5.4"), id: text("99001") }),
  ]);
  await secondary.home(last.status?.writeId);
  // A replica may show a commit before main itself does.
  const [onMain] = await eventually(
    () => sql(sites.urls.main, statement, ["%Chajnantor"]),
    ([row]) => row?.telescopes === "2",
    { timeoutMs: 5_000, what: "that main shows the writes" },
  );
  expect(onMain).toMatchObject({ name: "Cerro Chajnantor", metres: "12.00", names: ["North", "South"] });
  expect((await ask(statement, [text("%Chajnantor")])).rows).toEqual(rows);
});

test("what is wrong with a statement comes as a status with field, reason and position, and the connection stays", async () => {
  expect(await refusal(ask("select 1; drop table sources"))).toMatchObject({
    code: "InvalidArgument",
    reason: "SQL_REFUSED",
    field: "sql",
  });
  expect(await refusal(ask("delete from sources"))).toMatchObject({
    code: "InvalidArgument",
    reason: "SQL_REFUSED",
    field: "sql",
  });
  expect(await refusal(ask("select * from\nnowhere"))).toMatchObject({
    code: "InvalidArgument",
    reason: "SQL_INVALID",
    field: "sql",
    metadata: { sqlstate: "42P01", position: "15" },
    message: expect.stringContaining("line 2, column 1") as string,
  });
  expect(await refusal(ask("select pg_sleep(60)"))).toMatchObject({ code: "InvalidArgument", reason: "SQL_REFUSED" });
  expect(await refusal(ask("select $1::int"))).toMatchObject({
    code: "InvalidArgument",
    reason: "INVALID_FIELD",
    field: "parameters",
  });
  expect(await refusal(ask("select * from generate_series(1, 100000)"))).toMatchObject({
    code: "ResourceExhausted",
    reason: "QUERY_TOO_LARGE",
  });
  const both = Array.fromAsync(secondary.queries.query({ table: "sources", sql: "select 1" }));
  expect(await refusal(both)).toMatchObject({ code: "InvalidArgument", reason: "INVALID_FIELD", field: "table" });
  const late = Array.fromAsync(
    secondary.queries.query({ sql: "select count(*) from generate_series(1, 10000000000)" }, { timeoutMs: 1_000 }),
  );
  expect(await refusal(late)).toMatchObject({ code: "DeadlineExceeded" });
  expect((await ask("select 1 as one")).rows).toHaveLength(1);
});
