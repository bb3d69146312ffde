import { subscribe } from "node:diagnostics_channel";
import type { ClientHttp2Session, ClientHttp2Stream } from "node:http2";

const known = new WeakSet<ClientHttp2Session>();

/**
 * The client's library destroys a session that the server has told to go with an error, and when a call comes in before
 * that error is emitted, nobody listens to it any more: it would end this process. The call itself gets its error.
 */
export function quietSessions(): void {
  subscribe("http2.client.stream.created", (message) => {
    const { session } = (message as { stream: ClientHttp2Stream }).stream;
    if (session === undefined || known.has(session as ClientHttp2Session)) return;
    known.add(session as ClientHttp2Session);
    session.on("error", () => {});
  });
}
