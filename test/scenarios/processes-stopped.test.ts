import { setTimeout as delay } from "node:timers/promises";
import {
  create,
  type DescMethod,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import { Client, credentials, type ServiceError, status } from "@grpc/grpc-js";
import { afterAll, afterEach, beforeAll, expect, test, vi } from "vitest";
import { QueryService } from "../../gen/ts/opsdb/v1/query_service_pb.ts";
import { ReplicationService } from "../../gen/ts/opsdb/v1/replication_service_pb.ts";
import { WriteState } from "../../gen/ts/opsdb/v1/write_pb.ts";
import { WriteService } from "../../gen/ts/opsdb/v1/write_service_pb.ts";
import { errorInfo } from "../support/stub-server.ts";
import { startTwoSite, type TwoSite } from "../support/two-site.ts";
import { createPairs, OwnSite } from "./own-site.ts";
import { findWrongs, nothingWrong, PairWriters } from "./pair-writers.ts";

// Several restarts of real servers each, on machines that are busy.
vi.setConfig({ testTimeout: 90_000 });

let sites: TwoSite;

beforeAll(async () => {
  sites = await startTwoSite({ servers: false });
  await createPairs(sites);
});

afterEach(async () => {
  sites.link.setRoundTrip(0);
  await sites.standby.resumeReplay();
});

afterAll(async () => {
  await sites?.[Symbol.asyncDispose]();
});

test("G1 G2: an API server is stopped with SIGTERM under load, again and again: callers see UNAVAILABLE and nothing else, and no acknowledged write is lost", async () => {
  await using site = await OwnSite.start(sites, "stopped", { env: { SHUTDOWN_GRACE_MS: "1000" } });
  sites.link.setRoundTrip(50);
  await using callers = new GrpcCallers(site);
  await using plain = new PairWriters(site, { writers: 8, send: (_, request) => callers.write(request) });
  const waiting = [WriteState.APPLIED, WriteState.REPLICATED].map((waitFor, i) => {
    const send: ConstructorParameters<typeof PairWriters>[1] = {
      writers: 4,
      firstNumber: (i + 1) * 1_000_000,
      send: (_, request) => callers.write({ ...request, waitFor }),
    };
    return new PairWriters(site, send);
  });
  await using _waiting = {
    [Symbol.asyncDispose]: async () => void (await Promise.all(waiting.map((each) => each.abandon()))),
  };
  callers.watchAndRead();
  for (let i = 0; i < 3; i++) {
    await plain.more(50);
    // Once those who wait for the replica are still waiting when the signal comes.
    if (i === 1) await sites.standby.pauseReplay();
    await plain.more(50);
    await site.server.stop();
    await site.server.start();
    await plain.more(20);
    await sites.standby.resumeReplay();
  }
  const all = [plain, ...waiting];
  await Promise.all(all.map((writers) => writers.finish()));
  await site.drained();
  expect(
    await findWrongs(
      site,
      all.flatMap(({ attempts }) => attempts),
    ),
  ).toEqual(nothingWrong);
  for (const [name, outcomes] of callers.outcomes)
    expect({ name, outcomes: [...outcomes.keys()].filter((each) => !/^(OK|UNAVAILABLE)/.test(each)) }).toEqual({
      name,
      outcomes: [],
    });
  for (const name of ["Write", "Query", "WatchReplication"])
    expect([...(callers.outcomes.get(name)?.keys() ?? [])].some((each) => each.startsWith("UNAVAILABLE"))).toBe(true);
});

test("G9: an API server that is stopped while a call waits for the replica ends the call soon, with the state that was reached or UNAVAILABLE", async () => {
  await using site = await OwnSite.start(sites, "stopped-waiting", { env: { SHUTDOWN_GRACE_MS: "1000" } });
  await using callers = new GrpcCallers(site);
  await sites.standby.pauseReplay();
  await using writers = new PairWriters(site, {
    writers: 8,
    send: (_, request) => callers.write({ ...request, waitFor: WriteState.REPLICATED }),
  });
  await callers.under("Write", 8);
  await site.server.stop();
  await writers.refused(8);
  await site.server.start();
  await sites.standby.resumeReplay();
  await writers.finish();
  await site.drained();
  expect(await writers.wrongs()).toEqual(nothingWrong);
  const seen = [...(callers.outcomes.get("Write")?.keys() ?? [])];
  expect(seen.filter((each) => !/^(OK|UNAVAILABLE)/.test(each))).toEqual([]);
});

/** Callers through the gRPC project's own client, which turns what happens to a connection into codes of its own. */
class GrpcCallers implements AsyncDisposable {
  /** How calls ended, by method, with their number. */
  readonly outcomes = new Map<string, Map<string, number>>();
  readonly #clients: Client[];
  readonly #stop = new AbortController();
  readonly #running: Promise<void>[] = [];
  readonly #open = new Map<string, number>();
  readonly #site: OwnSite;
  #next = 0;

  constructor(site: OwnSite) {
    this.#site = site;
    this.#clients = Array.from(
      { length: 4 },
      () =>
        new Client(site.server.grpc, credentials.createInsecure(), {
          "grpc.initial_reconnect_backoff_ms": 100,
          "grpc.max_reconnect_backoff_ms": 200,
          "grpc.use_local_subchannel_pool": 1,
        }),
    );
  }

  async write(request: MessageInitShape<typeof WriteService.method.write.input>) {
    const { write } = WriteService.method;
    const [answer] = await this.#call(write, request);
    if (!answer) throw new Error("no answer");
    return answer;
  }

  /** Readers and watchers that begin again when their call ends. */
  watchAndRead(): void {
    const again = async (call: () => Promise<unknown>): Promise<void> => {
      while (!this.#stop.signal.aborted) {
        await call().catch(() => {});
        await delay(50);
      }
    };
    for (let i = 0; i < 2; i++) {
      this.#running.push(again(() => this.#call(QueryService.method.query, { table: "pairs" })));
      this.#running.push(again(() => this.#call(ReplicationService.method.watchReplication, {})));
    }
  }

  /** Resolves when so many calls are open. */
  async under(method: string, count: number): Promise<void> {
    while ((this.#open.get(method) ?? 0) < count) await delay(5);
    // They have reached the server, and it has stored what they write.
    while ((await this.#site.redisCommand((redis) => redis.xlen(this.#site.stream))) < count) await delay(5);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new Error("the test is over"));
    await Promise.all(this.#running);
    for (const client of this.#clients) client.close();
  }

  async #call<M extends DescMethod>(
    method: M,
    request: MessageInitShape<M["input"]>,
  ): Promise<MessageShape<M["output"]>[]> {
    this.#note(this.#open, method.name, 1);
    try {
      const answers = await this.#stream(method, request);
      this.#ended(method.name, "OK");
      return answers;
    } catch (error) {
      const failed = error as ServiceError;
      if (!this.#stop.signal.aborted)
        this.#ended(method.name, `${status[failed.code]} ${errorInfo(failed)?.reason ?? failed.details}`);
      throw error;
    } finally {
      this.#note(this.#open, method.name, -1);
    }
  }

  /** A unary call is a stream of one message on the wire. */
  #stream<M extends DescMethod>(
    method: M,
    request: MessageInitShape<M["input"]>,
  ): Promise<MessageShape<M["output"]>[]> {
    const client = this.#clients[this.#next++ % this.#clients.length] as Client;
    const call = client.makeServerStreamRequest(
      `/${method.parent.typeName}/${method.name}`,
      (bytes: Buffer) => bytes,
      (bytes: Buffer) => fromBinary(method.output, bytes) as MessageShape<M["output"]>,
      Buffer.from(toBinary(method.input, create(method.input, request))),
      { deadline: Date.now() + 20_000 },
    );
    const cancel = (): void => call.cancel();
    this.#stop.signal.addEventListener("abort", cancel, { once: true });
    const answers: MessageShape<M["output"]>[] = [];
    return new Promise<MessageShape<M["output"]>[]>((resolve, reject) => {
      call.on("data", (answer: MessageShape<M["output"]>) => answers.push(answer));
      call.on("error", reject);
      call.on("end", () => resolve(answers));
    }).finally(() => this.#stop.signal.removeEventListener("abort", cancel));
  }

  #ended(method: string, outcome: string): void {
    const outcomes = this.outcomes.get(method) ?? new Map<string, number>();
    this.outcomes.set(method, outcomes);
    this.#note(outcomes, outcome, 1);
  }

  #note(counts: Map<string, number>, name: string, by: number): void {
    counts.set(name, (counts.get(name) ?? 0) + by);
  }
}
