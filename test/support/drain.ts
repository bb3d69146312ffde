import { randomUUID } from "node:crypto";
import pg from "pg";
import { RedisWriteBuffer } from "../../src/buffer/redis-write-buffer.ts";
import type { Catalog } from "../../src/catalog/catalog.ts";
import { loadCatalog } from "../../src/catalog/load-catalog.ts";
import { createLogger } from "../../src/lib/logger.ts";
import type { DatabaseAddress } from "../../src/postgres/connection.ts";
import { Processor, type ProcessorOptions } from "../../src/processor/processor.ts";
import type { Mutation, Write } from "../../src/write.ts";

/** A buffer and a processor of one site, on their own: what stands between an acknowledgement and the main database. */
export interface Drain extends AsyncDisposable {
  readonly buffer: RedisWriteBuffer;
  readonly processor: Processor;
  readonly catalog: Catalog;
  /** Starts the processor; ends with the drain, or with the signal. */
  start(signal?: AbortSignal): void;
}

export interface DrainOptions {
  site: string;
  redisUrl: string;
  /** Where the processor connects to. */
  main: DatabaseAddress;
  /** Where the catalog is read. */
  primaryUrl: string;
  processor?: Partial<ProcessorOptions>;
}

export async function openDrain(options: DrainOptions): Promise<Drain> {
  const logger = createLogger({ level: "silent" });
  const stop = new AbortController();
  const catalog = await readCatalog(options.primaryUrl);
  const buffer = new RedisWriteBuffer(
    {
      url: options.redisUrl,
      site: options.site,
      timeoutMs: 2_000,
      maxWrites: 1_000_000,
      maxBytes: 2 ** 31,
      allowUnsafe: false,
      logger,
    },
    () => {},
  );
  const running = [buffer.run(stop.signal, async () => await Promise.resolve(0n))];
  const processor = new Processor({
    site: options.site,
    main: options.main,
    buffer,
    catalog: () => catalog,
    catalogOfMain: () => readCatalog(options.primaryUrl),
    batchWrites: 500,
    batchBytes: 1 << 20,
    inFlight: 16,
    leaseMs: 10_000,
    logger,
    changed: () => {},
    ...options.processor,
  });
  while (buffer.refusal || !buffer.complete.value) await new Promise((resolve) => setTimeout(resolve, 5));
  return {
    buffer,
    processor,
    catalog,
    start(signal) {
      running.push(processor.run(signal ? AbortSignal.any([signal, stop.signal]) : stop.signal));
    },
    async [Symbol.asyncDispose]() {
      stop.abort(new Error("the drain is closed"));
      await Promise.all(running);
      await buffer[Symbol.asyncDispose]();
    },
  };
}

export async function readCatalog(url: string): Promise<Catalog> {
  const client = new pg.Client(url);
  await client.connect();
  try {
    return await loadCatalog(client);
  } finally {
    await client.end();
  }
}

export function addressOf(url: string, timeoutMs = 10_000): DatabaseAddress {
  const { hostname, port, username, password, pathname } = new URL(url);
  return {
    host: hostname,
    port: Number(port),
    user: decodeURIComponent(username),
    password: password === "" ? undefined : decodeURIComponent(password),
    database: pathname.slice(1),
    timeoutMs,
  };
}

/** A write of ready mutations with an id of its own. */
export function writeOf(...mutations: (Omit<Mutation, "preconditions"> & Partial<Mutation>)[]): Write {
  return {
    writeId: randomUUID(),
    payloadHash: Buffer.from(randomUUID()),
    mutations: mutations.map((mutation) => ({ preconditions: [], ...mutation })),
  };
}
