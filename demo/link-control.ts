import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { Cut, Direction, Link, LinkStatus } from "../test/support/link.ts";

export interface LinkControl extends AsyncDisposable {
  readonly url: string;
}

/** Lets people and scripts cut, delay and heal the link by HTTP. Every answer is the link's state. */
export async function startLinkControl(link: Link): Promise<LinkControl> {
  const server = createServer((request, response) => answer(link, request, response));
  server.listen(0, "127.0.0.1");
  await new Promise((resolve, reject) => server.once("listening", resolve).once("error", reject));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  return {
    url: `http://127.0.0.1:${address.port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function answer(link: Link, request: IncomingMessage, response: ServerResponse): void {
  const url = new URL(request.url ?? "/", "http://link");
  const problem = act(link, `${request.method} ${url.pathname}`, url.searchParams);
  const body: LinkStatus | { error: string } = problem ? { error: problem } : link.status;
  response.writeHead(problem ? 400 : 200, { "content-type": "application/json" });
  response.end(`${JSON.stringify(body)}\n`);
  request.resume();
}

/** What was wrong with the request, if something was. */
function act(link: Link, what: string, parameters: URLSearchParams): string | undefined {
  switch (what) {
    case "GET /":
      return undefined;
    case "POST /cut": {
      const cut = readCut(parameters);
      if (!cut) return "mode is reset or blackhole; direction, of a blackhole, is both, to-main or from-main";
      link.cut(cut);
      return undefined;
    }
    case "POST /heal":
      link.heal();
      return undefined;
    case "POST /delay": {
      const ms = Number(parameters.get("ms") ?? Number.NaN);
      if (!(ms >= 0 && ms <= 60_000)) return "ms, the round trip in milliseconds, is between 0 and 60000";
      link.setRoundTrip(ms);
      return undefined;
    }
    default:
      return "GET /, POST /cut?mode=reset|blackhole, POST /heal or POST /delay?ms=220";
  }
}

function readCut(parameters: URLSearchParams): Cut | undefined {
  const mode = parameters.get("mode") ?? "reset";
  const direction = parameters.get("direction") ?? "both";
  if (mode === "reset") return { mode };
  const directions: readonly Direction[] = ["both", "to-main", "from-main"];
  const known = directions.find((it) => it === direction);
  return mode === "blackhole" && known ? { mode, direction: known } : undefined;
}
