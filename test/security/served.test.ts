import { copyFileSync } from "node:fs";
import { connect } from "node:tls";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { runCommandLine } from "../../src/cli/run-command-line.ts";
import { Authority, withoutOpenssl } from "../support/certificates.ts";
import { eventually } from "../support/eventually.ts";
import { startTwoSite } from "../support/two-site.ts";

let out: string[];
let err: string[];

beforeEach(() => {
  [out, err] = [[], []];
  vi.spyOn(console, "log").mockImplementation((line: string) => void out.push(line));
  vi.spyOn(console, "error").mockImplementation((line: string) => void err.push(line));
});

afterEach(() => {
  vi.restoreAllMocks();
});

/** Of the certificate that the server shows to a new connection. */
function serialOf(address: string, ca: string): Promise<string> {
  const port = Number(address.split(":")[1]);
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: "127.0.0.1", servername: "localhost", ca }, () => {
      resolve(socket.getPeerCertificate().serialNumber);
      socket.destroy();
    }).on("error", reject);
  });
}

describe.skipIf(withoutOpenssl)("with openssl to make certificates", () => {
  test("both sites behind a locked door: an operator makes a token, uses it, and renews a certificate", {
    timeout: 90_000,
  }, async () => {
    using authority = new Authority();
    const [certificate, next] = [authority.server(), authority.server()];
    const door = {
      TLS_CERT_FILE: certificate.certFile,
      TLS_KEY_FILE: certificate.keyFile,
      AUTH: "on",
      TOKEN_POLL_MS: "50",
    };
    await using sites = await startTwoSite({ servers: false, env: { main: door, secondary: door } });
    const { main, secondary } = sites;
    await Promise.all([main.start(), secondary.start()]);
    const opsdb = async (
      args: string[],
      env: Record<string, string> = {},
    ): Promise<{ code: number; out: string; err: string }> => {
      [out, err] = [[], []];
      const code = await runCommandLine(args, env);
      return { code, out: out.join("\n"), err: err.join("\n") };
    };
    const show = (server: string, ...more: string[]) => ["drain", "show", "--server", server, ...more];
    const ca = ["--ca", authority.certFile];

    const made = await opsdb(["tokens", "create", "night desk", "--roles", "read,admin"], sites.environment("main"));
    expect(made).toMatchObject({
      code: 0,
      out: expect.stringMatching(/^opsdb_/),
      err: expect.stringContaining("not shown again"),
    });
    const env = { OPSDB_TOKEN: made.out };
    for (const { grpc } of [main, secondary]) {
      await eventually(
        () => opsdb(show(grpc, ...ca), env),
        ({ code }) => code === 0,
      );
      expect(await opsdb(show(grpc, ...ca))).toMatchObject({ code: 3, err: expect.stringContaining("--token-file") });
      expect(await opsdb(show(grpc, "--tls"), env)).toMatchObject({
        code: 1,
        err: expect.stringMatching(/certificate/),
      });
      expect((await opsdb(show(grpc), env)).code).toBe(1); // plaintext
    }

    const before = await serialOf(secondary.grpc, authority.cert);
    copyFileSync(next.certFile, certificate.certFile);
    copyFileSync(next.keyFile, certificate.keyFile);
    process.kill(secondary.pid, "SIGHUP");
    await eventually(
      () => serialOf(secondary.grpc, authority.cert),
      (serial) => serial !== before,
    );
    expect(await opsdb(show(secondary.grpc, ...ca), env)).toMatchObject({ code: 0 });

    const ended = secondary.ended;
    await secondary.stop();
    expect(await ended).toBeUndefined();
  });
});

test("a server that would stand open does not start, and says what to set", async () => {
  const env = { SITE_TYPE: "main", SITE_NAME: "cologne", MAIN_DB_HOST: "db", MAIN_DB_USER: "u", MAIN_DB_NAME: "n" };
  expect(await runCommandLine(["serve"], { ...env, LISTEN_ADDRESS: "0.0.0.0:8080" })).toBe(78);
  expect(err.join()).toMatch(/TLS_CERT_FILE: is not set.*TLS_KEY_FILE.*ALLOW_INSECURE=true/);
  expect(err.join()).toMatch(/AUTH: is not set.*AUTH=on/);
});
