import { copyFileSync, writeFileSync } from "node:fs";
import * as https from "node:https";
import { connect as connectTcp } from "node:net";
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from "node:tls";
import { create, toBinary } from "@bufbuild/protobuf";
import { type Client, Code, ConnectError, createClient } from "@connectrpc/connect";
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
  Http2SessionManager,
} from "@connectrpc/connect-node";
import { type ChannelCredentials, credentials, Client as GrpcJsClient, status } from "@grpc/grpc-js";
import { Registry } from "prom-client";
import { describe, expect, test } from "vitest";
import { CatalogService } from "../../gen/ts/opsdb/v1/catalog_service_pb.ts";
import { ReplicationService } from "../../gen/ts/opsdb/v1/replication_service_pb.ts";
import { WriteRequestSchema } from "../../gen/ts/opsdb/v1/write_pb.ts";
import { createLogger } from "../../src/lib/logger.ts";
import { createServer, defaultLimits } from "../../src/rpc/server.ts";
import { CertificateFiles } from "../../src/security/certificate-files.ts";
import { Authority, withoutOpenssl } from "../support/certificates.ts";
import { contractMethods } from "../support/contract-methods.ts";
import { eventually } from "../support/eventually.ts";
import { SiteStub } from "../support/site-stub.ts";

const insert = {
  table: "files",
  operation: {
    case: "insert" as const,
    value: { values: { id: { kind: { case: "stringValue" as const, value: "a" } } } },
  },
};
const access = { reflection: "open", health: "open", metrics: "open" } as const;

/** A TLS port in front of a stub, whose certificates lie in files. */
async function serve({ clientCa }: { clientCa?: Authority } = {}) {
  const stack = new AsyncDisposableStack();
  const authority = stack.use(new Authority());
  const { certFile, keyFile } = authority.server();
  const site = new SiteStub();
  const logged: string[] = [];
  const logger = createLogger({ level: "info", destination: { write: (line) => void logged.push(line) } });
  const files = new CertificateFiles({ certFile, keyFile, clientCaFile: clientCa?.certFile }, logger);
  const security = { certificates: files.current, authenticator: undefined, access };
  const server = createServer({ site, limits: defaultLimits, logger, registry: new Registry(), security });
  const { port } = await server.listen({ host: "127.0.0.1", port: 0 });
  stack.defer(() => server.close(0));
  return {
    authority,
    certFile,
    keyFile,
    site,
    logged,
    files,
    server,
    port,
    url: `https://localhost:${port}`,
    /** The service's own kind of client. */
    catalog(options: ConnectionOptions = {}): Client<typeof CatalogService> {
      const baseUrl = `https://localhost:${port}`;
      const session = new Http2SessionManager(baseUrl, undefined, { ca: authority.cert, ...options });
      stack.defer(() => session.abort());
      return createClient(
        CatalogService,
        createGrpcTransport({ baseUrl, sessionManager: session, defaultTimeoutMs: 5_000 }),
      );
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

async function codeOf(call: Promise<unknown>): Promise<string> {
  return await call.then(
    () => "OK",
    (error: unknown) => Code[ConnectError.from(error).code] ?? "",
  );
}

/** Every call of the contract on a connection of its own, with the gRPC project's client; answers their codes, each once. */
async function callAll(port: number, how: ChannelCredentials): Promise<string[]> {
  const insertion = Buffer.from(toBinary(WriteRequestSchema, create(WriteRequestSchema, { mutations: [insert] })));
  const same = (bytes: Buffer): Buffer => bytes;
  const codes = new Set<string>();
  for (const { parent, name } of await contractMethods()) {
    const client = new GrpcJsClient(`localhost:${port}`, how);
    const call = client.makeServerStreamRequest(`/${parent.typeName}/${name}`, same, same, insertion, {
      deadline: Date.now() + 10_000,
    });
    codes.add(
      await new Promise<string>((resolve) => {
        call.on("data", () => resolve("an answer"));
        call.on("status", ({ code }: { code: number }) => resolve(status[code] ?? ""));
        call.on("error", () => {}); // the status tells
      }),
    );
    client.close();
  }
  return [...codes];
}

/** Everything that was asked of the site. */
function asked({ writes, queries, operator, open }: SiteStub): unknown[] {
  return [...writes, ...queries, ...operator.motives, ...operator.listed, ...(open.version > 0 ? ["something"] : [])];
}

/** The certificate that the port shows to a new connection. */
async function shown(port: number, ca: string): Promise<string> {
  const socket = await handshake({ port, host: "localhost", ca });
  const { serialNumber } = socket.getPeerCertificate();
  socket.destroy();
  return serialNumber;
}

function handshake(options: ConnectionOptions): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const socket = connectTls(options, () => resolve(socket));
    socket.once("error", reject);
  });
}

/** What comes back for bytes in plaintext, until the other side closes. */
function sayInPlaintext(port: number, bytes: string): Promise<Buffer> {
  return new Promise((resolve) => {
    const socket = connectTcp(port, "127.0.0.1", () => socket.write(bytes));
    const heard: Buffer[] = [];
    socket.on("data", (chunk) => heard.push(chunk));
    socket.on("error", () => {});
    socket.on("close", () => resolve(Buffer.concat(heard)));
  });
}

describe.skipIf(withoutOpenssl)("with openssl to make certificates", () => {
  test("every protocol is spoken with TLS on the one port", async () => {
    await using it = await serve();
    const { authority, url, port } = it;
    const insecure = { baseUrl: url, httpVersion: "1.1" as const, nodeOptions: { ca: authority.cert } };
    const transports = [
      createConnectTransport(insecure),
      createGrpcWebTransport(insecure),
      createConnectTransport({ ...insecure, httpVersion: "2" }),
    ];
    for (const transport of transports)
      expect((await createClient(CatalogService, transport).listTables({})).tables).toHaveLength(1);
    expect((await it.catalog().listTables({})).tables).toHaveLength(1);
    const grpcJs = new GrpcJsClient(`localhost:${port}`, credentials.createSsl(Buffer.from(authority.cert)));
    const same = (bytes: Buffer): Buffer => bytes;
    const answer = await new Promise((resolve) => {
      grpcJs.makeUnaryRequest("/opsdb.v1.CatalogService/ListTables", same, same, Buffer.alloc(0), (error, bytes) =>
        resolve(error ?? bytes?.toString()),
      );
    });
    grpcJs.close();
    expect(answer).toContain("files");
    const metrics = await new Promise((resolve, reject) => {
      https
        .get(`${url}/metrics`, { ca: authority.cert }, (response) => resolve(response.statusCode))
        .on("error", reject);
    });
    expect(metrics).toBe(200);
  });

  test("a plaintext connection to the TLS port is closed without an answer, and no call comes through it", async () => {
    await using it = await serve();
    const http2 = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    const http1 = "POST /opsdb.v1.WriteService/Write HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}";
    for (const bytes of [http1, http2, "hello\n"]) {
      const heard = await sayInPlaintext(it.port, bytes);
      // At most a TLS alert, never a word of HTTP.
      expect(heard.length === 0 || heard[0] === 0x15, heard.toString()).toBe(true);
    }
    expect(await callAll(it.port, credentials.createInsecure())).toEqual(["UNAVAILABLE"]);
    expect(asked(it.site)).toEqual([]);
    expect(it.logged.join("")).toContain("a connection was refused");
    expect((await it.catalog().listTables({})).tables).toHaveLength(1);
  });

  test("TLS 1.1 is refused, and 1.2 is taken", async () => {
    await using it = await serve();
    const options = { port: it.port, host: "localhost", ca: it.authority.cert };
    const old = { ...options, minVersion: "TLSv1", maxVersion: "TLSv1.1", ciphers: "DEFAULT@SECLEVEL=0" } as const;
    await expect(handshake(old)).rejects.toThrow();
    const socket = await handshake({ ...options, maxVersion: "TLSv1.2", ALPNProtocols: ["h2", "http/1.1"] });
    expect([socket.getProtocol(), socket.alpnProtocol]).toEqual(["TLSv1.2", "h2"]);
    socket.destroy();
  });

  test("with client certificates, only one that the authority has signed is let in", async () => {
    using clients = new Authority("clients");
    using others = new Authority("clients");
    await using it = await serve({ clientCa: clients });
    const right = clients.client("guiding camera");
    const wrong = others.client("guiding camera");
    expect(await codeOf(it.catalog({ cert: right.cert, key: right.key }).listTables({}))).toBe("OK");
    const root = Buffer.from(it.authority.cert);
    const withCertificate = ({ cert, key }: { cert: string; key: string }) =>
      credentials.createSsl(root, Buffer.from(key), Buffer.from(cert));
    expect(await callAll(it.port, credentials.createSsl(root)), "no certificate").toEqual(["UNAVAILABLE"]);
    expect(await callAll(it.port, withCertificate(wrong)), "another authority").toEqual(["UNAVAILABLE"]);
    expect(asked(it.site)).toEqual([]);
    expect(await callAll(it.port, withCertificate(right)), "the right one").toContain("an answer");
    expect(it.site.writes).toHaveLength(1);
  });

  test("a changed certificate is shown to new connections, and those that exist go on", async () => {
    await using it = await serve();
    const { authority, port } = it;
    const standing = it.catalog();
    await standing.listTables({});
    const before = await shown(port, authority.cert);
    const next = authority.server();
    writeFileSync(it.certFile, next.cert.slice(0, 100)); // half written
    expect(it.files.look()).toBeUndefined();
    copyFileSync(next.certFile, it.certFile);
    expect(it.files.look(), "a certificate with another's key").toBeUndefined();
    expect(await shown(port, authority.cert)).toBe(before);
    copyFileSync(next.keyFile, it.keyFile);
    const changed = it.files.look();
    expect(changed).toBeDefined();
    if (changed) it.server.useCertificates(changed);
    expect(await shown(port, authority.cert)).not.toBe(before);
    expect((await standing.listTables({})).tables).toHaveLength(1);
  });

  test("shutting down with TLS ends watches with their reason, and waits for no half-made connection", async () => {
    await using it = await serve();
    const session = new Http2SessionManager(it.url, undefined, { ca: it.authority.cert });
    const transport = createGrpcTransport({ baseUrl: it.url, sessionManager: session });
    const watch = createClient(ReplicationService, transport).watchReplication({})[Symbol.asyncIterator]();
    await watch.next();
    const half = connectTcp(it.port, "127.0.0.1");
    half.on("error", () => {});
    const halfClosed = new Promise((resolve) => half.once("close", resolve));
    await new Promise((resolve) => half.once("connect", resolve));
    await eventually(async () => (await it.catalog().listTables({})).tables.length === 1);
    const closing = it.server.close(20_000);
    await expect(watch.next()).rejects.toThrow(/shutting down/);
    await halfClosed;
    session.abort();
    await closing;
  });

  test("files that cannot be used are told at the start", () => {
    using authority = new Authority();
    const { certFile, keyFile } = authority.server();
    const logger = createLogger({ level: "silent" });
    const open = (files: { certFile: string; keyFile: string; clientCaFile?: string }) => () =>
      new CertificateFiles({ clientCaFile: undefined, ...files }, logger);
    expect(open({ certFile: "/nowhere", keyFile })).toThrow(/^TLS_CERT_FILE cannot be read: ENOENT/);
    expect(open({ certFile: authority.certFile, keyFile })).toThrow(/are not a certificate with its key/);
    expect(open({ certFile, keyFile, clientCaFile: keyFile })).toThrow(/^TLS_CLIENT_CA_FILE .* holds no certificate/);
    expect(open({ certFile, keyFile })).not.toThrow();
  });
});
