import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A certificate with its key, as files and as text. PEM. */
export interface Certificate {
  certFile: string;
  keyFile: string;
  cert: string;
  key: string;
}

/** Where `openssl` is missing, tests that need it are skipped; in CI they fail instead. */
export const withoutOpenssl = spawnSync("openssl", ["version"]).status !== 0 && !process.env.CI;

/** An authority of its own in a temporary directory. */
export class Authority implements Disposable {
  readonly #directory = mkdtempSync(join(tmpdir(), "opsdb-tls-"));
  readonly #authority: Certificate;
  #made = 0;

  constructor(name = "test authority") {
    this.#authority = this.#make(name, ["-addext", "basicConstraints=critical,CA:TRUE"]);
  }

  get cert(): string {
    return this.#authority.cert;
  }

  get certFile(): string {
    return this.#authority.certFile;
  }

  /** Of a server on this machine. */
  server(): Certificate {
    return this.#sign("localhost", "subjectAltName=DNS:localhost,IP:127.0.0.1");
  }

  client(name: string): Certificate {
    return this.#sign(name, "extendedKeyUsage=clientAuth");
  }

  [Symbol.dispose](): void {
    rmSync(this.#directory, { recursive: true, force: true });
  }

  #sign(name: string, extension: string): Certificate {
    const { certFile, keyFile } = this.#authority;
    const leaf = ["-addext", "basicConstraints=critical,CA:FALSE", "-addext", extension];
    return this.#make(name, ["-CA", certFile, "-CAkey", keyFile, ...leaf]);
  }

  #make(name: string, more: string[]): Certificate {
    this.#made += 1;
    const certFile = join(this.#directory, `${this.#made}.crt`);
    const keyFile = join(this.#directory, `${this.#made}.key`);
    const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", keyFile];
    const args = ["req", "-x509", ...key, "-subj", `/CN=${name}`, "-days", "2", "-out", certFile, ...more];
    execFileSync("openssl", args, { stdio: "pipe" });
    return { certFile, keyFile, cert: readFileSync(certFile, "utf8"), key: readFileSync(keyFile, "utf8") };
  }
}
