import { constants, Http2ServerResponse } from "node:http2";
import type { Incoming, Outgoing } from "./front.ts";

/** How long a caller over HTTP/1.1 has to read its answer before what it still sends is cut off, milliseconds. */
const readAnswerMs = 1_000;

/**
 * Ends a request once it is answered, although its caller has not ended it: a message that is refused for its length is
 * not read further, and it would stay half open for as long as the connection does.
 */
export function endRequestOnceAnswered(request: Incoming, response: Outgoing): void {
  if (!(response instanceof Http2ServerResponse)) {
    const { socket } = request; // it is taken from an answered request
    response.once("finish", () => {
      if (request.complete) return;
      setTimeout(() => {
        if (!request.complete) socket.destroy();
      }, readAnswerMs).unref();
    });
    return;
  }
  const { stream } = response;
  // Behind the response's own listener, which sends the trailers: they go out before the end.
  stream.once("wantTrailers", () => {
    setImmediate(() => {
      if (!stream.closed && !stream.destroyed && !stream.readableEnded) stream.close(constants.NGHTTP2_NO_ERROR);
    });
  });
}
