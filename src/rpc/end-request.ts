import { constants, Http2ServerResponse } from "node:http2";
import type { Outgoing } from "./front.ts";

/**
 * Ends an HTTP/2 request once it is answered, although its caller has not ended it: a message that is refused for its
 * length is not read further, and the stream would stay half open for as long as the connection does.
 */
export function endRequestOnceAnswered(response: Outgoing): void {
  if (!(response instanceof Http2ServerResponse)) return;
  const { stream } = response;
  // Behind the response's own listener, which sends the trailers: they go out before the end.
  stream.once("wantTrailers", () => {
    setImmediate(() => {
      if (!stream.closed && !stream.destroyed && !stream.readableEnded) stream.close(constants.NGHTTP2_NO_ERROR);
    });
  });
}
