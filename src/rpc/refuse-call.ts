import { constants } from "node:http2";
import { Code, type ConnectError } from "@connectrpc/connect";
import { codeToHttpStatus, endStreamToJson, errorToJsonBytes } from "@connectrpc/connect/protocol-connect";
import { setTrailerStatus } from "@connectrpc/connect/protocol-grpc";
import { trailerSerialize } from "@connectrpc/connect/protocol-grpc-web";
import type { Incoming, Outgoing } from "./front.ts";
import { errorJson } from "./json-options.ts";

/**
 * Answers a call with an error, in the protocol that it speaks, without reading its message: whoever may not call sends
 * nothing that has to be understood.
 */
export function refuseCall(error: ConnectError, request: Incoming, response: Outgoing): void {
  const type = request.headers["content-type"] ?? "";
  letGo(request, response);
  if (type.startsWith("application/grpc-web")) {
    answer(response, 200, { "content-type": type }, envelope(0x80, trailerSerialize(trailers(error))));
  } else if (type.startsWith("application/grpc")) {
    // As headers that end the stream, which is how gRPC wants an answer without a message.
    answer(response, 200, { "content-type": type, ...Object.fromEntries(trailers(error)) });
  } else if (type.startsWith("application/connect+")) {
    const end = JSON.stringify(endStreamToJson(new Headers(), error, errorJson));
    answer(response, 200, { "content-type": type }, envelope(0x02, Buffer.from(end)));
  } else {
    const headers = { "content-type": "application/json", ...challenge(error) };
    answer(response, codeToHttpStatus(error.code), headers, errorToJsonBytes(error, errorJson));
  }
}

/** What HTTP wants beside status 401. */
export function challenge({ code }: Pick<ConnectError, "code">): Record<string, string> {
  return code === Code.Unauthenticated ? { "www-authenticate": 'Bearer realm="opsdb"' } : {};
}

function trailers(error: ConnectError): Headers {
  const headers = new Headers();
  setTrailerStatus(headers, error);
  return headers;
}

function envelope(flags: number, bytes: Uint8Array): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt8(flags);
  head.writeUInt32BE(bytes.byteLength, 1);
  return Buffer.concat([head, bytes]);
}

function answer(response: Outgoing, status: number, headers: Record<string, string>, body?: Uint8Array): void {
  response.statusCode = status;
  for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
  if (body === undefined) response.end();
  else response.end(body);
}

/** What the peer still sends goes nowhere; over HTTP/2 it is told to stop once it has the answer. */
function letGo(request: Incoming, response: Outgoing): void {
  request.resume();
  if (!("stream" in response)) return;
  const { stream } = response;
  response.once("finish", () => {
    if (!request.complete) stream.close(constants.NGHTTP2_NO_ERROR);
  });
}
