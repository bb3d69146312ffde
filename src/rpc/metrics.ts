import type { DescMethod, DescService } from "@bufbuild/protobuf";
import { Code, ConnectError, type Interceptor } from "@connectrpc/connect";
import { Counter, Histogram, type Registry } from "prom-client";
import { ErrorInfoSchema } from "../../gen/ts/google/rpc/error_details_pb.ts";
import { type Reason, reasons } from "../errors.ts";

/** One call while it runs. */
interface CallMetrics {
  received(): void;
  sent(): void;
  /** Counts once, however often it is called; without an error it went well. */
  done(error?: ConnectError): void;
}

type Labels = Record<"grpc_type" | "grpc_service" | "grpc_method", string>;

/** What has become of the calls of one method. */
interface Tally {
  labels: Labels;
  started: number;
  received: number;
  sent: number;
  handled: Map<string, number>;
}

const labelNames = ["grpc_type", "grpc_service", "grpc_method"];
const grpcTypes: Record<DescMethod["methodKind"], string> = {
  unary: "unary",
  client_streaming: "client_stream",
  server_streaming: "server_stream",
  bidi_streaming: "bidi_stream",
};
const codes = ["OK", ...Object.values(Code).filter((code) => typeof code === "string")];

/**
 * Counts calls and messages under the names and labels that go-grpc-prometheus made usual. Every series is there from
 * the start, with 0. Counts are plain numbers until somebody asks, so that a message costs next to nothing.
 */
export class RpcMetrics {
  readonly #tallies: Map<DescMethod, Tally>;
  readonly #refusals = new Map((Object.keys(reasons) as Reason[]).map((reason) => [reason as string, 0]));
  readonly #seconds: Histogram;

  constructor(registry: Registry, services: readonly DescService[]) {
    const methods = services.flatMap(({ methods }) => methods);
    this.#tallies = new Map(methods.map((method) => [method, tallyOf(method)]));
    const count = (name: string, help: string, of: (tally: Tally) => number): void =>
      this.#counter(registry, { name, help, labelNames }, () =>
        [...this.#tallies.values()].map((tally) => [tally.labels, of(tally)]),
      );
    count("grpc_server_started_total", "Calls that were started", ({ started }) => started);
    count("grpc_server_msg_received_total", "Messages of callers", ({ received }) => received);
    count("grpc_server_msg_sent_total", "Messages to callers", ({ sent }) => sent);
    const byCode = { name: "grpc_server_handled_total", help: "Calls that have ended, by code" };
    this.#counter(registry, { ...byCode, labelNames: [...labelNames, "grpc_code"] }, () =>
      [...this.#tallies.values()].flatMap(({ labels, handled }) =>
        [...handled].map(([code, value]): [Record<string, string>, number] => [{ ...labels, grpc_code: code }, value]),
      ),
    );
    const refused = {
      name: "opsdb_refusals_total",
      help: "Calls that ended with an error of this service, by its reason",
    };
    this.#counter(registry, { ...refused, labelNames: ["reason"] }, () =>
      [...this.#refusals].map(([reason, value]) => [{ reason }, value]),
    );
    this.#seconds = new Histogram({
      name: "grpc_server_handling_seconds",
      help: "Time from a call's start to its end, in seconds",
      labelNames,
      buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
      registers: [registry],
    });
    for (const { labels } of this.#tallies.values()) this.#seconds.zero(labels);
  }

  /** A call that was refused before any interceptor heard of it. */
  refused(method: DescMethod, error: ConnectError): void {
    this.#start(method).done(error);
  }

  /** Outermost, so that it sees the codes that go out. */
  readonly interceptor: Interceptor = (next) => async (request) => {
    const call = this.#start(declared(request.method));
    try {
      if (!request.stream) call.received();
      const counted = request.stream ? { ...request, message: each(request.message, call.received) } : request;
      const response = await next(counted);
      if (response.stream) return { ...response, message: counting(response.message, call) };
      call.sent();
      call.done();
      return response;
    } catch (error) {
      call.done(ConnectError.from(error));
      throw error;
    }
  };

  #start(method: DescMethod): CallMetrics {
    const tally = this.#tallies.get(method) ?? this.#add(method);
    const startedAt = performance.now();
    tally.started += 1;
    let open = true;
    return {
      received: () => void tally.received++,
      sent: () => void tally.sent++,
      done: (error) => {
        if (!open) return;
        open = false;
        this.#seconds.observe(tally.labels, (performance.now() - startedAt) / 1_000);
        increase(tally.handled, error === undefined ? "OK" : (Code[error.code] ?? "Unknown"));
        const reason = error && reasonOf(error);
        if (reason !== undefined) increase(this.#refusals, reason);
      },
    };
  }

  #add(method: DescMethod): Tally {
    const tally = tallyOf(method);
    this.#tallies.set(method, tally);
    return tally;
  }

  #counter(
    registry: Registry,
    names: { name: string; help: string; labelNames: string[] },
    read: () => [labels: Record<string, string>, value: number][],
  ): void {
    new Counter({
      ...names,
      registers: [registry],
      collect() {
        this.reset();
        for (const [labels, value] of read()) this.inc(labels, value);
      },
    });
  }
}

function tallyOf(method: DescMethod): Tally {
  const labels = {
    grpc_type: grpcTypes[method.methodKind],
    grpc_service: method.parent.typeName,
    grpc_method: method.name,
  };
  return { labels, started: 0, received: 0, sent: 0, handled: new Map(codes.map((code) => [code, 0])) };
}

function increase(counts: Map<string, number>, key: string): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}

/** The reason that an error goes out with. */
function reasonOf({ details }: ConnectError): string | undefined {
  for (const detail of details)
    if ("desc" in detail && detail.desc === ErrorInfoSchema) return (detail.value as { reason?: string }).reason;
  return undefined;
}

/** The method as the contract declares it: the router may serve a unary one as a stream of one. */
export function declared(method: DescMethod): DescMethod {
  return method.parent.method[method.localName] ?? method;
}

async function* each<T>(messages: AsyncIterable<T>, count: () => void): AsyncGenerator<T> {
  for await (const message of messages) {
    count();
    yield message;
  }
}

async function* counting<T>(messages: AsyncIterable<T>, call: CallMetrics): AsyncGenerator<T> {
  try {
    for await (const message of messages) {
      call.sent();
      yield message;
    }
    call.done();
  } catch (error) {
    call.done(ConnectError.from(error));
    throw error;
  } finally {
    // The reader went away: neither the end nor an error was seen.
    call.done(new ConnectError("the reader went away", Code.Canceled));
  }
}
