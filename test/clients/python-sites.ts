import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { Authority, withoutOpenssl } from "../support/certificates.ts";
import { Link } from "../support/link.ts";
import { issueToken } from "../support/secured-site.ts";
import { sql } from "../support/sql.ts";
import { startTwoSite, type TwoSite } from "../support/two-site.ts";

/** What the Python tests are told, as JSON in OPSDB_TEST_SITES. */
export interface DescribedSites {
  /** The secondary site's service, through a link of its own. */
  address: string;
  main: string;
  /** The same site's service with TLS, certificates of clients, and tokens by what they allow. */
  secured: { address: string; ca: string; cert: string; key: string; tokens: Record<string, string> } | undefined;
  /** Where faults are ordered by HTTP. */
  control: string;
}

/** Types of which the Python tests write random values; each has a column of its name in the table client_values. */
const types = [
  ...["boolean", "smallint", "integer", "bigint", "double precision", "numeric", "text", "bytea", "date", "uuid"],
  ...["time without time zone", "timestamp with time zone", "interval", "jsonb", "integer[]", "text[]", "numeric[]"],
  ...["timestamp with time zone[]", "date[]", "jsonb[]"],
];

/** Two sites for clients in other processes, which reach the secondary one over a link and order faults by HTTP. */
export class PythonSites implements AsyncDisposable {
  readonly described: DescribedSites;
  readonly #stack: AsyncDisposableStack;

  private constructor(described: DescribedSites, stack: AsyncDisposableStack) {
    this.described = described;
    this.#stack = stack;
  }

  static async start(): Promise<PythonSites> {
    await using stack = new AsyncDisposableStack();
    const sites = stack.use(await startTwoSite({ servers: false, env: { secondary: { SQL_QUERIES: "on" } } }));
    const columns = types.map((type) => `"${type}" ${type}`);
    await sql(sites.urls.main, `create table client_values (id bigint primary key, ${columns.join(", ")})`);
    await sites.standby.caughtUp();
    await Promise.all([sites.main, sites.secondary].map((server) => server.start().then(() => server.ready())));
    const link = stack.use(new Link());
    const { port } = await link.forward({ host: "127.0.0.1", port: portOf(sites.secondary.grpc) });
    const described = {
      address: `127.0.0.1:${port}`,
      main: sites.main.grpc,
      secured: await startSecured(stack, sites),
      control: await startControl(stack, sites, link),
    };
    return new PythonSites(described, stack.move());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}

async function startControl(stack: AsyncDisposableStack, sites: TwoSite, link: Link): Promise<string> {
  const actions: Record<string, (parameters: URLSearchParams) => unknown> = {
    cut: () => link.cut(),
    "lose-answers": () => link.cut({ mode: "blackhole", direction: "from-main" }),
    heal: () => link.heal(),
    kill: () => sites.secondary.kill(),
    start: () => sites.secondary.start(),
    remarks: async (parameters) => {
      const statement = "select remark from executed_obs_units where remark like $1 || '%' order by remark";
      const rows = await sql<{ remark: string }>(sites.urls.main, statement, [parameters.get("prefix")]);
      return rows.map((row) => row.remark);
    },
  };
  const act = async (request: IncomingMessage): Promise<unknown> => {
    const { pathname, searchParams } = new URL(request.url ?? "", "http://control");
    const action = actions[pathname.slice(1)];
    if (!action) throw new Error(`no such action: ${pathname}`);
    return await action(searchParams);
  };
  const server = createServer((request, response) => {
    act(request).then(
      (answer) => response.end(JSON.stringify(answer ?? null)),
      (error: unknown) => response.writeHead(500).end(String(error)),
    );
  });
  return `http://127.0.0.1:${await listen(stack, server)}`;
}

/** One more process of the secondary site, which lets in who has a certificate and a token. Undefined without openssl. */
async function startSecured(stack: AsyncDisposableStack, sites: TwoSite): Promise<DescribedSites["secured"]> {
  if (withoutOpenssl) return undefined;
  const tokens = {
    all: await issueToken(sites.urls.main, { roles: ["read", "write"] }),
    write: await issueToken(sites.urls.main, { roles: ["write"] }),
    revoked: await issueToken(sites.urls.main, { roles: ["read", "write"], revoked: true }),
  };
  await sites.standby.caughtUp();
  const authority = stack.use(new Authority());
  const [own, client] = [authority.server(), authority.client("instrument")];
  const server = sites.anotherServer("secondary", "secured", {
    AUTH: "on",
    TLS_CERT_FILE: own.certFile,
    TLS_KEY_FILE: own.keyFile,
    TLS_CLIENT_CA_FILE: authority.certFile,
  });
  await server.start();
  return { address: server.grpc, ca: authority.certFile, cert: client.certFile, key: client.keyFile, tokens };
}

async function listen(stack: AsyncDisposableStack, server: Server): Promise<number> {
  server.listen(0, "127.0.0.1");
  await new Promise((resolve, reject) => server.once("listening", resolve).once("error", reject));
  stack.defer(() => new Promise((resolve) => void server.close(() => resolve())));
  return (server.address() as AddressInfo).port;
}

function portOf(address: string): number {
  return Number(address.split(":")[1]);
}
