import { Code, ConnectError, type Interceptor } from "@connectrpc/connect";
import { codeToString } from "@connectrpc/connect/protocol-connect";
import {
  type Context,
  context,
  propagation,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  type TextMapGetter,
  type Tracer,
  trace,
} from "@opentelemetry/api";
import { eachIn, tracer } from "../lib/trace.ts";

type Call = ReturnType<Interceptor>;

/** Of these the server is to blame, as the conventions of gRPC have it. */
const faults: readonly Code[] = [
  Code.Unknown,
  Code.DeadlineExceeded,
  Code.Unimplemented,
  Code.Internal,
  Code.Unavailable,
  Code.DataLoss,
];

/**
 * A server span for each call, in the trace of its caller where the headers name one (traceparent). Names and attributes
 * are OpenTelemetry's for RPC. Without an SDK a call goes straight on.
 */
export const tracing: Interceptor = (next) => (request) => {
  const made = tracer();
  return made ? tracedCall(made, next, request) : next(request);
};

async function tracedCall(made: Tracer, next: Call, request: Parameters<Call>[0]): ReturnType<Call> {
  const parent = propagation.extract(ROOT_CONTEXT, request.header, headers);
  const method = `${request.service.typeName}/${request.method.name}`;
  const grpc = request.header.get("content-type")?.startsWith("application/grpc") ?? false;
  const attributes = { "rpc.system.name": grpc ? "grpc" : "connectrpc", "rpc.method": method };
  const span = made.startSpan(method, { kind: SpanKind.SERVER, attributes }, parent);
  const active = trace.setSpan(parent, span);
  const end = (error?: unknown): void => endSpan(span, grpc, error);
  try {
    const response = await context.with(active, () => next(request));
    if (response.stream) return { ...response, message: traced(active, response.message, end) };
    end();
    return response;
  } catch (error) {
    end(error);
    throw error;
  }
}

async function* traced<T>(
  active: Context,
  messages: AsyncIterable<T>,
  end: (error?: unknown) => void,
): AsyncGenerator<T> {
  let outcome: unknown = new ConnectError("the reader went away", Code.Canceled);
  try {
    yield* eachIn(active, messages);
    outcome = undefined;
  } catch (error) {
    outcome = error;
    throw error;
  } finally {
    end(outcome);
  }
}

function endSpan(span: Span, grpc: boolean, error: unknown): void {
  const { code, rawMessage } = error === undefined ? { code: undefined, rawMessage: "" } : ConnectError.from(error);
  const name = statusName(code, grpc);
  span.setAttribute("rpc.response.status_code", name);
  if (code !== undefined && faults.includes(code)) {
    span.setAttribute("error.type", name);
    span.setStatus({ code: SpanStatusCode.ERROR, message: rawMessage });
  }
  span.end();
}

/** gRPC and Connect spell their codes differently. */
function statusName(code: Code | undefined, grpc: boolean): string {
  const name = code === undefined ? "ok" : codeToString(code);
  if (!grpc) return name;
  return code === Code.Canceled ? "CANCELLED" : name.toUpperCase();
}

const headers: TextMapGetter<Headers> = {
  keys: (carrier) => [...carrier.keys()],
  get: (carrier, key) => carrier.get(key) ?? undefined,
};
