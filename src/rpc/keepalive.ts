import type { ServerHttp2Session } from "node:http2";

export interface Keepalive {
  /** Time between pings, milliseconds. */
  everyMs: number;
  /** Longest wait for the answer, milliseconds. */
  timeoutMs: number;
}

/** Ends a session whose peer no longer answers, so that the signals of its calls abort and nothing waits for it. */
export function keepAlive(session: ServerHttp2Session, { everyMs, timeoutMs }: Keepalive): void {
  let waiting: NodeJS.Timeout | undefined;
  const ping = (): void => {
    if (waiting !== undefined || session.destroyed) return;
    waiting = setTimeout(() => session.destroy(), timeoutMs);
    session.ping((error) => {
      clearTimeout(waiting);
      waiting = undefined;
      if (error) session.destroy();
    });
  };
  const timer = setInterval(ping, everyMs);
  session.once("close", () => {
    clearInterval(timer);
    clearTimeout(waiting);
  });
}
