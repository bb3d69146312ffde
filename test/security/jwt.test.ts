import { type ConnectError, createClient } from "@connectrpc/connect";
import { exportSPKI, importJWK, type JWTPayload, SignJWT, UnsecuredJWT } from "jose";
import { afterEach, beforeEach, expect, test } from "vitest";
import { RetryInfoSchema } from "../../gen/ts/google/rpc/error_details_pb.ts";
import { CatalogService } from "../../gen/ts/opsdb/v1/catalog_service_pb.ts";
import { ReplicationService } from "../../gen/ts/opsdb/v1/replication_service_pb.ts";
import { refusal } from "../e2e/site-caller.ts";
import { eventually } from "../support/eventually.ts";
import { IdentityProvider, type SigningKey, signingKey } from "../support/identity-provider.ts";
import { type SecuredSite, serveSecured } from "../support/secured-site.ts";
import { createDatabase, type TestDatabase } from "../support/test-database.ts";

let database: TestDatabase;
let provider: IdentityProvider;
const open: AsyncDisposable[] = [];

beforeEach(async () => {
  database = await createDatabase();
  provider = await IdentityProvider.open(await signingKey("first"));
});

afterEach(async () => {
  for (const each of open.splice(0).reverse()) await each[Symbol.asyncDispose]();
  await provider[Symbol.asyncDispose]();
  await database[Symbol.asyncDispose]();
});

async function serve(settings: Record<string, string> = {}): Promise<SecuredSite> {
  const site = await serveSecured("secondary", database, { ...provider.settings, ...settings });
  open.push(site);
  return site;
}

function tables(site: SecuredSite, token: string): Promise<string[]> {
  const { listTables } = createClient(CatalogService, site.connect(token));
  return listTables({}).then(({ tables }) => tables.map(({ name }) => name));
}

test("a token of the identity provider lets in whom it names, with its roles and for its tables", async () => {
  const site = await serve();
  await site.knows(await provider.token());
  expect((await tables(site, await provider.token())).length).toBeGreaterThan(5);
  const some = await provider.token({ opsdb_roles: "read write", opsdb_tables: ["weather_*"] });
  expect(await tables(site, some)).toEqual(["weather_samples"]);
  for (const opsdb_roles of [["write"], [], ["root"], undefined, 7])
    expect(await refusal(tables(site, await provider.token({ opsdb_roles })))).toMatchObject({
      code: "PermissionDenied",
      reason: "ACCESS_DENIED",
    });
  for (const opsdb_tables of [[], "", 7, { all: true }, null])
    expect(await refusal(tables(site, await provider.token({ opsdb_tables })))).toMatchObject({
      reason: "ACCESS_TOKEN_INVALID",
    });
});

test("roles and tables are found in claims of other names, nested ones too", async () => {
  const site = await serve({ JWT_ROLES_CLAIM: "realm_access.roles", JWT_TABLES_CLAIM: "https://example.org/tables" });
  const claims = { realm_access: { roles: ["read"] }, "https://example.org/tables": ["weather_samples"] };
  const token = await provider.token({ ...claims, opsdb_roles: [] });
  await site.knows(token);
  expect(await tables(site, token)).toEqual(["weather_samples"]);
});

test.each<[string, JWTPayload, string]>([
  ["of another issuer", { iss: "https://evil.example.org" }, "ACCESS_TOKEN_INVALID"],
  ["for another audience", { aud: "other" }, "ACCESS_TOKEN_INVALID"],
  ["without an audience", { aud: [] }, "ACCESS_TOKEN_INVALID"],
  ["that has expired", { exp: 1_000_000_000 }, "ACCESS_TOKEN_EXPIRED"],
  ["that does not expire", { exp: null as never }, "ACCESS_TOKEN_INVALID"],
  ["that does not hold yet", { nbf: 4_000_000_000 }, "ACCESS_TOKEN_INVALID"],
  ["of nobody", { sub: null as never }, "ACCESS_TOKEN_INVALID"],
  ["of an empty name", { sub: "" }, "ACCESS_TOKEN_INVALID"],
  ["of a name that is no text", { sub: 7 as never }, "ACCESS_TOKEN_INVALID"],
])("a token %s is refused", async (_, claims, reason) => {
  const site = await serve();
  await site.knows(await provider.token());
  expect(await refusal(tables(site, await provider.token(claims)))).toMatchObject({ code: "Unauthenticated", reason });
});

test("a forged token is refused: unsigned, changed, with another key, or with the public key as a secret", async () => {
  const site = await serve();
  const right = await provider.token();
  await site.knows(right);
  const claims = JSON.parse(Buffer.from(right.split(".")[1] ?? "", "base64url").toString()) as JWTPayload;
  const [head, , signature] = right.split(".");
  const admin = Buffer.from(JSON.stringify({ ...claims, opsdb_roles: ["admin"] })).toString("base64url");
  const [known] = provider.keys;
  const spki = await exportSPKI((await importJWK(known?.jwk ?? {})) as SigningKey["privateKey"]);
  const forged = {
    // First: what does not fit the keys makes the provider be asked, which is answered once in a while.
    "with a key that nobody has": await provider.token({}, await signingKey("other")),
    unsigned: new UnsecuredJWT(claims).encode(),
    "unsigned, with a signature": `${new UnsecuredJWT(claims).encode()}${signature}`,
    changed: `${head}.${admin}.${signature}`,
    "with another key of the same name": await provider.token({}, await signingKey("first")),
    "with the public key as a secret": await new SignJWT(claims)
      .setProtectedHeader({ alg: "HS256", kid: "first" })
      .sign(Buffer.from(spki)),
  };
  for (const [what, token] of Object.entries(forged))
    expect(await refusal(tables(site, token)), what).toMatchObject({
      code: "Unauthenticated",
      reason: "ACCESS_TOKEN_INVALID",
    });
  expect(site.logged.join("")).not.toContain(signature);
});

test("new keys of the provider are taken, and a withdrawn one no longer holds", async () => {
  const site = await serve();
  const before = await provider.token();
  await site.knows(before);
  const next = await signingKey("second", "RS256");
  provider.keys.push(next);
  await site.knows(await provider.token({}, next));
  await tables(site, before);
  provider.keys = [next];
  await eventually(
    () => refusal(tables(site, before)),
    ({ reason }) => reason === "ACCESS_TOKEN_INVALID",
  );
});

test("a new key of the provider's under the name of an old one is taken at once", async () => {
  const site = await serve({ JWT_KEYS_REFRESH_MS: "86400000" });
  await site.knows(await provider.token());
  provider.keys = [await signingKey("first")];
  expect((await tables(site, await provider.token())).length).toBeGreaterThan(5);
});

test("right after the provider was asked for one unknown key, a token of another is told to try again, not that it is invalid", async () => {
  const site = await serve({ JWT_KEYS_REFRESH_MS: "86400000" });
  await site.knows(await provider.token());
  expect(await refusal(tables(site, await provider.token({}, await signingKey("nobody's"))))).toMatchObject({
    reason: "ACCESS_TOKEN_INVALID",
  });
  const next = await signingKey("second");
  provider.keys.push(next);
  const transport = site.connect(await provider.token({}, next));
  const error: unknown = await createClient(CatalogService, transport)
    .listTables({})
    .catch((cause: unknown) => cause);
  expect(await refusal(Promise.reject(error))).toMatchObject({
    code: "Unavailable",
    reason: "ACCESS_TOKENS_UNAVAILABLE",
  });
  expect((error as ConnectError).findDetails(RetryInfoSchema)[0]?.retryDelay?.seconds).toBe(5n);
});

test("any number of unknown keys asks the provider seldom", async () => {
  const site = await serve({ JWT_KEYS_REFRESH_MS: "86400000" });
  await site.knows(await provider.token());
  const unknown = await provider.token({}, await signingKey("unknown"));
  const before = provider.asked;
  const { listTables } = createClient(CatalogService, site.connect(unknown));
  await Promise.allSettled(Array.from({ length: 200 }, () => listTables({})));
  expect(provider.asked - before).toBeLessThanOrEqual(2);
});

test("G7: while the provider is away its last keys hold, also after a restart; a token of a new key is told to try again", async () => {
  let site = await serve();
  const known = await provider.token();
  await site.knows(known);
  provider.away = true;
  const fresh = await provider.token({}, await signingKey("second"));
  const holds = async (): Promise<void> => {
    expect((await tables(site, known)).length).toBeGreaterThan(5);
    await eventually(
      () => refusal(tables(site, fresh)),
      ({ code, reason }) => code === "Unavailable" && reason === "ACCESS_TOKENS_UNAVAILABLE",
    );
  };
  await holds();
  await open.pop()?.[Symbol.asyncDispose]();
  site = await serve();
  await site.knows(known);
  await holds();
});

test("a watch ends when its token expires", async () => {
  const site = await serve();
  await site.knows(await provider.token());
  const token = await provider.token({ exp: Math.floor(Date.now() / 1000) + 2 });
  const { watchReplication } = createClient(ReplicationService, site.connect(token));
  expect(await refusal(Array.fromAsync(watchReplication({})))).toMatchObject({
    code: "Unauthenticated",
    reason: "ACCESS_TOKEN_EXPIRED",
  });
});
