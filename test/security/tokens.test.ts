import { createClient } from "@connectrpc/connect";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { RetryInfoSchema } from "../../gen/ts/google/rpc/error_details_pb.ts";
import { Health } from "../../gen/ts/grpc/health/v1/health_pb.ts";
import { ServerReflection } from "../../gen/ts/grpc/reflection/v1/reflection_pb.ts";
import { AdminService } from "../../gen/ts/opsdb/v1/admin_service_pb.ts";
import { CatalogService } from "../../gen/ts/opsdb/v1/catalog_service_pb.ts";
import { QueryService } from "../../gen/ts/opsdb/v1/query_service_pb.ts";
import { ReplicationService } from "../../gen/ts/opsdb/v1/replication_service_pb.ts";
import { WriteState } from "../../gen/ts/opsdb/v1/write_pb.ts";
import { WriteService } from "../../gen/ts/opsdb/v1/write_service_pb.ts";
import { runCommandLine } from "../../src/cli/run-command-line.ts";
import { refusal } from "../e2e/site-caller.ts";
import { eventually } from "../support/eventually.ts";
import { Link } from "../support/link.ts";
import { issueToken, revokeToken, type SecuredSite, serveSecured } from "../support/secured-site.ts";
import { siteSettings } from "../support/sites.ts";
import { createDatabase, type TestDatabase } from "../support/test-database.ts";

let database: TestDatabase;
const open: AsyncDisposable[] = [];

beforeEach(async () => {
  database = await createDatabase();
});

afterEach(async () => {
  for (const each of open.splice(0).reverse()) await each[Symbol.asyncDispose]();
  await database[Symbol.asyncDispose]();
});

async function serve(...rest: [("main" | "secondary")?, Record<string, string>?, boolean?]): Promise<SecuredSite> {
  const [type = "secondary", settings = {}, ready = true] = rest;
  const site = await serveSecured(type, database, settings, ready);
  open.push(site);
  return site;
}

const issue = (init: Parameters<typeof issueToken>[1]): Promise<string> => issueToken(database.primaryUrl, init);
let second = 0;

function sample(table = "weather_samples") {
  second += 1;
  const values = {
    station: text("cerro"),
    sampled_at: text(new Date(second * 1000).toISOString()),
    pwv_mm: text("0.42"),
  };
  return { table, operation: { case: "insert" as const, value: { values } } };
}

function call(site: SecuredSite, token: string | undefined) {
  const transport = site.connect(token);
  return {
    writes: createClient(WriteService, transport),
    queries: createClient(QueryService, transport),
    catalog: createClient(CatalogService, transport),
    replication: createClient(ReplicationService, transport),
    admin: createClient(AdminService, transport),
    health: createClient(Health, transport),
    reflection: createClient(ServerReflection, transport),
  };
}

test("a token made by the command line is known at every site within a moment, and a revoked one ends there", async () => {
  const [main, secondary] = [await serve("main"), await serve()];
  const { primaryUrl: mainUrl, standbyUrl: localUrl, redisUrl, site } = database;
  const env = siteSettings("main", { site, mainUrl, localUrl, redisUrl });
  const run = async (...args: string[]): Promise<{ code: number; out: string }> => {
    const out = vi.spyOn(console, "log").mockImplementation(() => {});
    const err = vi.spyOn(console, "error").mockImplementation(() => {});
    const code = await runCommandLine(["tokens", ...args], env);
    const said = out.mock.calls.flat().join("\n");
    out.mockRestore();
    err.mockRestore();
    return { code, out: said };
  };
  const made = await run(
    "create",
    "guiding camera",
    "--roles",
    "read,write",
    "--expires",
    "1d",
    "--calls-per-second",
    "500",
  );
  expect(made).toMatchObject({ code: 0, out: expect.stringMatching(/^opsdb_[0-9a-z]{12}_[\w-]{43}$/) });
  const token = made.out;
  const id = token.split("_")[1] ?? "";
  for (const site of [main, secondary]) {
    await site.knows(token);
    expect((await call(site, token).writes.write({ mutations: [sample()] })).status?.writeId).toBeDefined();
  }
  const stored = JSON.stringify(await database.onPrimary("select *, encode(hash, 'escape') from opsdb.access_token"));
  expect(stored).not.toContain(token.split("_").slice(2).join("_"));
  const listed = await run("list");
  expect(listed.out).toMatch(new RegExp(`^${id} +guiding camera +read,write +all +500/s `, "m"));
  expect((await run("list", "--json")).out).not.toMatch(/hash|opsdb_/);
  expect(await run("revoke", id)).toMatchObject({ code: 0, out: expect.stringContaining("guiding camera") });
  for (const site of [main, secondary])
    await eventually(
      () => refusal(call(site, token).writes.write({ mutations: [sample()] })),
      ({ code, reason }) => code === "Unauthenticated" && reason === "ACCESS_TOKEN_REVOKED",
    );
  expect((await run("list")).out).toBe("no token holds");
  expect((await run("list", "--all")).out).toMatch(/revoked$/m);
  expect(await run("revoke", "000000000000")).toMatchObject({ code: 1 });
});

test("a long watch ends soon after its token is revoked, and one of another token goes on", async () => {
  const site = await serve();
  const [token, other] = [await issue({}), await issue({})];
  for (const each of [token, other]) await site.knows(each);
  const heartbeat = { nanos: 200_000_000 };
  const watches = [token, other].map((each) => call(site, each));
  const [replication, going] = watches.map((each) =>
    each.replication.watchReplication({ heartbeat })[Symbol.asyncIterator](),
  );
  const writes = watches[0]?.writes.watchWrites({ heartbeat })[Symbol.asyncIterator]();
  for (const watch of [replication, going, writes]) await watch?.next();
  await revokeToken(database.primaryUrl, token);
  const drain = async (watch: AsyncIterator<unknown> | undefined): Promise<void> => {
    for (let next = await watch?.next(); next && !next.done; next = await watch?.next());
  };
  for (const watch of [replication, writes])
    expect(await refusal(drain(watch))).toMatchObject({ code: "Unauthenticated", reason: "ACCESS_TOKEN_REVOKED" });
  expect((await going?.next())?.done).toBe(false);
});

test("a long watch ends when its token expires", async () => {
  const site = await serve();
  const token = await issue({ expires_at: Date.now() / 1000 + 3 });
  const { replication } = call(site, token);
  await eventually(
    () => refusal(Array.fromAsync(replication.watchReplication({}))),
    // Not known yet is refused at once; once it is known, the watch runs until its end.
    ({ code, reason }) => code === "Unauthenticated" && reason === "ACCESS_TOKEN_EXPIRED",
  );
});

test("G7: with main and the replica away a token holds, and a wrong one does not, also after a restart", async () => {
  await using link = new Link();
  const through = async (prefix: "MAIN" | "LOCAL", url: string): Promise<Record<string, string>> => {
    const { hostname: host, port } = new URL(url);
    const far = await link.forward({ host, port: Number(port) });
    return { [`${prefix}_DB_HOST`]: far.host, [`${prefix}_DB_PORT`]: String(far.port) };
  };
  const settings = {
    ...(await through("MAIN", database.primaryUrl)),
    ...(await through("LOCAL", database.standbyUrl)),
    LOCAL_TIMEOUT_MS: "500",
  };
  const token = await issue({ roles: ["write"] });
  const stranger = token.replace(/_\w{12}_/, "_000000000000_");
  const wrong = `${token.slice(0, -1)}${token.endsWith("A") ? "B" : "A"}`;
  let site = await serve("secondary", settings);
  await site.knows(token);
  await eventually(
    () => site.logged.join(""),
    (text) => text.includes("the access tokens were read"),
  );
  link.cut({ mode: "blackhole" });
  const holds = async (): Promise<void> => {
    const { status } = await call(site, token).writes.write({ mutations: [sample()] });
    expect(status?.state).toBe(WriteState.ACCEPTED);
    expect(await refusal(call(site, wrong).writes.write({ mutations: [sample()] }))).toMatchObject({
      reason: "ACCESS_TOKEN_INVALID",
    });
    // It may be a new one, of which nothing can be known here.
    await eventually(
      () => refusal(call(site, stranger).writes.write({ mutations: [sample()] })),
      ({ code, reason }) => code === "Unavailable" && reason === "ACCESS_TOKENS_UNAVAILABLE",
    );
  };
  await holds();
  await open.pop()?.[Symbol.asyncDispose]();
  site = await serve("secondary", settings, false);
  await site.knows(token);
  await eventually(() => site.site.health.value.write.serving);
  await holds();
  link.heal();
  await eventually(
    () => refusal(call(site, stranger).writes.write({ mutations: [sample()] })),
    ({ code, reason }) => code === "Unauthenticated" && reason === "ACCESS_TOKEN_INVALID",
  );
  await eventually(
    () => site.site.readStatus().buffer?.overlayWrites,
    (left) => left === 0,
  );
});

test("a token for some tables reaches no other, neither by writes, related rows, SQL nor outcomes", async () => {
  const site = await serve("secondary", { SQL_QUERIES: "on" });
  const token = await issue({ roles: ["read", "write"], tables: ["weather_samples", "raw_data_f*"] });
  await site.knows(token);
  const { writes, queries, catalog } = call(site, token);
  const before = site.site.readStatus().buffer?.retainedWrites;
  const denied = (field?: string) => ({ code: "PermissionDenied", reason: "ACCESS_DENIED", field });
  const query = (request: Parameters<typeof queries.query>[0]): Promise<unknown> =>
    Array.fromAsync(queries.query(request));

  expect(await refusal(writes.write({ mutations: [sample(), sample("executed_obs_units")] }))).toMatchObject(
    denied("mutations[1].table"),
  );
  expect(await refusal(writes.write({ mutations: [sample("public.nights")] }))).toMatchObject(
    denied("mutations[0].table"),
  );
  expect(await refusal(query({ table: "executed_obs_units" }))).toMatchObject(denied("table"));
  expect(await refusal(query({ table: "opsdb.operator_action" }))).toMatchObject(denied("table"));
  const related = [{ table: "executed_obs_units" }];
  expect(await refusal(query({ table: "raw_data_files", related }))).toMatchObject(denied("related[0].table"));
  expect(await refusal(query({ sql: "select 1" }))).toMatchObject(denied());
  expect(await refusal(catalog.describeTable({ table: "executed_obs_units" }))).toMatchObject(denied("table"));
  expect(await refusal(Array.fromAsync(writes.watchWrites({})))).toMatchObject(denied());
  expect(site.site.readStatus().buffer?.retainedWrites).toBe(before);
  const json = await fetch(`${site.baseUrl}/opsdb.v1.WriteService/Write`, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${token}` },
    body: JSON.stringify({
      mutations: [{ table: "nights", delete: { key: { night: { stringValue: "2026-01-01" } } } }],
    }),
  });
  expect([json.status, await json.json()]).toMatchObject([403, { code: "permission_denied" }]);

  expect((await catalog.listTables({})).tables.map(({ name }) => name)).toEqual(["raw_data_files", "weather_samples"]);
  await expect(query({ table: "weather_samples" })).resolves.toBeDefined();
  await writes.write({ mutations: [sample()], waitFor: WriteState.REPLICATED });
});

test("what the database said about a rejected write is told to tokens for all tables alone", async () => {
  const site = await serve();
  const some = await issue({ roles: ["read", "write"], tables: ["weather_samples"] });
  const all = await issue({ roles: ["read", "write"] });
  for (const each of [some, all]) await site.knows(each);
  const missing = "99999999-2222-4333-8444-555555555555";
  const values = { name: text("night.tar"), executed_obs_unit_id: text(missing) };
  const mutation = { table: "raw_data_packages", operation: { case: "insert" as const, value: { values } } };
  const { status } = await call(site, all).writes.write({ mutations: [mutation], waitFor: WriteState.APPLIED });
  const writeId = status?.writeId ?? "";
  const told = async (token: string): Promise<string[]> => {
    const { writes, replication } = call(site, token);
    const messages = [(await writes.getWrite({ writeId })).status?.rejection?.message];
    for await (const { event } of replication.watchReplication({ writeId, untilDone: true }))
      if (event.case === "write") messages.push(event.value.rejection?.message);
    return messages.map((message) => message ?? "none");
  };
  expect(await told(all)).toEqual([expect.stringContaining(missing), expect.stringContaining(missing)]);
  expect(await told(some)).toEqual([expect.not.stringContaining(missing), expect.not.stringContaining(missing)]);
  await eventually(
    () => site.site.readStatus().buffer?.overlayWrites,
    (left) => left === 0,
  );
});

function text(value: string) {
  return { kind: { case: "stringValue" as const, value } };
}

test("a token makes no more calls than it may, and hears when to try again; others are not held up", async () => {
  const site = await serve();
  const slow = await issue({ calls_per_second: 1, burst: 2 });
  const other = await issue({});
  for (const each of [slow, other]) await site.knows(each);
  const { catalog } = call(site, slow);
  const answers = await Promise.allSettled([1, 2, 3, 4].map(() => catalog.listTables({})));
  expect(answers.map(({ status }) => status)).toEqual(["fulfilled", "fulfilled", "rejected", "rejected"]);
  const error = answers[3]?.status === "rejected" ? answers[3].reason : undefined;
  expect(error.findDetails(RetryInfoSchema)[0]).toMatchObject({ retryDelay: { seconds: 1n } });
  expect(await refusal(catalog.listTables({}))).toMatchObject({ code: "ResourceExhausted", reason: "RATE_LIMITED" });
  await call(site, other).catalog.listTables({});
});

test("a token sends no larger message than it may, in any protocol", async () => {
  const site = await serve();
  const token = await issue({ roles: ["write"], message_bytes: 400 });
  await site.knows(token);
  const large = { ...sample(), table: "x".repeat(500) };
  const { writes } = call(site, token);
  expect(await refusal(writes.write({ mutations: [large] }))).toMatchObject({
    code: "ResourceExhausted",
    reason: "MESSAGE_TOO_LARGE",
  });
  const send = async (body: string | ReadableStream): Promise<unknown> => {
    const headers = { "content-type": "application/json", authorization: `Bearer ${token}` };
    const init = { method: "POST", headers, body, duplex: "half" } as RequestInit;
    const response = await fetch(`${site.baseUrl}/opsdb.v1.WriteService/Write`, init);
    return [response.status, ((await response.json()) as { code: string }).code];
  };
  const json = JSON.stringify({ mutations: [{ table: "x".repeat(500), delete: {} }] });
  expect(await send(json)).toEqual([429, "resource_exhausted"]);
  const unannounced = new Blob([json]).stream();
  expect(await send(unannounced)).toEqual([429, "resource_exhausted"]);
  expect((await writes.write({ mutations: [sample()] })).status?.state).toBe(WriteState.ACCEPTED);
  await eventually(
    () => site.site.readStatus().buffer?.overlayWrites,
    (left) => left === 0,
  );
});

test("every denied call is in the log, with who, from where and why, and never with a secret", async () => {
  const site = await serve();
  const token = await issue({ name: "prometheus" });
  await site.knows(token);
  const [, id, secret = ""] = /^opsdb_(\w{12})_(.*)$/.exec(token) ?? [];
  await refusal(call(site, token).writes.write({ mutations: [sample()] }));
  await refusal(call(site, `${token}x`).catalog.listTables({}));
  await refusal(call(site, undefined).catalog.listTables({}));
  const denials = site.logged
    .map((line) => JSON.parse(line) as Record<string, unknown>)
    .filter(({ msg }) => msg === "a call was denied");
  expect(denials).toMatchObject([
    {
      method: "opsdb.v1.WriteService/Write",
      reason: "ACCESS_DENIED",
      caller: { id, name: "prometheus" },
      role: "write",
      peer: "127.0.0.1",
    },
    { method: "opsdb.v1.CatalogService/ListTables", reason: "ACCESS_TOKEN_INVALID" },
    { method: "opsdb.v1.CatalogService/ListTables", reason: "ACCESS_TOKEN_MISSING", caller: {} },
  ]);
  expect(site.logged.join("")).not.toContain(secret.slice(0, 20));
  const { catalog } = call(site, undefined);
  await Promise.allSettled(Array.from({ length: 1_000 }, () => catalog.listTables({})));
  const lines = site.logged.filter((line) => line.includes("a call was denied"));
  expect(lines.length).toBeGreaterThan(50);
  expect(lines.length).toBeLessThan(500);
});

test("any number of denied calls of strangers does not hide from the log those of a token, nor one token's those of another", async () => {
  const site = await serve();
  const [loud, quiet] = [await issue({ name: "loud" }), await issue({ name: "quiet" })];
  for (const each of [loud, quiet]) await site.knows(each);
  const from = (name: string): string[] =>
    site.logged.filter((line) => line.includes("a call was denied") && line.includes(`"name":"${name}"`));
  for (const [token, calls] of [
    [undefined, 500],
    [loud, 500],
    [quiet, 1],
  ] as const) {
    const { admin } = call(site, token);
    await Promise.allSettled(Array.from({ length: calls }, () => admin.showDrain({})));
  }
  expect(from("loud").length).toBeGreaterThanOrEqual(100);
  expect(from("loud").length).toBeLessThan(500);
  expect(from("quiet")).toHaveLength(1);
});

test("what operators do is on record with who was authenticated", async () => {
  const site = await serve();
  const token = await issue({ name: "night desk", roles: ["admin"] });
  await site.knows(token);
  const { admin } = call(site, token);
  const unnamed = await admin.pauseDrain({ reason: "maintenance" });
  expect(unnamed.pause?.operator).toBe("night desk");
  await admin.resumeDrain({ operator: "Ada", reason: "done" });
  const named = await admin.pauseDrain({ operator: "Ada", reason: "maintenance" });
  expect(named.pause?.operator).toBe("Ada (authenticated as night desk)");
  await admin.resumeDrain({ reason: "done" });
  await eventually(
    () => site.site.readStatus().buffer?.overlayWrites,
    (left) => left === 0,
  );
});

test("reflection and metrics want a token, health does not but keeps its reasons to itself", async () => {
  const site = await serve();
  const token = await issue({ roles: ["write"] });
  await site.knows(token);
  const plain = async (path: string, shown?: string): Promise<[number, string, string | null]> => {
    const headers = shown === undefined ? {} : { authorization: `Bearer ${shown}` };
    const response = await fetch(`${site.baseUrl}${path}`, { headers });
    return [response.status, await response.text(), response.headers.get("www-authenticate")];
  };
  async function* ask() {
    yield { messageRequest: { case: "listServices" as const, value: "" } };
  }
  const reflect = (shown: string | undefined): Promise<unknown> =>
    Array.fromAsync(call(site, shown).reflection.serverReflectionInfo(ask()));
  expect(await refusal(reflect(undefined))).toMatchObject({ code: "Unauthenticated" });
  expect(await reflect(token)).toHaveLength(1);
  expect(await plain("/metrics")).toMatchObject([
    401,
    expect.stringContaining("unauthenticated"),
    'Bearer realm="opsdb"',
  ]);
  const [status, metrics] = await plain("/metrics", token);
  expect(status).toBe(200);
  expect(metrics).toMatch(
    /grpc_server_handled_total\{.*grpc_method="ServerReflectionInfo".*grpc_code="Unauthenticated"\} 1/,
  );
  await call(site, undefined).health.check({});
  site.site.health.set({ ...site.site.health.value, query: { serving: false, reason: "host db.secret is away" } });
  expect((await plain("/healthz"))[1]).not.toContain("db.secret");
  expect((await plain("/healthz", token))[1]).toContain("db.secret");
});

test("what is closed is not there, and what is open wants no token", async () => {
  const site = await serve("secondary", {
    REFLECTION_ACCESS: "closed",
    HEALTH_ACCESS: "token",
    METRICS_ACCESS: "open",
  });
  const token = await issue({});
  await site.knows(token);
  async function* ask() {
    yield { messageRequest: { case: "listServices" as const, value: "" } };
  }
  const reflect = Array.fromAsync(call(site, token).reflection.serverReflectionInfo(ask()));
  expect(await refusal(reflect)).toMatchObject({ code: "Unimplemented" });
  expect(await refusal(call(site, undefined).health.check({}))).toMatchObject({ code: "Unauthenticated" });
  await call(site, token).health.check({});
  expect((await fetch(`${site.baseUrl}/healthz`)).status).toBe(401);
  expect((await fetch(`${site.baseUrl}/metrics`)).status).toBe(200);
});
