import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Child } from "./child.ts";
import { eventually } from "./eventually.ts";
import { freePort } from "./free-port.ts";
import { removeAtEnd } from "./janitor.ts";
import { findPostgres, type PostgresBinaries } from "./postgres-binaries.ts";
import { sql } from "./sql.ts";

export interface Address {
  host: string;
  port: number;
}

export interface PostgresPairOptions {
  /** Off is faster, on is what survives a power loss. Default off. */
  fsync?: boolean;
  /** The address at which the standby is to reach the primary, as a link gives it. Default: directly. */
  standbyVia?: (primary: Address) => Promise<Address>;
}

export interface PostgresServer extends Address {
  /** Of the database "postgres". The superuser is "postgres", without a password. */
  readonly url: string;
  urlOf(database: string): string;
  /** Starts it again with the same data on the same port; resolves when it takes connections. */
  start(): Promise<void>;
  /** A fast shutdown: clients are disconnected, everything is written. */
  stop(): Promise<void>;
  /** An immediate shutdown, as a crash: recovery runs at the next start. */
  kill(): Promise<void>;
}

export interface StandbyServer extends PostgresServer {
  /** Resolves when replay has stopped. WAL is still received. */
  pauseReplay(): Promise<void>;
  resumeReplay(): Promise<void>;
  /** Makes it a primary on a new timeline; resolves when it takes writes. */
  promote(): Promise<void>;
  /** Resolves when everything that the primary has written by now is replayed. */
  caughtUp(): Promise<void>;
}

export interface NewStandby {
  /** Of the server, and of its slot: letters and digits. */
  name: string;
  /** What it is copied from and follows. It is stopped for the copy and started again, also where it was not running. */
  from: PostgresServer;
  /** The address at which the new standby is to reach it. Default: directly. */
  via?: (source: Address) => Promise<Address>;
}

export interface PostgresPair extends AsyncDisposable {
  readonly primary: PostgresServer;
  readonly standby: StandbyServer;
  /** One more standby, of any server of the pair; resolves when it streams. Missing where the servers are containers. */
  readonly anotherStandby?: (standby: NewStandby) => Promise<StandbyServer>;
}

export class NoLocalPostgresError extends Error {
  override readonly name = "NoLocalPostgresError";
}

/** A primary and its streaming standby, from local binaries, in a temporary directory that goes with them. */
export async function startPostgresPair(options: PostgresPairOptions = {}): Promise<PostgresPair> {
  const root = fs.mkdtempSync(join(tmpdir(), "opsdb-postgres-"));
  removeAtEnd(root);
  fs.chmodSync(root, 0o755);
  const binaries = findPostgres(root);
  if (!binaries) {
    fs.rmSync(root, { recursive: true, force: true });
    throw new NoLocalPostgresError("no PostgreSQL found: run npm ci, or install the package postgresql");
  }
  const primary = new Server({ root, name: "primary", port: await freePort(), binaries });
  primary.initialize(settings(options.fsync ?? false));
  const servers: Server[] = [primary];
  const anotherStandby = async ({ name, from, via }: NewStandby): Promise<StandbyServer> => {
    const source = servers.find((server) => server === from);
    if (!source) throw new Error("the server is not one of this pair");
    const standby = new Standby({ root, name, port: await freePort(), binaries }, source);
    await source.stop();
    standby.copyFrom(source);
    servers.push(standby);
    await source.start();
    await sql(source.url, "select pg_create_physical_replication_slot($1, true)", [name]);
    standby.follow((await via?.(source)) ?? source, name);
    await standby.start();
    await eventually(
      () =>
        sql(source.url, "select from pg_stat_replication where state = 'streaming' and application_name = $1", [name]),
      (rows) => rows.length === 1,
      { timeoutMs: 30_000, what: `streaming to ${name}` },
    );
    return standby;
  };
  const end = async (): Promise<void> => void (await Promise.all(servers.map((server) => server.kill())));
  try {
    const via = options.standbyVia;
    const standby = await anotherStandby({ name: "standby", from: primary, ...(via && { via }) });
    return {
      primary,
      standby,
      anotherStandby,
      async [Symbol.asyncDispose]() {
        await end();
        fs.rmSync(root, { recursive: true, force: true });
      },
    };
  } catch (error) {
    await end();
    throw new Error(`${error}\n${servers.map((server) => server.log()).join("")}`, { cause: error });
  }
}

/** Both servers get the same; a standby needs at least the primary's max_connections. */
function settings(fsync: boolean): string {
  const values = {
    listen_addresses: "127.0.0.1",
    unix_socket_directories: "",
    max_connections: 200,
    shared_buffers: "64MB",
    wal_level: "replica",
    max_wal_senders: 16,
    max_replication_slots: 16,
    max_wal_size: "1GB",
    checkpoint_timeout: "30min",
    hot_standby: "on",
    hot_standby_feedback: "on",
    fsync: fsync ? "on" : "off",
    // After a cut both ends notice within seconds, and the standby comes back at once.
    wal_retrieve_retry_interval: "200ms",
    wal_receiver_status_interval: "1s",
    wal_receiver_timeout: "5s",
    wal_sender_timeout: "5s",
    timezone: "UTC",
    log_timezone: "UTC",
    logging_collector: "off",
  };
  const lines = Object.entries(values).map(([name, value]) => `${name} = '${value}'`);
  return `${lines.join("\n")}\n`;
}

interface ServerOptions {
  root: string;
  name: string;
  port: number;
  binaries: PostgresBinaries;
}

class Server implements PostgresServer {
  readonly host = "127.0.0.1";
  readonly port: number;
  readonly data: string;
  readonly #binaries: PostgresBinaries;
  readonly #log: string;
  #child: Child | undefined;

  constructor({ root, name, port, binaries }: ServerOptions) {
    this.port = port;
    this.data = join(root, name);
    this.#log = join(root, `${name}.log`);
    this.#binaries = binaries;
  }

  get url(): string {
    return this.urlOf("postgres");
  }

  urlOf(database: string): string {
    return `postgresql://postgres@${this.host}:${this.port}/${database}`;
  }

  initialize(configuration: string): void {
    fs.mkdirSync(this.data, { mode: 0o700 });
    this.own();
    const { directory, env, user } = this.#binaries;
    const options = ["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"];
    const result = spawnSync(join(directory, "initdb"), ["-D", this.data, ...options], {
      env,
      cwd: "/",
      encoding: "utf8",
      ...user,
    });
    if (result.status !== 0) throw new Error(`initdb failed: ${result.error ?? result.stderr}`);
    fs.appendFileSync(join(this.data, "postgresql.conf"), configuration);
  }

  /** Gives the data directory to the user that PostgreSQL runs as. */
  own(): void {
    const { user } = this.#binaries;
    if (!user) return;
    fs.chownSync(this.data, user.uid, user.gid);
    for (const entry of fs.readdirSync(this.data, { withFileTypes: true, recursive: true })) {
      fs.lchownSync(join(entry.parentPath, entry.name), user.uid, user.gid);
    }
  }

  async start(): Promise<void> {
    if (this.#child?.running) throw new Error(`the server on port ${this.port} is running`);
    const { directory, env, user } = this.#binaries;
    // A server that was killed leaves this file behind, and its number may have gone to another process since.
    fs.rmSync(join(this.data, "postmaster.pid"), { force: true });
    const child = await Child.start({
      command: join(directory, "postgres"),
      args: ["-D", this.data, "-p", String(this.port)],
      env,
      cwd: "/",
      log: this.#log,
      ...(user && { user }),
    });
    this.#child = child;
    await eventually(
      async () => (child.running ? await sql(this.url, "select 1") : []),
      () => true,
      { timeoutMs: 60_000, everyMs: 20, what: `a connection to port ${this.port}` },
    );
    if (!child.running) throw new Error(`PostgreSQL did not start: ${this.log()}`);
  }

  async stop(): Promise<void> {
    await this.#child?.end("SIGINT");
  }

  async kill(): Promise<void> {
    await this.#child?.end("SIGQUIT");
  }

  log(): string {
    try {
      return fs.readFileSync(this.#log, "utf8").slice(-4_000);
    } catch {
      return "";
    }
  }
}

class Standby extends Server implements StandbyServer {
  readonly #primary: Server;

  constructor(options: ServerOptions, primary: Server) {
    super(options);
    this.#primary = primary;
  }

  /** A cold copy is a base backup: a cluster that initdb left, or that was shut down in order. */
  copyFrom(source: Server): void {
    // Slots are the source's own: a copy would keep WAL for standbys that never come.
    const slots = join(source.data, "pg_replslot");
    fs.cpSync(source.data, this.data, {
      recursive: true,
      preserveTimestamps: true,
      filter: (path) => !path.startsWith(`${slots}/`),
    });
    fs.chmodSync(this.data, 0o700);
    fs.writeFileSync(join(this.data, "standby.signal"), "");
  }

  follow({ host, port }: Address, name: string): void {
    const connection = `host=${host} port=${port} user=postgres application_name=${name} connect_timeout=5`;
    // Of a setting that is there twice the last one counts.
    fs.appendFileSync(
      join(this.data, "postgresql.auto.conf"),
      `primary_conninfo = '${connection}'\nprimary_slot_name = '${name}'\n`,
    );
    this.own();
  }

  async pauseReplay(): Promise<void> {
    await pauseReplay(this.url);
  }

  async resumeReplay(): Promise<void> {
    await resumeReplay(this.url);
  }

  async promote(): Promise<void> {
    await sql(this.url, "select pg_promote(true, 60)");
  }

  async caughtUp(): Promise<void> {
    await caughtUp(this.#primary.url, this.url);
  }
}

export async function pauseReplay(standbyUrl: string): Promise<void> {
  await sql(standbyUrl, "select pg_wal_replay_pause()");
  await eventually(
    () => sql<{ state: string }>(standbyUrl, "select pg_get_wal_replay_pause_state() as state"),
    ([row]) => row?.state === "paused",
    { everyMs: 2, what: "the pause of replay" },
  );
}

export async function resumeReplay(standbyUrl: string): Promise<void> {
  await sql(standbyUrl, "select pg_wal_replay_resume()");
}

export async function caughtUp(primaryUrl: string, standbyUrl: string): Promise<void> {
  const [written] = await sql<{ lsn: string }>(primaryUrl, "select pg_current_wal_lsn() as lsn");
  await eventually(
    () => sql<{ reached: boolean }>(standbyUrl, "select pg_last_wal_replay_lsn() >= $1 as reached", [written?.lsn]),
    ([row]) => row?.reached === true,
    { timeoutMs: 30_000, everyMs: 2, what: `replay of ${written?.lsn}` },
  );
}
