import { timingSafeEqual } from "node:crypto";
import type pg from "pg";
import { OpsDbError } from "../errors.ts";
import { Deadline, sleep } from "../lib/abort.ts";
import type { Logger } from "../lib/logger.ts";
import { TokenBucket } from "../lib/token-bucket.ts";
import { type AccessTokenRow, selectAccessTokens } from "../postgres/access-tokens.ts";
import { messageOf } from "../postgres/sqlstate.ts";
import { queryRows } from "../postgres/use-client.ts";
import type { BearerToken } from "./bearer-token.ts";
import { type Caller, type CallRate, isRole } from "./caller.ts";
import { CopyKeeper } from "./copy-keeper.ts";
import type { KeptCopy } from "./kept-copy.ts";
import { tableScope } from "./table-scope.ts";

export interface TokenKeeperOptions {
  /** Of the local database. */
  pool: pg.Pool;
  /** Undefined: after a restart without the database nobody is known. */
  copy: KeptCopy | undefined;
  pollMs: number;
  timeoutMs: number;
  /** Of a token that says nothing of it; 0: no limit. */
  callsPerSecond: number;
  logger: Logger;
  /** Between writings of the copy where nothing is new, milliseconds; a minute where it is left out. */
  keepCopyMs?: number;
}

interface Known {
  /** The row, by which a change is seen. */
  content: string;
  hash: Buffer;
  caller: Caller;
}

/**
 * The service's own tokens, as the local database has them. While it is away the last ones hold, over a restart too: a
 * write needs no database, so neither may its token.
 */
export class TokenKeeper {
  readonly #options: TokenKeeperOptions;
  /** Undefined: neither the database nor the copy was read yet. */
  #known: Map<string, Known> | undefined;
  readonly #copy: CopyKeeper;
  /** The newest text from the database. */
  #read: string | undefined;
  /** Why the database was not read the last time; undefined: it was. */
  #problem: string | undefined = "not read yet";

  constructor(options: TokenKeeperOptions) {
    this.#options = options;
    const { copy, logger, keepCopyMs: everyMs } = options;
    this.#copy = new CopyKeeper({
      copy,
      what: "the access tokens",
      logger,
      ...(everyMs === undefined ? {} : { everyMs }),
    });
  }

  /** Throws ACCESS_TOKEN_INVALID, _EXPIRED, _REVOKED, and ACCESS_TOKENS_UNAVAILABLE where it may be newer than what is known. */
  authenticate(token: BearerToken): Caller {
    const known = this.#known?.get(token.id);
    if (known === undefined) throw this.#unknown();
    if (!timingSafeEqual(token.hash, known.hash)) throw invalid();
    const ended = known.caller.ended();
    if (ended) throw ended;
    return known.caller;
  }

  async run(signal: AbortSignal): Promise<void> {
    // At the same time: a database that is away says so only after a while, and writes do not wait for it.
    const copy = Promise.all([this.#loadCopy(), this.#copy.run(signal, () => this.#problem === undefined)]);
    while (!signal.aborted) {
      await this.#refresh(signal);
      await sleep(this.#options.pollMs, signal).catch(() => {});
    }
    await copy;
  }

  async #refresh(signal: AbortSignal): Promise<void> {
    const { pool, timeoutMs, logger } = this.#options;
    try {
      using deadline = new Deadline(timeoutMs);
      const [row] = await queryRows(pool, AbortSignal.any([signal, deadline.signal]), selectAccessTokens());
      const text = row?.[0] ?? "[]";
      if (text !== this.#read) this.#learn(text);
      this.#read = text;
      if (this.#problem !== undefined) logger.info({ tokens: this.#known?.size }, "the access tokens were read");
      this.#problem = undefined;
    } catch (error) {
      if (signal.aborted) return;
      const problem = messageOf(error);
      if (problem !== this.#problem)
        logger.warn({ error }, "the access tokens cannot be read; those known until now hold");
      this.#problem = problem;
    }
    if (this.#read !== undefined) await this.#copy.keep(this.#read);
  }

  #learn(text: string): void {
    const before = this.#known;
    const rows = JSON.parse(text) as AccessTokenRow[];
    this.#known = new Map(
      rows.map((row) => {
        const content = JSON.stringify(row);
        const same = before?.get(row.id);
        // The same object as long as the row is the same: it counts the token's calls.
        return [row.id, same?.content === content ? same : this.#know(row, content)];
      }),
    );
  }

  #know(row: AccessTokenRow, content: string): Known {
    const rate = row.calls_per_second ?? this.#options.callsPerSecond;
    const caller: Caller = {
      id: row.id,
      name: row.name,
      roles: new Set(row.roles.filter(isRole)),
      tables: tableScope(row.tables),
      messageBytes: row.message_bytes ?? undefined,
      calls: callRate(rate, row.burst ?? rate),
      ended: () => this.#ended(row, caller),
    };
    return { content, hash: Buffer.from(row.hash, "hex"), caller };
  }

  #ended({ id, revoked_at, expires_at }: AccessTokenRow, caller: Caller): OpsDbError | undefined {
    if (revoked_at !== null) return new OpsDbError("ACCESS_TOKEN_REVOKED", `access token ${id} was revoked`);
    if (expires_at !== null && expires_at * 1000 <= Date.now())
      return new OpsDbError("ACCESS_TOKEN_EXPIRED", `access token ${id} has expired`);
    const current = this.#known?.get(id)?.caller;
    if (current === caller) return undefined;
    return current?.ended() ?? new OpsDbError("ACCESS_TOKEN_REVOKED", `access token ${id} has changed; call again`);
  }

  #unknown(): OpsDbError {
    if (this.#problem === undefined) return invalid();
    return new OpsDbError(
      "ACCESS_TOKENS_UNAVAILABLE",
      this.#known
        ? "this access token is not known here, and may be a new one: the local database cannot be asked"
        : "no access tokens are known here yet: the local database cannot be asked",
      { retryAfterMs: 1_000 },
    );
  }

  async #loadCopy(): Promise<void> {
    try {
      const text = await this.#options.copy?.load();
      if (text === undefined || this.#known) return;
      this.#learn(text);
      this.#options.logger.info({}, "the access tokens of the kept copy hold for now");
    } catch (error) {
      this.#options.logger.warn({ error }, "the copy of the access tokens cannot be read");
    }
  }
}

/** 0: no limit. */
export function callRate(perSecond: number, burst: number): CallRate | undefined {
  return perSecond > 0 ? { perSecond, bucket: new TokenBucket({ perSecond, burst }) } : undefined;
}

/** The same for every token that is not right: what is wrong with it is nobody's business. */
export function invalid(cause?: unknown): OpsDbError {
  return new OpsDbError("ACCESS_TOKEN_INVALID", "this access token is not valid here", { cause });
}
