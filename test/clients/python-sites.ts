import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server } from "node:http";
import { type AddressInfo, connect, type Server as NetServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createServer as createTlsServer } from "node:tls";
import { promisify } from "node:util";
import { Link } from "../support/link.ts";
import { sql } from "../support/sql.ts";
import { startTwoSite, type TwoSite } from "../support/two-site.ts";

/** What the Python tests are told, as JSON in OPSDB_TEST_SITES. */
export interface DescribedSites {
  /** The secondary site's service, through a link of its own. */
  address: string;
  main: string;
  tls: { address: string; ca: string; cert: string; key: string };
  /** Where faults are ordered by HTTP. */
  control: string;
}

const run = promisify(execFile);

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
      tls: await startTls(stack, portOf(sites.secondary.grpc)),
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
    return await actions[pathname.slice(1)]?.(searchParams);
  };
  const server = createServer((request, response) => {
    act(request).then(
      (answer) => response.end(JSON.stringify(answer ?? null)),
      (error: unknown) => response.writeHead(500).end(String(error)),
    );
  });
  return `http://127.0.0.1:${await listen(stack, server)}`;
}

/** TLS in front of the service, which asks for the client's certificate, and the files for both ends. */
async function startTls(stack: AsyncDisposableStack, port: number): Promise<DescribedSites["tls"]> {
  const directory = await mkdtemp(join(tmpdir(), "opsdb-tls-"));
  stack.defer(() => rm(directory, { recursive: true }));
  const file = (name: string): string => join(directory, name);
  const openssl = (...args: string[]) => run("openssl", args);
  const fresh = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  const authority = ["-CA", file("ca.pem"), "-CAkey", file("ca.key"), "-CAcreateserial"];
  await writeFile(file("extensions"), "subjectAltName = DNS:ops.example");
  await openssl("req", "-x509", ...fresh, "-subj", "/CN=ca", "-keyout", file("ca.key"), "-out", file("ca.pem"));
  for (const name of ["server", "client"]) {
    const request = ["-in", file("request"), "-extfile", file("extensions")];
    await openssl("req", ...fresh, "-subj", `/CN=${name}`, "-keyout", file(`${name}.key`), "-out", file("request"));
    await openssl("x509", "-req", ...request, ...authority, "-out", file(`${name}.pem`));
  }
  const [key, cert, ca] = ["server.key", "server.pem", "ca.pem"].map((name) => readFileSync(file(name)));
  const options = { key, cert, ca, requestCert: true, rejectUnauthorized: true, ALPNProtocols: ["h2"] };
  const server = createTlsServer(options, (near) => {
    const far = connect(port, "127.0.0.1");
    const end = (): void => {
      near.destroy();
      far.destroy();
    };
    for (const socket of [near, far]) socket.on("error", end).on("close", end);
    near.pipe(far).pipe(near);
  });
  const address = `127.0.0.1:${await listen(stack, server)}`;
  return { address, ca: file("ca.pem"), cert: file("client.pem"), key: file("client.key") };
}

async function listen(stack: AsyncDisposableStack, server: Server | NetServer): Promise<number> {
  server.listen(0, "127.0.0.1");
  await new Promise((resolve, reject) => server.once("listening", resolve).once("error", reject));
  stack.defer(() => new Promise((resolve) => void server.close(() => resolve())));
  return (server.address() as AddressInfo).port;
}

function portOf(address: string): number {
  return Number(address.split(":")[1]);
}
