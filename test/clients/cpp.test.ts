import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { text } from "../../demo/values.ts";
import { equals, SiteCaller } from "../e2e/site-caller.ts";
import { eventually } from "../support/eventually.ts";
import { removeAtEnd } from "../support/janitor.ts";
import { Link } from "../support/link.ts";
import { sql } from "../support/sql.ts";
import { needTools } from "../support/tools.ts";
import { startTwoSite, type TwoSite } from "../support/two-site.ts";
import { createCertificates } from "./certificates.ts";
import { buildCpp, compile, compileMs, cppBuild, needCpp, projectRoot } from "./cpp-build.ts";
import { DevUp } from "./dev-up.ts";
import { SampleWriter } from "./sample-writer.ts";

const run = promisify(execFile);

let sites: TwoSite;
let caller: SiteCaller;

beforeAll(async () => {
  sites = await startTwoSite();
  caller = new SiteCaller(sites.secondary);
});

afterAll(async () => {
  caller?.[Symbol.dispose]();
  await sites?.[Symbol.asyncDispose]();
});

test("the C++ client keeps its promises to a server that does its worst", { timeout: compileMs }, async ({ skip }) => {
  needCpp(skip);
  const [openssl] = needTools(["openssl"], skip);
  await buildCpp();
  const certificates = join(projectRoot, ".tmp", "certificates");
  mkdirSync(certificates, { recursive: true });
  await createCertificates(openssl, certificates, "opsdb.test");
  const env = { ...process.env, OPSDB_TEST_CERTIFICATES: certificates, GRPC_VERBOSITY: "NONE" };
  const { stdout } = await run(join(cppBuild, "opsdb-checks"), { env }).catch((error: { stdout: string }) => error);
  expect(stdout.split("\n").filter((line) => !line.startsWith("ok "))).toEqual(["25 held, 0 failed", ""]);
});

test("G2 G3: lost acknowledgements, cuts and killed servers: each of 600 writes of the C++ client arrives once and in order", {
  timeout: compileMs,
}, async ({ skip }) => {
  needCpp(skip);
  await buildCpp();
  await using link = new Link();
  const [host = "", port] = sites.secondary.grpc.split(":");
  const far = await link.forward({ host, port: Number(port) });
  await using writer = new SampleWriter(`${far.host}:${far.port}`, "faults");

  writer.begin(100);
  await writer.all();

  // The request arrives, its answer is lost, and the connection breaks.
  await loseAnAnswer(link, writer);
  link.heal();
  await writer.all();
  expect(duplicates(writer)).toBe(1);

  // The same, and the server that has stored the write is killed before it is asked again.
  await loseAnAnswer(link, writer);
  await sites.secondary.kill();
  link.heal();
  await sites.secondary.start();
  await writer.all();
  expect(duplicates(writer)).toBe(2);

  writer.begin(100);
  await writer.further(20);
  link.cut();
  await eventually(
    () => link.status.connections,
    (open) => open === 0,
  );
  link.heal();
  await writer.all();

  writer.begin(100);
  await writer.further(20);
  await sites.secondary.kill();
  await sites.secondary.start();
  await writer.all();

  writer.begin(100);
  await writer.further(20);
  await sites.secondary.restart();
  await writer.all();

  expect(writer.acknowledged.map(({ n }) => n)).toEqual(Array.from({ length: 600 }, (_, n) => n));
  await caller.home(writer.acknowledged.at(-1)?.writeId);
  const rows = await sql<{ remark: string }>(
    sites.urls.main,
    "select remark from executed_obs_units where observer = 'faults' order by remark::int",
  );
  expect(rows.map(({ remark }) => remark)).toEqual(Array.from({ length: 600 }, (_, n) => String(n)));
  const ledger = await sql<{ write_id: string; outcome: string }>(
    sites.urls.main,
    "select write_id, outcome from opsdb.ledger where write_id = any($1) order by split_part(position, '-', 1)::bigint, split_part(position, '-', 2)::bigint",
    [writer.acknowledged.map(({ writeId }) => writeId)],
  );
  expect(ledger).toEqual(writer.acknowledged.map(({ writeId }) => ({ write_id: writeId, outcome: "APPLIED" })));
});

test("a project of its own finds the installed C++ client with find_package", { timeout: compileMs }, async ({
  skip,
}) => {
  needCpp(skip);
  await buildCpp();
  const [prefix, build] = [`${cppBuild}-installed`, `${cppBuild}-consumer`];
  await compile("cmake", ["--install", cppBuild, "--prefix", prefix]);
  await compile("cmake", ["-S", "clients/cpp/example", "-B", build, "-D", `CMAKE_PREFIX_PATH=${prefix}`]);
  await compile("cmake", ["--build", build]);
  const { stdout } = await run(join(build, "record-observation"), [sites.secondary.grpc]);
  expect(stdout).toContain("outcome REPLICATED\n");
});

test("the commands of the C++ client's README lead from nothing to a replicated write", {
  timeout: compileMs,
}, async ({ skip }) => {
  needCpp(skip);
  needTools(["apt-get"], skip);
  const commands = readmeCommands();
  expect(commands.length).toBeLessThanOrEqual(5);
  await using up = new DevUp();
  let told = "";
  for (const command of commands) {
    if (command === "./dev up") await up.start();
    else told = await shell(command.replace("127.0.0.1:45587", up.secondary));
  }
  expect(told).toMatch(/^accepted .* with 4 rows\n(.*\n)*outcome REPLICATED\nrefused INVALID_VALUE .*\n$/);
});

test("the code in the C++ client's README compiles", { timeout: compileMs }, async ({ skip }) => {
  needCpp(skip);
  await buildCpp();
  const [code = ""] = readmeBlocks("cpp");
  const [include = "", ...body] = code.split("\n");
  const unit = [
    include,
    "template <class... T> void use(T&&...) {}",
    "void readme(const opsdb::Uuid& instrument) {",
    ...body,
    "}",
  ];
  const source = join(cppBuild, "readme.cc");
  writeFileSync(source, unit.join("\n"));
  const includes = ["-I", join(projectRoot, "clients/cpp/include"), "-isystem", join(cppBuild, "generated")];
  await compile("g++", ["-std=c++17", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", ...includes, source]);
});

/** Resolves when the server has stored a write whose answer does not reach the client. */
async function loseAnAnswer(link: Link, writer: SampleWriter): Promise<void> {
  link.cut({ mode: "blackhole", direction: "from-main" });
  const stored = writer.acknowledged.length + 1;
  writer.begin(100);
  await eventually(
    async () => (await caller.query("executed_obs_units", { columns: ["id"], where: byObserver })).rows.length,
    (rows) => rows === stored,
    { what: "that the write without an answer is stored" },
  );
}

const byObserver = equals("observer", text("faults"));

function duplicates({ acknowledged }: SampleWriter): number {
  return acknowledged.filter(({ duplicate }) => duplicate).length;
}

/** Blocks of this language in the README, in order. */
function readmeBlocks(language: string): string[] {
  const text = readFileSync(join(projectRoot, "clients", "cpp", "README.md"), "utf8");
  return [...text.matchAll(new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\``, "gms"))].map(([, block = ""]) => block);
}

function readmeCommands(): string[] {
  const [block = ""] = readmeBlocks("sh");
  return block.replaceAll("\\\n", "").trim().split("\n");
}

/** Runs a command as a reader would; one that wants sudo is only simulated where this is not root already. */
async function shell(command: string): Promise<string> {
  const directory = mkdtempSync(join(tmpdir(), "opsdb-sudo-"));
  removeAtEnd(directory);
  const sudo = '#!/bin/sh\nif [ "$(id -u)" = 0 ]; then exec "$@"; fi\nshift\nexec apt-get --simulate "$@"\n';
  writeFileSync(join(directory, "sudo"), sudo, { mode: 0o755 });
  writeFileSync(join(directory, "apt.conf"), 'DPkg::Lock::Timeout "300";\n');
  const env = {
    ...process.env,
    PATH: `${directory}:${process.env.PATH}`,
    APT_CONFIG: join(directory, "apt.conf"),
    DEBIAN_FRONTEND: "noninteractive",
  };
  return (await run("sh", ["-c", command], { cwd: projectRoot, env, timeout: compileMs })).stdout;
}
