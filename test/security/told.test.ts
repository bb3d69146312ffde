import { randomUUID } from "node:crypto";
import { createClient } from "@connectrpc/connect";
import { afterEach, beforeEach, expect, test } from "vitest";
import { WriteState } from "../../gen/ts/opsdb/v1/write_pb.ts";
import { WriteService } from "../../gen/ts/opsdb/v1/write_service_pb.ts";
import { refusal } from "../e2e/site-caller.ts";
import { eventually } from "../support/eventually.ts";
import { issueToken, type SecuredSite, serveSecured } from "../support/secured-site.ts";
import { sql } from "../support/sql.ts";
import { createDatabase, type TestDatabase } from "../support/test-database.ts";

const hidden = "known to nobody who may not read";
const [telescope, instrument] = [randomUUID(), randomUUID()];
let database: TestDatabase;
const open: AsyncDisposable[] = [];

beforeEach(async () => {
  database = await createDatabase();
  const observatory = randomUUID();
  for (const statement of [
    `insert into observatories (id, name, country, altitude_m, latitude, longitude) values ('${observatory}', 'o', 'CL', 1, 1, 1)`,
    `insert into telescopes (id, observatory_id, name, aperture_m) values ('${telescope}', '${observatory}', 't', 6)`,
    `insert into instruments (id, telescope_id, name, frequency_min_ghz, parameters)
       values ('${instrument}', '${telescope}', 'i', 200, '{"secret": "${hidden}"}')`,
  ])
    await sql(database.primaryUrl, statement);
  await database.caughtUp();
});

afterEach(async () => {
  for (const each of open.splice(0).reverse()) await each[Symbol.asyncDispose]();
  await database[Symbol.asyncDispose]();
});

async function serve(type: "main" | "secondary"): Promise<SecuredSite> {
  const site = await serveSecured(type, database);
  open.push(site);
  return site;
}

async function writer(site: SecuredSite, init: Parameters<typeof issueToken>[1]) {
  const token = await issueToken(database.primaryUrl, init);
  await site.knows(token);
  return createClient(WriteService, site.connect(token));
}

function text(value: string) {
  return { kind: { case: "stringValue" as const, value } };
}

const key = { id: text(instrument) };
const upsert = {
  table: "instruments",
  operation: { case: "upsert" as const, value: { values: { ...key, telescope_id: text(telescope), name: text("j") } } },
};
/** Against a CHECK, by a value that the row has already. */
const failing = {
  table: "instruments",
  operation: { case: "update" as const, value: { key, values: { frequency_max_ghz: text("100") } } },
};

test("who may not read is told of an upserted row what the request named, who may read the whole row", async () => {
  const main = await serve("main");
  const rowTo = async (roles: string[]) => {
    const { rows } = await (await writer(main, { roles })).write({ mutations: [upsert] });
    return Object.keys(rows[0]?.values ?? {}).sort();
  };
  expect(await rowTo(["write"])).toEqual(["id", "name", "telescope_id"]);
  expect(await rowTo(["read", "write"])).toEqual(expect.arrayContaining(["parameters", "frequency_min_ghz"]));
});

test("who may not read is not shown the row that a constraint refused, neither by an error nor by a rejection", async () => {
  const [main, secondary] = [await serve("main"), await serve("secondary")];
  const toldTo = async (roles: string[]): Promise<string[]> => {
    const direct = await refusal((await writer(main, { roles })).write({ mutations: [failing] }));
    expect(direct).toMatchObject({ reason: "CHECK_VIOLATION", field: "mutations[0]" });
    const { write, getWrite } = await writer(secondary, { roles });
    const { status } = await write({ mutations: [failing], waitFor: WriteState.APPLIED });
    const asked = await getWrite({ writeId: status?.writeId ?? "" });
    const rejections = [status, asked.status].map((each) => each?.rejection);
    for (const each of rejections) expect(each).toMatchObject({ reason: "CHECK_VIOLATION", sqlstate: "23514" });
    return [direct.message, ...rejections.map((each) => each?.message)].map((message) => message ?? "none");
  };
  for (const message of await toldTo(["write"])) {
    expect(message).toContain("instruments_frequency_range");
    expect(message).not.toMatch(/secret|200/);
  }
  for (const message of await toldTo(["read", "write"])) expect(message).toContain(hidden);
  await eventually(
    () => secondary.site.readStatus().buffer?.overlayWrites,
    (left) => left === 0,
  );
});

test("a token for some tables hears nothing of others from triggers and keys, neither by an error nor by a rejection", async () => {
  const trigger = `
    create function tell() returns trigger language plpgsql as $$
    begin raise exception 'the programs are %', (select string_agg(parameters::text, ',') from instruments); end $$;
    create trigger tell before insert on weather_samples for each row execute function tell()`;
  await sql(database.primaryUrl, trigger);
  const [main, secondary] = [await serve("main"), await serve("secondary")];
  const values = { station: text("cerro"), sampled_at: text("2026-01-01T00:00:00Z") };
  const mutations = [{ table: "weather_samples", operation: { case: "insert" as const, value: { values } } }];
  const toldTo = async (tables: string[]): Promise<unknown[]> => {
    const init = { roles: ["read", "write"], tables };
    const direct = await refusal((await writer(main, init)).write({ mutations }));
    expect(direct).toMatchObject({
      reason: "DATABASE_REFUSED",
      field: "mutations[0]",
      metadata: { sqlstate: "P0001" },
    });
    const { status } = await (await writer(secondary, init)).write({ mutations, waitFor: WriteState.APPLIED });
    expect(status?.rejection).toMatchObject({ reason: "DATABASE_REFUSED", sqlstate: "P0001" });
    return [direct.message, status?.rejection?.message];
  };
  for (const message of await toldTo(["weather_samples"]))
    expect(message).toMatch(/^the database refused this; [^%{]*$/);
  for (const message of await toldTo([])) expect(message).toContain(hidden);
  await eventually(
    () => secondary.site.readStatus().buffer?.overlayWrites,
    (left) => left === 0,
  );
});
