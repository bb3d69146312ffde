import { Socket } from "node:net";
import pg from "pg";

/** Where a database is, and how long one statement may stay unanswered. */
export interface DatabaseAddress {
  host: string;
  port: number;
  user: string;
  password: string | undefined;
  database: string;
  /** Milliseconds until an unanswered statement is given up; and a connection attempt, if not before. */
  timeoutMs: number;
}

/** The longest attempt to connect, milliseconds: one that began while the link was cut must not outlast the cut by much. */
const ATTEMPT_MS = 5_000;

/** All values arrive as PostgreSQL's text forms: exact for every type, and decoded once, where they leave the service. */
const textTypes = { getTypeParser: () => (value: string | Buffer) => value } as unknown as pg.CustomTypesConfig;

// The text forms that the service relies on, whatever the role's or the server's defaults are. A session that the other
// side of a broken link has forgotten ends by itself, so that its locks do not outlive it for long.
const sessionSettings: Record<string, string> = {
  TimeZone: "UTC",
  DateStyle: "ISO,YMD",
  IntervalStyle: "postgres",
  bytea_output: "hex",
  extra_float_digits: "1",
  tcp_keepalives_idle: "5",
  tcp_keepalives_interval: "2",
  tcp_keepalives_count: "3",
  // What nobody waits for any more ends soon, also while it works or waits for a lock. Milliseconds.
  client_connection_check_interval: "250",
};

export interface SessionOptions {
  applicationName: string;
  settings?: Record<string, string>;
}

function clientConfig(address: DatabaseAddress, session: SessionOptions): pg.ClientConfig {
  const settings = { ...sessionSettings, ...session.settings };
  return {
    host: address.host,
    port: address.port,
    user: address.user,
    password: address.password,
    database: address.database,
    application_name: session.applicationName,
    connectionTimeoutMillis: Math.min(address.timeoutMs, ATTEMPT_MS),
    keepAlive: true,
    keepAliveInitialDelayMillis: 5_000,
    types: textTypes,
    options: Object.entries(settings)
      .map(([name, value]) => `-c ${name}=${value}`)
      .join(" "),
  };
}

/** A pool's own time limit is that of waiting for a connection to be free as well; an attempt to connect has less. */
class PoolClient extends pg.Client {
  constructor(config?: pg.ClientConfig) {
    const password = config?.password; // the pool hides it, and a spread leaves out what is hidden
    super({
      ...config,
      ...(password === undefined ? {} : { password }),
      connectionTimeoutMillis: Math.min(config?.connectionTimeoutMillis ?? ATTEMPT_MS, ATTEMPT_MS),
    });
    closeOnError(this);
  }
}

/** An attempt that the driver itself gives up, as without the password that is asked for, would stay open at the server. */
function closeOnError({ connection }: pg.Client): void {
  connection.on("error", () => connection.stream.destroy());
}

/** A pool whose idle connections may break without taking the process with them: the next user gets a new one. */
export function createPool(address: DatabaseAddress, session: SessionOptions, size: number): pg.Pool {
  const pool = new pg.Pool({
    ...clientConfig(address, session),
    connectionTimeoutMillis: address.timeoutMs,
    Client: PoolClient,
    max: size,
    idleTimeoutMillis: 60_000,
  });
  // A broken connection reports to whoever uses it next; without a listener it would end the process.
  pool.on("error", () => {});
  pool.on("connect", (client) => client.on("error", () => {}));
  return pool;
}

/** A connection on which many statements are under way at once, and which can be dropped at once. */
export interface PipelinedConnection extends AsyncDisposable {
  /** Aborts when the connection is gone, also while nothing is under way. */
  readonly closed: AbortSignal;
  /** Rows as arrays of text. */
  query(statement: Statement): Promise<StatementResult>;
  /** Gives the connection up: everything under way rejects. */
  destroy(reason: Error): void;
}

export interface Statement {
  /** Prepared under this name where it is given; the same name must always mean the same text. */
  name?: string;
  text: string;
  values?: unknown[];
}

export interface StatementResult {
  command: string;
  rows: (string | null)[][];
}

/**
 * Opens a pipelined connection. Rejects within the address's timeout. When statements are under way and none is answered
 * for that long, the connection is given up: a half-open link reports nothing by itself.
 */
export async function connectPipelined(
  address: DatabaseAddress,
  session: SessionOptions,
): Promise<PipelinedConnection> {
  const socket = new Socket();
  const client = new pg.Client({ ...clientConfig(address, session), pipeline: true, stream: () => socket });
  client.on("error", () => {}); // every statement under way rejects with the cause
  closeOnError(client);
  await client.connect();
  const closed = new AbortController();
  socket.once("close", () => closed.abort(new Error("the connection to the main database broke")));
  let underWay = 0;
  const silence = setTimeout(() => {
    if (underWay > 0) socket.destroy(new Error(`no answer within ${address.timeoutMs} ms`));
  }, address.timeoutMs);
  silence.unref(); // an answer that comes while the connection closes starts it once more
  return {
    closed: closed.signal,
    async query({ name, text, values }) {
      if (underWay === 0) silence.refresh();
      underWay += 1;
      try {
        const result = await client.query<(string | null)[]>({
          ...(name === undefined ? {} : { name }),
          text,
          values: values ?? [],
          rowMode: "array",
        });
        return { command: result.command, rows: result.rows };
      } finally {
        underWay -= 1;
        silence.refresh();
      }
    },
    destroy: (reason) => void socket.destroy(reason),
    async [Symbol.asyncDispose]() {
      if (socket.destroyed) return;
      const ended = client.end();
      const timer = setTimeout(() => socket.destroy(), 1_000);
      await ended.catch(() => {});
      clearTimeout(timer);
    },
  };
}
