import { readFileSync } from "node:fs";
import type { SecureClientSessionOptions } from "node:http2";
import type { Interceptor, Transport } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import type { Environment } from "../config.ts";
import { UsageError } from "./command.ts";
import type { OptionValues } from "./options.ts";

/** A connection to a site's server, made with its first call. */
export interface SiteConnection extends Disposable {
  /** host:port, for messages. */
  readonly server: string;
  readonly transport: Transport;
}

/** A call that is not answered in this time is given up, milliseconds; `timeoutMs: 0` of a call that has no end lifts it. */
const CALL_MS = 30_000;

/** Opens the connection that the options or the environment name. Throws UsageError. */
export function connectSite(options: OptionValues, env: Environment): SiteConnection {
  const server = options.server ?? (env.OPSDB_SERVER || "127.0.0.1:8080");
  const tls = tlsOptions(options, env);
  const baseUrl = `${tls ? "https" : "http"}://${server}`;
  if (!/^[^/@]+:\d{1,5}$/.test(server) || !URL.canParse(baseUrl))
    throw new UsageError(`--server is host:port, not ${JSON.stringify(server)}`);
  const token = readToken(options, env);
  const session = new Http2SessionManager(baseUrl, { pingIntervalMs: 10_000, pingTimeoutMs: 5_000 }, tls);
  return {
    server,
    transport: createGrpcTransport({
      baseUrl,
      sessionManager: session,
      defaultTimeoutMs: CALL_MS,
      interceptors: token === undefined ? [] : [bearer(token)],
    }),
    [Symbol.dispose]: () => session.abort(),
  };
}

/** Undefined: plaintext. A certificate authority or a certificate of one's own says TLS as well. */
function tlsOptions(options: OptionValues, env: Environment): SecureClientSessionOptions | undefined {
  const ca = options.ca ?? (env.OPSDB_CA || undefined);
  const cert = options.cert ?? (env.OPSDB_CERT || undefined);
  const key = options.key ?? (env.OPSDB_KEY || undefined);
  if ((cert === undefined) !== (key === undefined)) throw new UsageError("--cert and --key go together");
  if (!options.tls && env.OPSDB_TLS !== "true" && ca === undefined && cert === undefined) return undefined;
  return {
    ...(ca === undefined ? {} : { ca: read(ca, "--ca") }),
    ...(cert === undefined || key === undefined ? {} : { cert: read(cert, "--cert"), key: read(key, "--key") }),
  };
}

/** A token never comes from the command line itself, where every user of the machine could see it. */
function readToken(options: OptionValues, env: Environment): string | undefined {
  const file = options["token-file"];
  const token = (file === undefined ? env.OPSDB_TOKEN : read(file, "--token-file"))?.trim();
  if (token === undefined || token === "") return undefined;
  if (!/^[\x21-\x7e]+$/.test(token)) throw new UsageError("the token has characters that no token has");
  return token;
}

function read(path: string, option: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    throw new UsageError(`${option}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
}

function bearer(token: string): Interceptor {
  return (next) => (request) => {
    request.header.set("authorization", `Bearer ${token}`);
    return next(request);
  };
}
