import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { sql } from "../support/sql.ts";
import { needPython, needTools, toolEnv } from "../support/tools.ts";
import { startTwoSite, type TwoSite } from "../support/two-site.ts";
import { buildCpp, compileMs, cppBuild, needCpp, projectRoot } from "./cpp-build.ts";

/** What an example tells that it has seen. */
interface Story {
  writeId: string | undefined;
  /** Station, time and water vapour of each row of the merged read. */
  read: (string | undefined)[][];
  /** The last state that was told while the write was followed. */
  followedTo: string | undefined;
  outcome: string | undefined;
  /** Reason and field. */
  refused: string | undefined;
}

const run = promisify(execFile);

let sites: TwoSite;

beforeAll(async () => {
  sites = await startTwoSite({ roundTripMs: 20 });
});

afterAll(async () => {
  await sites?.[Symbol.asyncDispose]();
});

test("the session with grpcurl", async ({ skip }) => {
  needTools(["grpcurl"], skip);
  await holds("grpcurl", session(await example("examples/shell/grpcurl.sh", ["grpcurl"])));
});

test("the session with curl", async ({ skip }) => {
  needTools(["curl", "od"], skip);
  await holds("curl", session(await example("examples/shell/curl.sh", ["curl"])));
});

test("the Python example", async ({ skip }) => {
  const python = needPython(skip);
  await holds("python", story(await example(python, ["python"], "examples/python/record_sample.py")));
});

test("the TypeScript example", async () => {
  await holds(
    "typescript",
    story(await example(process.execPath, ["typescript"], "examples/typescript/record-sample.ts")),
  );
});

test("the Go example, with stubs made from the contract", { timeout: compileMs }, async ({ skip }) => {
  const [go] = needTools(["go", "protoc-gen-go", "protoc-gen-go-grpc"], skip);
  const built = join(projectRoot, ".tmp", "go", "record-sample");
  const env = toolEnv();
  env.PATH = `${join(projectRoot, "node_modules", ".bin")}:${env.PATH}`;
  const options = { cwd: join(projectRoot, "examples", "go"), env, timeout: compileMs };
  await run(go, ["generate"], options);
  await run(go, ["build", "-o", built, "."], options);
  await holds("go", story(await example(built, ["go"])));
});

test("the C++ example", { timeout: compileMs }, async ({ skip }) => {
  needCpp(skip);
  await buildCpp();
  const told = await example(join(cppBuild, "record-observation"), ["an observer"]);
  const observation = told.match(/^observation (\S+)$/m)?.[1];
  expect(story(told)).toEqual({
    writeId: told.match(/^accepted (\S+) with 4 rows$/m)?.[1],
    read: [
      ["hfa.fits", "3145728", undefined],
      ["lfa.fits", "4194304", undefined],
    ],
    followedTo: "REPLICATED",
    outcome: "REPLICATED",
    refused: 'INVALID_VALUE mutations[0].insert.values["mean_pwv_mm"]',
  });
  await appliedOnMain(story(told));
  const executed = await sql(
    sites.urls.main,
    `select e.id, e.status, e.mean_pwv_mm::text, e.tau, e.module_numbers, e.conditions, e.end_time - e.start_time >= '45 minutes' lasted,
            p.name package, array_agg(f.name || ' ' || f.size_bytes order by f.name) files
     from executed_obs_units e
     join raw_data_packages p on p.executed_obs_unit_id = e.id
     join raw_data_files f on f.raw_data_package_id = p.id and f.executed_obs_unit_id = e.id
     where e.observer = 'an observer' group by e.id, p.id`,
  );
  expect(executed).toEqual([
    {
      id: observation,
      status: "COMPLETED",
      mean_pwv_mm: "0.480",
      tau: 0.031,
      module_numbers: [1, 2],
      conditions: { wind_m_s: 4.5, sky: "clear" },
      lasted: true,
      package: `${observation}.tar`,
      files: ["hfa.fits 3145728", "lfa.fits 4194304"],
    },
  ]);
});

/** Runs an example with the secondary site's address, and gives what it prints. */
async function example(command: string, more: string[], ...script: string[]): Promise<string> {
  // The Python client is taken from this checkout.
  const env = toolEnv({ PYTHONPATH: join(projectRoot, "clients", "python", "src") });
  const options = { cwd: projectRoot, env, timeout: 25_000 };
  return (await run(command, [...script, sites.secondary.grpc, ...more], options)).stdout;
}

/** The story is right, and main has exactly the row that was read. */
async function holds(station: string, told: Story): Promise<void> {
  expect(told).toEqual({
    writeId: expect.stringMatching(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/),
    read: [[station, expect.any(String), "0.42"]],
    followedTo: "REPLICATED",
    outcome: "REPLICATED",
    refused: 'INVALID_VALUE mutations[0].insert.values["sampled_at"]',
  });
  await appliedOnMain(told);
  const rows = await sql(
    sites.urls.main,
    "select sampled_at = $2::timestamptz as same_time, pwv_mm from weather_samples where station = $1",
    [station, told.read[0]?.[1]],
  );
  expect(rows).toEqual([{ same_time: true, pwv_mm: 0.42 }]);
}

async function appliedOnMain({ writeId }: Story): Promise<void> {
  const ledger = await sql(sites.urls.main, "select outcome from opsdb.ledger where write_id = $1", [writeId]);
  expect(ledger).toEqual([{ outcome: "APPLIED" }]);
}

/** Of a program that tells it in lines. */
function story(told: string): Story {
  const lines = told.split("\n").map((line) => line.split(" "));
  const all = (word: string): string[][] => lines.filter(([first]) => first === word).map(([, ...rest]) => rest);
  return {
    writeId: all("accepted")[0]?.[0],
    read: all("read").map(([station, at, vapour]) => [station, at, vapour]),
    followedTo: all("is").at(-1)?.join(" "),
    outcome: all("outcome")[0]?.join(" "),
    refused: all("refused")[0]?.join(" "),
  };
}

/** Of a session that prints JSON under a heading for each step. */
function session(told: string): Story {
  const [, insert = "", read = "", follow = "", outcome = "", refused = ""] = told.split(/^# /m);
  const field = (text: string, name: string): string[] =>
    [...text.matchAll(new RegExp(`"${name}": ?"?((?:[^"\\\\,}\\s]|\\\\.)+)`, "g"))].map(([, value = ""]) =>
      value.replaceAll('\\"', '"'),
    );
  const writeStates = (text: string): string[] =>
    field(text, "state").flatMap((state) => state.match(/^WRITE_STATE_(\w+)$/)?.[1] ?? []);
  const stations = field(read, "stringValue");
  return {
    writeId: field(insert, "writeId")[0],
    read: stations.map((station, i) => [station, field(read, "timestampValue")[i], field(read, "doubleValue")[i]]),
    followedTo: writeStates(follow).at(-1),
    outcome: writeStates(outcome).join(" "),
    refused: `${field(refused, "reason")[0]} ${field(refused, "field")[0]}`,
  };
}
