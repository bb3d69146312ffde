import type { Catalog, Table } from "../../src/catalog/catalog.ts";
import { OpsDbError } from "../../src/errors.ts";
import { aborted } from "../../src/lib/abort.ts";
import { Latest } from "../../src/lib/latest.ts";
import type { Lsn } from "../../src/lsn.ts";
import type { Pause } from "../../src/processor/drain-pause.ts";
import type { QueryPart, TableQuery } from "../../src/query/table-query.ts";
import type { ReplicationStatus } from "../../src/replication/status.ts";
import type {
  DrainReport,
  Motive,
  Operator,
  RejectedPage,
  RejectedQuery,
  Resolution,
} from "../../src/site/operator.ts";
import type { QueryOptions, Site, WatchWritesOptions, WriteAck, WriteOptions } from "../../src/site/site.ts";
import type { RequestedWrite, WriteStatus } from "../../src/write.ts";

/** A site for the tests of this folder: it records what it is asked and answers as the test says. Stores nothing. */
export class SiteStub implements Site {
  readonly name = "stub";
  readonly role = "secondary";
  readonly status = new Latest<ReplicationStatus>(statusNamed("first"));

  readStatus(): ReplicationStatus {
    return this.status.value;
  }
  readonly health = new Latest<Site["health"]["value"]>({
    write: { serving: true },
    query: { serving: true },
    replication: { serving: true },
  });
  readonly writes: { write: RequestedWrite; options: WriteOptions }[] = [];
  readonly queries: { query: TableQuery; options: QueryOptions }[] = [];
  /** Waits and iterations of callers that have not ended. */
  readonly open = new Latest(0);

  onWrite: (write: RequestedWrite, options: WriteOptions) => Promise<WriteAck> = async (write) => acceptedAck(write);
  onQuery: (query: TableQuery, options: QueryOptions) => AsyncIterable<QueryPart> = emptyResult;
  /** States of the one write that can be followed, each as it comes. */
  readonly followed = new Latest<readonly WriteStatus[]>([]);
  readonly replayed = new Latest<Lsn>(0n);
  tables: Table[] = [filesTable];
  onWatchWrites: (options: WatchWritesOptions) => AsyncIterable<WriteStatus> = emptyWatch;
  readonly operator = new OperatorStub();
  readonly measures = { pools: [] };
  readonly resultCache = { up: undefined, hits: 0, misses: 0, storedBytes: 0 };

  catalog(): Catalog {
    const { tables } = this;
    return {
      fingerprint: "1",
      tables,
      byId: (id) => tables.find((table) => table.id === id),
      table(name, field) {
        const table = tables.find((each) => each.name === name || each.id === name);
        if (!table) throw new OpsDbError("TABLE_NOT_FOUND", `no table ${name}`, { field });
        return table;
      },
    };
  }

  async write(write: RequestedWrite, options: WriteOptions): Promise<WriteAck> {
    this.writes.push({ write, options });
    return this.#counted(() => this.onWrite(write, options));
  }

  async getWrite(writeId: string): Promise<WriteStatus> {
    const state = this.followed.value.findLast((status) => status.writeId === writeId);
    if (!state) throw new OpsDbError("WRITE_NOT_FOUND", `no write ${writeId}`, { field: "write_id" });
    return state;
  }

  query(query: TableQuery, options: QueryOptions): AsyncIterable<QueryPart> {
    this.queries.push({ query, options });
    return this.#countedStream(this.onQuery(query, options));
  }

  followWrite(writeId: string, signal: AbortSignal): AsyncIterable<WriteStatus> {
    return this.#countedStream(this.#follow(writeId, signal));
  }

  watchWrites(options: WatchWritesOptions): AsyncIterable<WriteStatus> {
    return this.#countedStream(this.onWatchWrites(options));
  }

  async waitForLsn(lsn: Lsn, signal: AbortSignal): Promise<void> {
    await this.#counted(() => this.replayed.until((replayed) => replayed >= lsn, signal));
  }

  run(signal: AbortSignal): Promise<void> {
    return aborted(signal, new Promise<void>(() => {}));
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  async *#follow(writeId: string, signal: AbortSignal): AsyncGenerator<WriteStatus> {
    await this.getWrite(writeId);
    for (let told = 0; ; ) {
      const status = this.followed.value[told];
      if (status === undefined) {
        await this.followed.changed(this.followed.version, signal);
        continue;
      }
      told += 1;
      yield status;
      if (status.state === "REPLICATED" || status.state === "REJECTED") return;
    }
  }

  async #counted<T>(work: () => Promise<T>): Promise<T> {
    this.open.set(this.open.value + 1);
    try {
      return await work();
    } finally {
      this.open.set(this.open.value - 1);
    }
  }

  async *#countedStream<T>(items: AsyncIterable<T>): AsyncGenerator<T> {
    this.open.set(this.open.value + 1);
    try {
      yield* items;
    } finally {
      this.open.set(this.open.value - 1);
    }
  }
}

/** An operator's side of the stub: a site with nothing to do. */
class OperatorStub implements Operator {
  readonly motives: Motive[] = [];
  readonly listed: RejectedQuery[] = [];
  rejected: RejectedPage = { writes: [] };

  async pauseDrain(motive: Motive): Promise<Pause> {
    this.motives.push(motive);
    return { ...motive, since: new Date(1_000) };
  }

  async resumeDrain(motive: Motive): Promise<undefined> {
    this.motives.push(motive);
  }

  async showDrain(): Promise<DrainReport> {
    return { site: "stub", at: new Date(1_000), holdups: [] };
  }

  async countRejected(): Promise<number> {
    return this.rejected.writes.length;
  }

  async listRejected(query: RejectedQuery): Promise<RejectedPage> {
    this.listed.push(query);
    return this.rejected;
  }

  async retryWrite(writeId: string, motive: Motive): Promise<{ status: WriteStatus; duplicate: boolean }> {
    this.motives.push(motive);
    return { status: statusOf(writeId, "ACCEPTED"), duplicate: false };
  }

  async discardWrite(_writeId: string, motive: Motive): Promise<Resolution> {
    this.motives.push(motive);
    return { kind: "discarded", ...motive, at: new Date(1_000), site: "stub" };
  }

  async acknowledgeLoss(motive: Motive): Promise<undefined> {
    this.motives.push(motive);
  }
}

export function statusNamed(site: string): ReplicationStatus {
  const running = { state: "RUNNING", reason: "", since: new Date(0) } as const;
  return {
    site,
    role: "secondary",
    at: new Date(1_000),
    main: { connection: running, standbys: [], slots: [] },
    local: { connection: running, inRecovery: true, replayPaused: false },
  };
}

export function statusOf(writeId: string, state: WriteStatus["state"]): WriteStatus {
  return { writeId, state, site: "stub", position: (7n << 64n) | 1n };
}

export function acceptedAck(write: RequestedWrite): WriteAck {
  return {
    status: statusOf(write.writeId, "ACCEPTED"),
    rows: [{ table: "public.files", columns: ["id", "size"], values: ["a", "42"] }],
    token: new Uint8Array([1, 2]),
    waitTimedOut: false,
    duplicate: false,
  };
}

export const header: QueryPart = {
  kind: "header",
  header: {
    columns: [
      { name: "id", type: "text", kind: "text", array: false, delimiter: "," },
      { name: "size", type: "bigint", kind: "int64", array: false, delimiter: "," },
    ],
    related: [],
    consistency: "merged",
    lsn: 0x1_0000_00abn,
    timeline: 3,
    pendingWrites: 2,
    token: new Uint8Array([9]),
    replicaAgeMs: 1500,
    bufferUnreachable: false,
  },
};

async function* emptyWatch({ signal }: WatchWritesOptions): AsyncGenerator<WriteStatus> {
  await aborted(signal, new Promise<void>(() => {}));
}

async function* emptyResult(): AsyncGenerator<QueryPart> {
  yield header;
  yield { kind: "trailer", rowCount: 0 };
}

const filesTable: Table = (() => {
  const type = (kind: "text" | "int64") => ({
    display: kind === "text" ? "text" : "bigint",
    castWithModifier: "",
    cast: "",
    base: kind === "text" ? "text" : "int8",
    typtype: "b",
    domain: false,
    kind,
    array: false,
    delimiter: ",",
    modifier: -1,
    enumValues: [],
  });
  const column = (name: string, kind: "text" | "int64") => ({
    name,
    type: type(kind),
    nullable: false,
    defaultExpression: undefined,
    generatedExpression: undefined,
    identity: "none" as const,
    sequence: undefined,
    nondeterministic: false,
    collation: undefined,
    looseText: false,
    comment: "",
  });
  const columns = [column("id", "text"), column("size", "int64")];
  return {
    id: "public.files",
    schema: "public",
    table: "files",
    name: "files",
    sql: '"public"."files"',
    ownSql: '"public"."files"',
    columns,
    byName: new Map(columns.map((each) => [each.name, each])),
    primaryKey: ["id"],
    looseKey: false,
    foreignKeys: [],
    checks: [],
    heirs: [],
    comment: "raw data files",
  };
})();
