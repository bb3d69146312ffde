import type { DescMethod } from "@bufbuild/protobuf";
import { Code, ConnectError, type Interceptor } from "@connectrpc/connect";
import { Counter, Histogram, type Registry } from "prom-client";

/** One call while it runs. */
export interface CallMetrics {
  received(): void;
  sent(): void;
  /** Counts once, however often it is called. */
  done(code: Code | "OK"): void;
}

/** Counts calls and messages under the names that go-grpc-prometheus made usual. */
export class RpcMetrics {
  readonly #started: Counter;
  readonly #handled: Counter;
  readonly #received: Counter;
  readonly #sent: Counter;
  readonly #seconds: Histogram;

  constructor(registry: Registry) {
    const labelNames = ["grpc_type", "grpc_service", "grpc_method"];
    const registers = [registry];
    const counter = (name: string, help: string, more: string[] = []): Counter =>
      new Counter({ name, help, labelNames: [...labelNames, ...more], registers });
    this.#started = counter("grpc_server_started_total", "Calls started");
    this.#handled = counter("grpc_server_handled_total", "Calls ended, by code", ["grpc_code"]);
    this.#received = counter("grpc_server_msg_received_total", "Messages received");
    this.#sent = counter("grpc_server_msg_sent_total", "Messages sent");
    this.#seconds = new Histogram({
      name: "grpc_server_handling_seconds",
      help: "Time from a call's start to its end",
      labelNames,
      buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
      registers,
    });
  }

  start(method: DescMethod): CallMetrics {
    const labels = { grpc_type: method.methodKind, grpc_service: method.parent.typeName, grpc_method: method.name };
    const end = this.#seconds.startTimer(labels);
    this.#started.inc(labels);
    let open = true;
    return {
      received: () => this.#received.inc(labels),
      sent: () => this.#sent.inc(labels),
      done: (code) => {
        if (!open) return;
        open = false;
        end();
        this.#handled.inc({ ...labels, grpc_code: code === "OK" ? code : (Code[code] ?? "Unknown") });
      },
    };
  }

  /** A call that was refused before any interceptor heard of it. */
  refused(method: DescMethod, error: ConnectError): void {
    this.start(method).done(error.code);
  }

  /** Outermost, so that it sees the codes that go out. */
  readonly interceptor: Interceptor = (next) => async (request) => {
    const call = this.start(declared(request.method));
    try {
      if (!request.stream) call.received();
      const counted = request.stream ? { ...request, message: each(request.message, call.received) } : request;
      const response = await next(counted);
      if (response.stream) return { ...response, message: counting(response.message, call) };
      call.sent();
      call.done("OK");
      return response;
    } catch (error) {
      call.done(ConnectError.from(error).code);
      throw error;
    }
  };
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
    yield* each(messages, call.sent);
    call.done("OK");
  } catch (error) {
    call.done(ConnectError.from(error).code);
    throw error;
  } finally {
    call.done(Code.Canceled); // the reader went away: neither the end nor an error was seen
  }
}
