import { randomBytes } from "node:crypto";
import pg from "pg";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { connectPipelined, createPool, type DatabaseAddress } from "../../src/postgres/connection.ts";
import { migrate } from "../../src/postgres/migrate.ts";
import { queryRows } from "../../src/postgres/use-client.ts";
import { demandPassword } from "../support/demand-password.ts";
import { addressOf } from "../support/drain.ts";
import { eventually } from "../support/eventually.ts";
import { Link } from "../support/link.ts";
import { sql } from "../support/sql.ts";

const url = inject("primaryUrl");
const role = `r${randomBytes(6).toString("hex")}`;
const password = "it's a %pass/word";
const session = { applicationName: "password" };
const whoAmI = "select current_user";

beforeAll(async () => {
  await sql(url, `create role ${role} login password ${pg.escapeLiteral(password)}`);
  await demandPassword(url, role);
});
afterAll(() => sql(url, `drop role ${role}`));

test("a pool signs in with its password", async () => {
  const pool = createPool({ ...addressOf(url), user: role, password }, session, 2);
  try {
    expect(await queryRows(pool, AbortSignal.timeout(5_000), { text: whoAmI })).toEqual([[role]]);
  } finally {
    await pool.end();
  }
});

test("the drain's connection signs in with its password", async () => {
  await using connection = await connectPipelined({ ...addressOf(url), user: role, password }, session);
  expect((await connection.query({ text: whoAmI })).rows).toEqual([[role]]);
});

test("an attempt without the password that is asked for is told and leaves no connection open", async () => {
  await using link = new Link();
  const without: DatabaseAddress = {
    ...addressOf(url),
    ...(await link.forward(addressOf(url))),
    user: role,
    password: undefined,
  };
  const pool = createPool(without, session, 2);
  const attempts = [
    () => queryRows(pool, AbortSignal.timeout(5_000), { text: whoAmI }),
    () => connectPipelined(without, session),
    () => migrate({ host: without.host, port: without.port, user: role, database: without.database }),
  ];
  for (const attempt of attempts) {
    await expect(attempt()).rejects.toThrow("password must be a string");
    await eventually(
      () => link.status.connections,
      (open) => open === 0,
      { timeoutMs: 5_000, what: "that no connection is open" },
    );
  }
  await pool.end();
});
