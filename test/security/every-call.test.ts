import { create, type DescMethod, fromBinary, type MessageInitShape, toBinary, toJson } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { Client, credentials, Metadata, type ServiceError } from "@grpc/grpc-js";
import { afterAll, beforeAll, expect, test } from "vitest";
import { StatusSchema } from "../../gen/ts/google/rpc/status_pb.ts";
import { Consistency } from "../../gen/ts/opsdb/v1/query_pb.ts";
import { accessRule } from "../../src/rpc/access-rules.ts";
import { type Role, roles } from "../../src/security/caller.ts";
import { contractMethods } from "../support/contract-methods.ts";
import { eventually } from "../support/eventually.ts";
import { issueToken, type SecuredSite, serveSecured } from "../support/secured-site.ts";
import { errorInfo } from "../support/stub-server.ts";
import { createDatabase, type TestDatabase } from "../support/test-database.ts";

const methods = await contractMethods();
const nameOf = (method: DescMethod): string => `${method.parent.name}/${method.name}`;

const id = "11111111-2222-4333-8444-555555555555";
const motive = { operator: "night", reason: "test" };
const row = {
  table: "weather_samples",
  operation: {
    case: "insert" as const,
    value: {
      values: {
        station: { kind: { case: "stringValue" as const, value: "cerro" } },
        sampled_at: { kind: { case: "stringValue" as const, value: "2026-04-02T03:04:05Z" } },
        pwv_mm: { kind: { case: "doubleValue" as const, value: 0.42 } },
      },
    },
  },
};

/** A request that does something, and the sets of roles that let it through. A method that is not here fails its tests. */
const calls: Record<string, { request: MessageInitShape<DescMethod["input"]>; needs: Role[][] }> = {
  "WriteService/Write": { request: { mutations: [row] }, needs: [["write"]] },
  "WriteService/GetWrite": { request: { writeId: id }, needs: [["read"], ["write"]] },
  "WriteService/WatchWrites": { request: { heartbeat: { nanos: 200_000_000 } }, needs: [["read"]] },
  "QueryService/Query": { request: { table: "weather_samples", consistency: Consistency.LOCAL }, needs: [["read"]] },
  "ReplicationService/WatchReplication": { request: {}, needs: [["read"]] },
  "CatalogService/ListTables": { request: {}, needs: [["read"]] },
  "CatalogService/DescribeTable": { request: { table: "weather_samples" }, needs: [["read"]] },
  "AdminService/PauseDrain": { request: motive, needs: [["admin"]] },
  "AdminService/ResumeDrain": { request: motive, needs: [["admin"]] },
  "AdminService/ShowDrain": { request: {}, needs: [["admin"]] },
  "AdminService/ListRejectedWrites": { request: {}, needs: [["admin"]] },
  "AdminService/RetryWrite": { request: { writeId: id, ...motive }, needs: [["admin"]] },
  "AdminService/DiscardWrite": { request: { writeId: id, ...motive }, needs: [["admin"]] },
  "AdminService/AcknowledgeLoss": { request: motive, needs: [["admin"]] },
};

/** How a call ended: the name of its code, or that it goes on. */
interface Outcome {
  code: string;
  reason: string | undefined;
}

let database: TestDatabase;
let site: SecuredSite;
let client: Client;
const tokens: Record<string, string> = {};

beforeAll(async () => {
  database = await createDatabase();
  const issue = (init: Parameters<typeof issueToken>[1]): Promise<string> => issueToken(database.primaryUrl, init);
  for (const role of roles) tokens[role] = await issue({ roles: [role] });
  tokens.revoked = await issue({ roles: [...roles], revoked: true });
  tokens.expired = await issue({ roles: [...roles], expires_at: 1_000_000_000 });
  tokens.other = await issue({ roles: ["read", "write"], tables: ["files", "public.raw_*"] });
  tokens.wrong = `${tokens.read?.slice(0, -1)}${tokens.read?.endsWith("A") ? "B" : "A"}`;
  tokens.stranger = tokens.wrong.replace(/_\w{12}_/, "_000000000000_");
  tokens.malformed = "hunter2";
  await database.caughtUp();
  site = await serveSecured("secondary", database);
  for (const known of [...roles, "other"]) await site.knows(tokens[known] ?? "");
  client = new Client(new URL(site.baseUrl).host, credentials.createInsecure());
});

afterAll(async () => {
  client?.close();
  await site?.[Symbol.asyncDispose]();
  await database?.[Symbol.asyncDispose]();
});

test("every call of the contract has a rule and is tried here", () => {
  expect(methods.map(nameOf).sort()).toEqual(Object.keys(calls).sort());
  for (const method of methods) expect(accessRule(method), nameOf(method)).toBeDefined();
});

/** With the gRPC project's client; a stream counts as let through once it has brought something. */
function callGrpc(
  method: DescMethod,
  request: MessageInitShape<DescMethod["input"]>,
  token?: string,
): Promise<Outcome> {
  const bytes = Buffer.from(toBinary(method.input, create(method.input, request)));
  const metadata = new Metadata();
  if (token !== undefined) metadata.set("authorization", `Bearer ${token}`);
  const path = `/${method.parent.typeName}/${method.name}`;
  const same = (buffer: Buffer): Buffer => buffer;
  return new Promise((resolve) => {
    const end = (error: ServiceError | null): void =>
      resolve({ code: error ? (Code[error.code] ?? "") : "OK", reason: error ? errorInfo(error)?.reason : undefined });
    const options = { deadline: Date.now() + 20_000 };
    if (method.methodKind === "unary") {
      client.makeUnaryRequest(path, same, same, bytes, metadata, options, end);
      return;
    }
    const stream = client.makeServerStreamRequest(path, same, same, bytes, metadata, options);
    // A watch without news is as good as let through after its first heartbeat, and any other stream after its first answer.
    stream.on("data", () => stream.cancel());
    stream.on("error", (error: ServiceError) => end(error.code === 1 ? null : error));
    stream.on("end", () => end(null));
  });
}

/** Without any client: what the answer says in its own words. */
async function callHttp(
  method: DescMethod,
  request: MessageInitShape<DescMethod["input"]>,
  protocol: "Connect" | "gRPC-Web",
  token?: string,
): Promise<Outcome & { status: number; challenge: string | null }> {
  const message = create(method.input, request);
  const json = Buffer.from(JSON.stringify(toJson(method.input, message)));
  const [type, body] =
    protocol === "gRPC-Web"
      ? ["application/grpc-web+proto", envelope(Buffer.from(toBinary(method.input, message)))]
      : method.methodKind === "unary"
        ? ["application/json", json]
        : ["application/connect+json", envelope(json)];
  const response = await fetch(`${site.baseUrl}/${method.parent.typeName}/${method.name}`, {
    method: "POST",
    headers: { "content-type": type, ...(token === undefined ? {} : { authorization: `Bearer ${token}` }) },
    body: new Uint8Array(body),
  });
  const bytes = Buffer.from(await response.arrayBuffer());
  const facts = { status: response.status, challenge: response.headers.get("www-authenticate") };
  if (protocol === "gRPC-Web") {
    expect(bytes[0]).toBe(0x80);
    const trailers = new Headers(
      bytes
        .subarray(5)
        .toString()
        .trim()
        .split("\r\n")
        .map((line) => line.split(": ", 2) as [string, string]),
    );
    const details = fromBinary(StatusSchema, Buffer.from(trailers.get("grpc-status-details-bin") ?? "", "base64"));
    const reason = /[A-Z_]{5,}/.exec(Buffer.from(details.details[0]?.value ?? []).toString())?.[0];
    return { ...facts, code: Code[Number(trailers.get("grpc-status"))] ?? "", reason };
  }
  const text = method.methodKind === "unary" ? bytes : bytes.subarray(5);
  const parsed = JSON.parse(text.toString()) as { error?: ConnectJson } & ConnectJson;
  const { code, details } = parsed.error ?? parsed;
  const name = code
    .split("_")
    .map((word) => word[0]?.toUpperCase() + word.slice(1))
    .join("");
  return { ...facts, code: name, reason: details[0]?.debug.reason };
}

interface ConnectJson {
  code: string;
  details: { debug: { reason: string } }[];
}

function envelope(bytes: Uint8Array): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(bytes.byteLength, 1);
  return Buffer.concat([head, bytes]);
}

/** Everything that a call could have done: on main, and in the buffer. */
async function effects(): Promise<unknown> {
  const counts = await database.onPrimary(`
    select (select count(*) from weather_samples) as rows, (select count(*) from opsdb.ledger) as ledger,
           (select count(*) from opsdb.operator_action) as actions`);
  const { buffer, processor } = site.site.readStatus();
  return [counts, buffer?.pendingWrites, buffer?.retainedWrites, processor?.state.state === "PAUSED"];
}

/** Resolves when what was let in has arrived, or waits for a drain that was paused. */
async function quiet(): Promise<void> {
  await eventually(
    () => site.site.readStatus(),
    ({ buffer, processor }) => processor?.state.state === "PAUSED" || buffer?.overlayWrites === 0,
    { what: "that nothing is under way" },
  );
}

const everyMethod = methods.map((method) => [nameOf(method), method] as const);
const denials = [
  ["no token", undefined, "ACCESS_TOKEN_MISSING"],
  ["a wrong secret", "wrong", "ACCESS_TOKEN_INVALID"],
  ["an unknown token", "stranger", "ACCESS_TOKEN_INVALID"],
  ["what is no token", "malformed", "ACCESS_TOKEN_INVALID"],
  ["an expired token", "expired", "ACCESS_TOKEN_EXPIRED"],
  ["a revoked token", "revoked", "ACCESS_TOKEN_REVOKED"],
] as const;

test.each(everyMethod)(
  "%s is denied without a right token, in every protocol, and nothing is done",
  async (name, method) => {
    const before = await effects();
    const request = calls[name]?.request ?? {};
    for (const [what, key, reason] of denials) {
      const token = key && tokens[key];
      expect(await callGrpc(method, request, token), what).toEqual({ code: "Unauthenticated", reason });
      const web = await callHttp(method, request, "gRPC-Web", token);
      expect(web, what).toMatchObject({ code: "Unauthenticated", reason, status: 200 });
      const connect = await callHttp(method, request, "Connect", token);
      const http = method.methodKind === "unary" ? { status: 401, challenge: 'Bearer realm="opsdb"' } : { status: 200 };
      expect(connect, what).toMatchObject({ code: "Unauthenticated", reason, ...http });
    }
    expect(await effects()).toEqual(before);
  },
);

test.each(everyMethod)("%s goes through with its role, and with no other", async (name, method) => {
  const { request = {}, needs = [] } = calls[name] ?? {};
  const isAllowed = (role: Role): boolean => needs.some((needed) => needed.every((each) => each === role));
  for (const role of roles.toSorted((a, b) => Number(isAllowed(a)) - Number(isAllowed(b)))) {
    const allowed = isAllowed(role);
    const before = await effects();
    const outcome = await callGrpc(method, request, tokens[role]);
    if (allowed) {
      expect(["Unauthenticated", "PermissionDenied"], `${role}: ${outcome.reason}`).not.toContain(outcome.code);
      continue;
    }
    expect(outcome, role).toEqual({ code: "PermissionDenied", reason: "ACCESS_DENIED" });
    for (const protocol of ["Connect", "gRPC-Web"] as const)
      expect(await callHttp(method, request, protocol, tokens[role]), `${role} over ${protocol}`).toMatchObject({
        code: "PermissionDenied",
        reason: "ACCESS_DENIED",
      });
    expect(await effects()).toEqual(before);
  }
  await quiet();
});

/** What a token for other tables may still do: ask for what belongs to no table. */
const ofNoTable = ["WriteService/GetWrite", "ReplicationService/WatchReplication", "CatalogService/ListTables"];

test.each(everyMethod)(
  "%s is denied with a token for another table, unless it is of no table",
  async (name, method) => {
    const before = await effects();
    const request = calls[name]?.request ?? {};
    const outcome = await callGrpc(method, request, tokens.other);
    if (ofNoTable.includes(name)) {
      expect(["OK", "NotFound"]).toContain(outcome.code);
    } else {
      expect(outcome).toEqual({ code: "PermissionDenied", reason: "ACCESS_DENIED" });
      for (const protocol of ["Connect", "gRPC-Web"] as const)
        expect(await callHttp(method, request, protocol, tokens.other), protocol).toMatchObject({
          code: "PermissionDenied",
          reason: "ACCESS_DENIED",
        });
    }
    expect(await effects()).toEqual(before);
  },
);
