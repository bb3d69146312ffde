import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { describeEnvironment, exampleEnvironment } from "./cli/describe-environment.ts";
import { ConfigError, describeConfig, readConfig, readMainDatabase } from "./config.ts";
import { variables } from "./config-variables.ts";

const main = {
  SITE_TYPE: "main",
  SITE_NAME: "cologne",
  MAIN_DB_HOST: "db",
  MAIN_DB_USER: "opsdb",
  MAIN_DB_PASSWORD: "hunter2",
  MAIN_DB_NAME: "observatory",
};
const secondary = {
  ...main,
  SITE_TYPE: "secondary",
  SITE_NAME: "chile",
  LOCAL_DB_HOST: "127.0.0.1",
  LOCAL_DB_USER: "reader",
  LOCAL_DB_NAME: "observatory",
  REDIS_URL: "redis://:hunter3@127.0.0.1:6379/0",
};

function problems(env: Record<string, string>): string[] {
  try {
    readConfig(env);
  } catch (error) {
    if (error instanceof ConfigError) return error.problems.map((p) => p.variable);
    throw error;
  }
  return [];
}

test("the main site's local database is the main database unless it is said otherwise", () => {
  const config = readConfig({ ...main, MAIN_DB_PORT: "5433", LOCAL_DB_HOST: "read.db" });
  expect(config.local).toEqual({ ...config.main, host: "read.db", pool: 20 });
  expect(config.main).toMatchObject({ port: 5433, pool: 10 });
  expect(config.site).toEqual({ type: "main", name: "cologne", redisUrl: undefined });
});

test("a secondary site has a buffer and a processor with documented defaults", () => {
  const config = readConfig(secondary);
  expect(config.site).toMatchObject({
    type: "secondary",
    redisUrl: secondary.REDIS_URL,
    buffer: { maxWrites: 1_000_000, maxBytes: 1_073_741_824, retentionMs: 600_000, allowUnsafe: false },
    processor: { batchWrites: 500, batchBytes: 1_048_576, inFlight: 16, leaseMs: 5_000 },
  });
  expect(config.local).toMatchObject({ host: "127.0.0.1", port: 5432, user: "reader", password: undefined });
});

test("all problems are reported together", () => {
  expect(problems({})).toEqual([
    "SITE_TYPE",
    "SITE_NAME",
    "MAIN_DB_HOST",
    "MAIN_DB_USER",
    "MAIN_DB_NAME",
    "REDIS_URL",
    "LOCAL_DB_HOST",
    "LOCAL_DB_USER",
    "LOCAL_DB_NAME",
  ]);
  expect(
    problems({ ...secondary, SITE_NAME: "Chile", MAIN_DB_PORT: "0", LISTEN_ADDRESS: "8080", LOG_LEVEL: "loud" }),
  ).toEqual(["SITE_NAME", "MAIN_DB_PORT", "LISTEN_ADDRESS", "LOG_LEVEL"]);
});

test.each([
  ["127.0.0.1:0", { host: "127.0.0.1", port: 0 }],
  ["[::1]:8080", { host: "::1", port: 8080 }],
  ["db.example.org:65535", { host: "db.example.org", port: 65_535 }],
])("listens on %s", (LISTEN_ADDRESS, listen) => {
  expect(readConfig({ ...main, LISTEN_ADDRESS, ALLOW_INSECURE: "true" }).listen).toEqual(listen);
});

test.each(["::1:8080", "host:65536", "host:", ":8080", "host:x", "a b:1"])(
  "does not listen on %j",
  (LISTEN_ADDRESS) => {
    expect(problems({ ...main, LISTEN_ADDRESS })).toEqual(["LISTEN_ADDRESS"]);
  },
);

test.each([
  ["BUFFER_MAX_WRITES", "1e6"],
  ["BUFFER_MAX_WRITES", "-1"],
  ["BUFFER_MAX_WRITES", "1.5"],
  ["BUFFER_ALLOW_UNSAFE", "yes"],
  ["REDIS_URL", "http://127.0.0.1"],
  ["REDIS_URL", "127.0.0.1:6379"],
])("refuses %s=%s", (name, value) => {
  expect(problems({ ...secondary, [name]: value })).toEqual([name]);
});

test("an empty variable counts as not set", () => {
  expect(readConfig({ ...main, MAIN_DB_PASSWORD: "", LOG_LEVEL: "" })).toMatchObject({
    logLevel: "info",
    main: { password: undefined },
  });
});

test("no password is printed", () => {
  expect(JSON.stringify(describeConfig(readConfig(secondary)))).not.toMatch(/hunter/);
  expect(() => readConfig({ ...secondary, REDIS_URL: "http://:hunter3@x", MAIN_DB_PORT: "x" })).toThrow(
    expect.objectContaining({ message: expect.not.stringMatching(/hunter/) }),
  );
});

test("the configuration cannot be changed", () => {
  expect(Object.isFrozen(readConfig(secondary).main)).toBe(true);
});

test("the main database can be read alone", () => {
  expect(readMainDatabase(main)).toMatchObject({ host: "db", password: "hunter2" });
  expect(() => readMainDatabase({})).toThrow(ConfigError);
});

test("every variable is described, and .env.example is a configuration with all of them", () => {
  const file = readFileSync(new URL("../.env.example", import.meta.url), "utf8");
  expect(file).toBe(exampleEnvironment());
  const env = Object.fromEntries([...file.matchAll(/^#?([A-Z_]+)=(.*)$/gm)].map(([, name, value]) => [name, value]));
  expect(Object.keys(env)).toEqual(variables.map((v) => v.name));
  expect(readConfig(env).site.type).toBe("secondary");
  for (const { name } of variables) expect(describeEnvironment()).toContain(name);
});
