import type { DescMethodUnary, DescService } from "@bufbuild/protobuf";
import {
  type ConnectRouter,
  type ConnectRouterOptions,
  createConnectRouter,
  type HandlerContext,
  type Interceptor,
  type ServiceImpl,
} from "@connectrpc/connect";
import type { UniversalHandler } from "@connectrpc/connect/protocol";
import { compressionBrotli, compressionGzip } from "@connectrpc/connect-node";
import { withErrorDetails } from "./connect-error-details.ts";
import { json } from "./json-options.ts";

/** Adds one service to a router. */
export type AddService = <S extends DescService>(service: S, implementation: ServiceImpl<S>) => void;

export interface RoutesOptions {
  services: (add: AddService, router: ConnectRouter) => void;
  interceptors: Interceptor[];
  /** The largest message that is read, bytes. */
  messageBytes: number;
  /** Ends running calls, with its reason. */
  ending: AbortSignal;
}

/** Makes the handlers of all services in all protocols: gRPC, gRPC-Web, and Connect with JSON or protobuf. */
export function createHandlers({ services, interceptors, messageBytes, ending }: RoutesOptions): UniversalHandler[] {
  const options: ConnectRouterOptions = {
    interceptors,
    readMaxBytes: messageBytes,
    shutdownSignal: ending,
    jsonOptions: json,
    acceptCompression: [compressionGzip, compressionBrotli],
    // Callers are on the site's own network, where compressing costs more time than it saves: 250,000 rows/s at most.
    compressMinBytes: 2 ** 32 - 1,
  };
  const grpc = createConnectRouter({ ...options, connect: false });
  services((service, implementation) => addWithUnaryAsStream(grpc, service, implementation), grpc);
  const connect = createConnectRouter({ ...options, grpc: false, grpcWeb: false });
  services((service, implementation) => void connect.service(service, implementation), connect);
  const unary = (handler: UniversalHandler): boolean => handler.method.methodKind === "unary";
  return [
    ...grpc.handlers,
    ...connect.handlers.map((handler) => (unary(handler) ? withErrorDetails(handler) : handler)),
  ];
}

/**
 * In gRPC and gRPC-Web a unary call and a stream of one message are the same bytes. Served as a stream, its message is
 * read inside the interceptors, so that a message that cannot be read gets a status with details like any other error.
 */
function addWithUnaryAsStream<S extends DescService>(
  router: ConnectRouter,
  service: S,
  implementation: ServiceImpl<S>,
): void {
  for (const method of service.methods) {
    const call = implementation[method.localName as keyof ServiceImpl<S>]?.bind(implementation);
    if (method.methodKind !== "unary") {
      router.rpc(method as never, call as never);
      continue;
    }
    const unary = call as unknown as UnaryCall;
    const asStream = { ...(method as DescMethodUnary), methodKind: "server_streaming" };
    router.rpc(asStream as never, streamOfOne(unary) as never);
  }
}

type UnaryCall = (request: unknown, context: HandlerContext) => unknown;

function streamOfOne(call: UnaryCall) {
  return async function* one(request: unknown, context: HandlerContext): AsyncGenerator<unknown> {
    yield await call(request, context);
  };
}
