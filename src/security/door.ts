import type pg from "pg";
import type { Config } from "../config.ts";
import type { Logger } from "../lib/logger.ts";
import { createPool } from "../postgres/connection.ts";
import { Authenticator } from "./authenticator.ts";
import { CertificateFiles, type Certificates } from "./certificate-files.ts";
import { JwtVerifier } from "./jwt-verifier.ts";
import { type KeptCopy, redisCopy } from "./kept-copy.ts";
import { KeySetKeeper } from "./key-set-keeper.ts";
import { TokenKeeper } from "./token-keeper.ts";

/** What the configuration says of who may come in, and the background work that keeps it up to date. */
export class Door implements AsyncDisposable {
  readonly certificates: CertificateFiles | undefined;
  /** Undefined: everybody may. */
  readonly authenticator: Authenticator | undefined;
  readonly #pool: pg.Pool | undefined;
  readonly #tokens: TokenKeeper | undefined;
  readonly #keys: KeySetKeeper | undefined;

  /** Throws where the certificates cannot be used. */
  constructor(config: Config, logger: Logger) {
    const { tls, auth } = config.security;
    this.certificates = tls && new CertificateFiles(tls, logger);
    if (!auth) return;
    const { jwt, callsPerSecond, pollMs } = auth;
    const timeoutMs = config.localTimeoutMs;
    // Of its own: who may come in does not wait for those who are in.
    this.#pool = createPool({ ...config.local, timeoutMs }, { applicationName: `opsdb-${config.site.name}` }, 1);
    const copy = (name: string): KeptCopy | undefined => {
      // A main site's Redis is there for what queries answered: who may come in is not for it to say.
      if (config.site.type !== "secondary") return undefined;
      const { name: site, redisUrl: url } = config.site;
      return url === undefined ? undefined : redisCopy({ url, key: `opsdb:{${site}}:${name}`, timeoutMs: 1_000 });
    };
    this.#tokens = new TokenKeeper({
      pool: this.#pool,
      copy: copy("access-tokens"),
      pollMs,
      timeoutMs,
      callsPerSecond,
      logger,
    });
    let verifier: JwtVerifier | undefined;
    if (jwt) {
      this.#keys = new KeySetKeeper({
        source: jwt.keys,
        copy: copy("jwt-keys"),
        refreshMs: jwt.refreshMs,
        timeoutMs: 5_000,
        logger,
        changed: () => verifier?.forget(),
      });
      verifier = new JwtVerifier({ config: jwt, keys: this.#keys, callsPerSecond });
    }
    this.authenticator = new Authenticator(this.#tokens, verifier);
  }

  /** Until the signal. Rejects for a bug alone. */
  async run(signal: AbortSignal, changed: (certificates: Certificates) => void): Promise<void> {
    const until = new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
    await Promise.all([
      until,
      this.certificates?.run(signal, changed),
      this.#tokens?.run(signal),
      this.#keys?.run(signal),
    ]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pool?.end();
  }
}
