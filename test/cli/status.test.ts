import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { stripVTControlCharacters } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { eventually } from "../support/eventually.ts";
import { removeAtEnd } from "../support/janitor.ts";
import { opsdbCommand, projectRoot, RunningOpsdb, runHere } from "../support/opsdb.ts";
import { startTwoSite, type TwoSite } from "../support/two-site.ts";

const slowly = { timeout: 120_000 };
const esc = "\u001b";
const enter = `${esc}[?1049h`;
const leave = `${esc}[?1049l`;
/** Gives a program a terminal; of util-linux. */
const hasScript = spawnSync("script", ["--version"]).status === 0;
const onTerminal = test.skipIf(!hasScript && !process.env.CI); // without `script` there is no terminal to test on

let sites: TwoSite;

beforeAll(async () => {
  sites = await startTwoSite({ env: { secondary: { MAIN_TIMEOUT_MS: "1000", STATUS_POLL_MS: "200" } } });
});

afterAll(() => sites[Symbol.asyncDispose]());

test("status is OK where all is well, at both sites, with every part on one screen", slowly, async () => {
  const said = await eventually(
    () => status(),
    ({ code }) => code === 0,
    { timeoutMs: 30_000, everyMs: 200, what: "that all is well" },
  );
  expect(said.out).toMatch(
    /^OK: ccat takes writes and applies them, 0 pending, .* \| pending=0 oldest=0s buffer=\d+B lag=\d+B rejected=0\n/,
  );
  for (const part of ["MAIN", "REPLICA", "BUFFER"])
    expect(said.out).toMatch(new RegExp(`^${part} +● RUNNING for `, "m"));
  expect(said.out).toMatch(/^DRAIN +● IDLE for .* the buffer is empty$/m);
  const main = await runHere(["status"], { env: { OPSDB_SERVER: sites.main.grpc } });
  expect(main).toMatchObject({ code: 0, out: expect.stringMatching(/^OK: cologne takes writes and answers reads \|/) });
  const json = JSON.parse((await status("--json")).out) as object;
  expect(json).toMatchObject({ level: "OK", findings: [], unresolvedRejectedWrites: 0, status: { site: "ccat" } });
});

test("status warns with the reason while the link is cut, and is critical past its thresholds", slowly, async () => {
  sites.link.cut();
  try {
    await runHere(["write", "insert", "sources", "id=81", "name=Cut", "ra_deg=0", "dec_deg=0"], at());
    const warned = await eventually(
      () => status(),
      ({ out }) => /pending=1[\s\S]*^MAIN +● RETRYING/m.test(out),
      { timeoutMs: 60_000, everyMs: 200, what: "that status warns" },
    );
    expect(warned.out).toMatch(/^WARNING: ccat: the main database has not worked for \d+ s \(.+\)/);
    expect(warned.out).toMatch(/^MAIN +● RETRYING for \d+ s {2}.+, next attempt \d\d:\d\d:\d\dZ$/m);
    expect(warned.out).toMatch(/^ +pending 1 .* oldest \d+ s$/m);
    const critical = await eventually(
      () => status("--oldest-warning", "1ms", "--oldest-critical", "2ms"),
      ({ code }) => code === 2,
      { timeoutMs: 30_000, everyMs: 200, what: "that status is critical" },
    );
    expect(critical.out).toMatch(/^CRITICAL: ccat: the oldest of 1 pending writes waits for \d+ s \(and \d more\)/);
  } finally {
    sites.link.heal();
  }
  await eventually(
    () => status(),
    ({ code }) => code === 0,
    { timeoutMs: 60_000, everyMs: 200, what: "that all is well again" },
  );
});

test("a rejected write without a decision is a warning, a paused drain too", slowly, async () => {
  await runHere(
    ["write", "insert", "sources", "id=82", "name=Uranus", "ra_deg=0", "dec_deg=0", "--wait", "applied"],
    at(),
  );
  const rejected = await eventually(
    () => status(),
    ({ out }) => out.includes("rejected=1"),
    { timeoutMs: 30_000, everyMs: 200 },
  );
  expect(rejected).toMatchObject({ code: 1, out: expect.stringContaining("1 rejected write waits for a decision") });
  await eventually(
    () => status("--rejected-warning", "2"),
    ({ code }) => code === 0,
    { timeoutMs: 30_000, everyMs: 200, what: "that two would be worth a warning" },
  );
  const [listed] = (await runHere(["writes", "rejected", "--json"], at())).out.trim().split("\n");
  const {
    status: { writeId },
  } = JSON.parse(listed ?? "") as { status: { writeId: string } };
  await runHere(["writes", "discard", writeId, "--reason", "test"], at());
  await runHere(["drain", "pause", "--reason", "a test"], at());
  expect(await status()).toMatchObject({
    code: 1,
    out: expect.stringMatching(/the drain is paused: paused by .*: a test/),
  });
  await runHere(["drain", "resume", "--reason", "over"], at());
});

test("status says UNKNOWN for wrong usage and CRITICAL where no server answers", slowly, async () => {
  expect(await status("--lag-warning", "far")).toMatchObject({
    code: 3,
    err: expect.stringContaining("--lag-warning is a size"),
  });
  expect(await status("--oldest-warning", "12h")).toMatchObject({ code: 3, err: expect.stringContaining("give both") });
  expect(await status("--nonsense")).toMatchObject({ code: 3, err: expect.stringContaining("opsdb status --help") });
  const away = await runHere(["status"], { env: { OPSDB_SERVER: "127.0.0.1:1" } });
  expect(away).toMatchObject({
    code: 2,
    out: expect.stringMatching(/^CRITICAL: no server can be reached at 127.0.0.1:1/),
  });
});

test(
  "watch tells one line a second, says since when the server is away, and goes on when it is back",
  slowly,
  async () => {
    await using run = new RunningOpsdb(["watch"], at());
    await run.says(/^TIME +LEVEL +MAIN +REPLICA +DRAIN +LAG +PENDING .*\n[\s\S]*^\S+Z +OK +RUNNING +RUNNING +IDLE/m);
    await sites.secondary.stop();
    await run.says(/^\S+Z +DISCONNECTED .* since \d\d:\d\d:\d\dZ \(\d+ s\): .*no server can be reached/m);
    await sites.secondary.start();
    await sites.secondary.ready();
    await run.says(/DISCONNECTED[\s\S]*\n\S+Z +(OK|WARNING) +RUNNING/);
    run.child.kill("SIGINT");
    expect(await run.ended()).toBe(0);
    expect(run.out).not.toContain("\u001b");

    await using json = new RunningOpsdb(["watch", "--json", "--limit", "2"], at());
    expect(await json.ended()).toBe(0);
    const lines = json.out
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as object);
    expect(lines).toEqual(
      [1, 2].map(() => expect.objectContaining({ status: expect.objectContaining({ site: "ccat" }) })),
    );
  },
);

onTerminal(
  "on a terminal watch shows everything on one screen, follows its size, and gives the terminal back",
  slowly,
  async () => {
    await using screen = new TerminalScreen(["watch"]);
    await screen.shows(/ccat {2}secondary site .*● live/);
    await screen.shows(
      /MAIN +● RUNNING for .*\n +LSN [\s\S]*REPLICA +● RUNNING[\s\S]*BUFFER +● RUNNING[\s\S]*DRAIN +● /,
    );
    await screen.shows(/^accepted .*\/s[\s\S]*^applied .*\/s[\s\S]*^pending [\s\S]*^lag /m);
    expect(screen.raw).toContain("\u001b[32m"); // in colours
    expect(screen.lines()).toHaveLength(40);
    expect(screen.lines()[1]).toBe("─".repeat(100));
    screen.resize(20, 60);
    await screen.shows(/^─{60}$/m);
    expect(screen.lines()).toHaveLength(20);
    for (const line of screen.lines()) expect(line.length).toBeLessThanOrEqual(60);
    screen.type("q");
    await screen.ended();
    expect(screen.raw.endsWith(`${esc}[?25h${leave}`)).toBe(true);
    expect(screen.exitCode).toBe(0);
  },
);

onTerminal.each(["SIGTERM", "SIGINT", "SIGUSR2"] as const)(
  "the terminal is given back after %s",
  slowly,
  async (signal) => {
    // SIGUSR2 stands for a bug.
    const bug = join(import.meta.dirname, "../support/bug-on-signal.ts");
    await using screen = new TerminalScreen(["watch"], { NODE_OPTIONS: `--import=${bug}`, NO_COLOR: "1" });
    await screen.shows(/● live/);
    expect(screen.raw.replaceAll(esc, "")).not.toMatch(/\[\d*m/); // no colours
    screen.kill(signal);
    await screen.ended();
    expect(screen.raw).toContain(leave);
    expect(screen.raw.lastIndexOf(leave)).toBeGreaterThan(screen.raw.lastIndexOf(enter));
    if (signal === "SIGUSR2") expect(screen.raw.slice(screen.raw.lastIndexOf(leave))).toContain("a bug");
  },
);

function status(...options: string[]): ReturnType<typeof runHere> {
  return runHere(["status", ...options], at());
}

function at(): { env: Record<string, string> } {
  return { env: { OPSDB_SERVER: sites.secondary.grpc } };
}

/** The program on a terminal of its own, 100 by 40. */
class TerminalScreen implements AsyncDisposable {
  raw = "";
  readonly #directory = mkdtempSync(join(tmpdir(), "opsdb-terminal-"));
  readonly #script: ReturnType<typeof spawn>;
  readonly #closed: Promise<unknown[]>;

  constructor(args: readonly string[], env: Record<string, string> = {}) {
    removeAtEnd(this.#directory);
    const program = [...opsdbCommand, ...args].map((word) => `'${word}'`).join(" ");
    const command = `tty > ${this.#directory}/tty; stty rows 40 cols 100; echo $$ > ${this.#directory}/pid; exec ${program}`;
    this.#script = spawn("script", ["--quiet", "--flush", "--return", "--command", command, "/dev/null"], {
      cwd: projectRoot,
      env: {
        PATH: process.env.PATH,
        HOME: process.env.HOME,
        TERM: "xterm-256color",
        SHELL: "/bin/sh",
        ...at().env,
        ...env,
      },
    });
    this.#closed = once(this.#script, "close");
    this.#script.stdout?.setEncoding("utf8").on("data", (text: string) => {
      this.raw += text;
    });
  }

  get exitCode(): number | null {
    return this.#script.exitCode;
  }

  /** The lines of the newest drawing that is whole. */
  lines(): string[] {
    const drawings = this.raw.split("\u001b[H").slice(1);
    const whole = drawings.filter((drawing) => drawing.includes("\u001b[J"));
    const [drawing = ""] = (whole.at(-1) ?? "").split("\u001b[J");
    return drawing.split(/\r*\n/).map((line) => stripVTControlCharacters(line));
  }

  async shows(pattern: RegExp): Promise<void> {
    await eventually(
      () => this.lines().join("\n"),
      (shown) => pattern.test(shown),
      { timeoutMs: 60_000, what: `that the screen shows ${pattern}` },
    );
  }

  resize(rows: number, columns: number): void {
    spawnSync("stty", ["-F", this.#read("tty"), "rows", String(rows), "cols", String(columns)]);
  }

  type(keys: string): void {
    this.#script.stdin?.write(keys);
  }

  kill(signal: NodeJS.Signals): void {
    process.kill(Number(this.#read("pid")), signal);
  }

  async ended(): Promise<void> {
    await this.#closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#script.exitCode === null && this.#script.signalCode === null) this.#script.kill("SIGKILL");
    await this.#closed;
    rmSync(this.#directory, { recursive: true, force: true });
  }

  #read(name: string): string {
    return readFileSync(join(this.#directory, name), "utf8").trim();
  }
}
