import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { createSecureContext } from "node:tls";
import type { TlsFiles } from "../config-security.ts";
import { sleep } from "../lib/abort.ts";
import type { Logger } from "../lib/logger.ts";

/** What a TLS server shows, and whose certificates it takes of clients. PEM. */
export interface Certificates {
  cert: string;
  key: string;
  /** Undefined: clients need no certificate. */
  ca: string | undefined;
}

/** Between looks at the files, milliseconds. */
const LOOK_MS = 2_000;

/** The server's certificates as their files are. What cannot be used, as a file that is half written, changes nothing. */
export class CertificateFiles {
  readonly #files: TlsFiles;
  readonly #logger: Logger;
  #current: Certificates;
  #problem: string | undefined;

  /** Throws where the files cannot be used. */
  constructor(files: TlsFiles, logger: Logger) {
    this.#files = files;
    this.#logger = logger;
    this.#current = read(files);
    logger.info(describe(this.#current), "the certificate was read");
  }

  get current(): Certificates {
    return this.#current;
  }

  /** Reads the files; answers what they hold where that is usable and new. */
  look(): Certificates | undefined {
    try {
      const found = read(this.#files);
      this.#problem = undefined;
      const { cert, key, ca } = this.#current;
      if (found.cert === cert && found.key === key && found.ca === ca) return undefined;
      this.#current = found;
      this.#logger.info(describe(found), "the certificate has changed, and is used from now on");
      return found;
    } catch (error) {
      const problem = error instanceof Error ? error.message : String(error);
      if (problem !== this.#problem)
        this.#logger.error({ problem }, "the certificate has changed and cannot be used; the one before stays");
      this.#problem = problem;
      return undefined;
    }
  }

  /** Tells every change until the signal. */
  async run(signal: AbortSignal, changed: (certificates: Certificates) => void): Promise<void> {
    while (!signal.aborted) {
      await sleep(LOOK_MS, signal).catch(() => {});
      const found = signal.aborted ? undefined : this.look();
      if (found) changed(found);
    }
  }
}

function read({ certFile, keyFile, clientCaFile }: TlsFiles): Certificates {
  const cert = readOne("TLS_CERT_FILE", certFile);
  const key = readOne("TLS_KEY_FILE", keyFile);
  const ca = clientCaFile === undefined ? undefined : readOne("TLS_CLIENT_CA_FILE", clientCaFile);
  try {
    createSecureContext({ cert, key });
  } catch (cause) {
    throw new Error(`${certFile} and ${keyFile} are not a certificate with its key: ${messageOf(cause)}`, { cause });
  }
  try {
    if (ca !== undefined) new X509Certificate(ca); // OpenSSL passes over what is none
  } catch (cause) {
    throw new Error(`TLS_CLIENT_CA_FILE ${clientCaFile} holds no certificate: ${messageOf(cause)}`, { cause });
  }
  return { cert, key, ca };
}

function readOne(variable: string, path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    throw new Error(`${variable} cannot be read: ${messageOf(cause)}`, { cause });
  }
}

function describe({ cert }: Certificates): object {
  const { subject, subjectAltName, validTo } = new X509Certificate(cert);
  return { subject, names: subjectAltName, validTo };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
