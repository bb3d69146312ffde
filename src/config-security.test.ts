import { expect, test } from "vitest";
import { ConfigError, readConfig } from "./config.ts";

const base = {
  SITE_TYPE: "main",
  SITE_NAME: "cologne",
  MAIN_DB_HOST: "db",
  MAIN_DB_USER: "opsdb",
  MAIN_DB_NAME: "observatory",
};
const tls = { TLS_CERT_FILE: "/c", TLS_KEY_FILE: "/k" };
const jwt = { JWT_KEYS: "https://login.example.org/certs", JWT_ISSUER: "i", JWT_AUDIENCE: "a" };

function problems(env: Record<string, string>): string[] {
  try {
    readConfig({ ...base, ...env });
  } catch (error) {
    if (error instanceof ConfigError) return error.problems.map((p) => `${p.variable} ${p.problem}`);
    throw error;
  }
  return [];
}

const everywhere = { LISTEN_ADDRESS: "0.0.0.0:8080" };

test.each(["127.0.0.1:1", "127.9.9.9:1", "localhost:1", "[::1]:1"])(
  "on %s anybody may come in unless it is said otherwise",
  (LISTEN_ADDRESS) => {
    expect(readConfig({ ...base, LISTEN_ADDRESS }).security).toEqual({
      tls: undefined,
      auth: undefined,
      access: { reflection: "open", health: "open", metrics: "open" },
    });
  },
);

test.each<[string, Record<string, string>, RegExp[]]>([
  ["plaintext without tokens", {}, [/^TLS_CERT_FILE .*ALLOW_INSECURE=true/, /^AUTH .*ALLOW_INSECURE=true/]],
  ["plaintext with tokens", { AUTH: "on" }, [/^TLS_CERT_FILE /]],
  ["TLS that says nothing of tokens", tls, [/^AUTH is not set/]],
  ["TLS without any authentication", { ...tls, AUTH: "off" }, [/^AUTH is off.*TLS_CLIENT_CA_FILE/]],
])("beyond loopback the service does not start with %s, and says what to set", (_, env, expected) => {
  for (const LISTEN_ADDRESS of ["0.0.0.0:8080", "[::]:8080", "opsdb.example.org:8080", "128.0.0.1:1"])
    expect(problems({ LISTEN_ADDRESS, ...env })).toEqual(expected.map((each) => expect.stringMatching(each)));
});

test.each<[string, Record<string, string>]>([
  ["TLS and tokens", { ...tls, AUTH: "on" }],
  ["TLS and client certificates", { ...tls, AUTH: "off", TLS_CLIENT_CA_FILE: "/ca" }],
  ["the one switch", { ALLOW_INSECURE: "true" }],
])("beyond loopback the service starts with %s", (_, env) => {
  expect(problems({ ...everywhere, ...env })).toEqual([]);
});

test.each<[Record<string, string>, string]>([
  [{ TLS_CERT_FILE: "/c" }, "TLS_KEY_FILE"],
  [{ TLS_KEY_FILE: "/k" }, "TLS_CERT_FILE"],
  [{ TLS_CLIENT_CA_FILE: "/ca" }, "TLS_CERT_FILE"],
  [{ AUTH: "on", ...jwt, JWT_ISSUER: "" }, "JWT_ISSUER"],
  [{ AUTH: "on", ...jwt, JWT_AUDIENCE: "" }, "JWT_AUDIENCE"],
  [{ AUTH: "on", ...jwt, JWT_KEYS: "http://login.example.org/certs" }, "JWT_KEYS"],
  [{ METRICS_ACCESS: "token" }, "METRICS_ACCESS"],
  [{ AUTH: "yes" }, "AUTH"],
])("%j is told as a problem of %s", (env, variable) => {
  expect(problems(env)).toEqual([expect.stringMatching(`^${variable} `)]);
});

test("with tokens, reflection and metrics need one, and health does not", () => {
  const { access, auth } = readConfig({ ...base, AUTH: "on", ...jwt }).security;
  expect(access).toEqual({ reflection: "token", health: "open", metrics: "token" });
  expect(auth?.jwt).toMatchObject({ issuer: "i", audience: "a", rolesClaim: "opsdb_roles", clockToleranceMs: 30_000 });
});
