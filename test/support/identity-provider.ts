import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { exportJWK, generateKeyPair, type JWK, type JWTPayload, SignJWT } from "jose";

/** Something to sign with, as an identity provider has it. */
export interface SigningKey {
  kid: string;
  privateKey: Awaited<ReturnType<typeof generateKeyPair>>["privateKey"];
  jwk: JWK;
}

export async function signingKey(kid: string, alg = "ES256"): Promise<SigningKey> {
  const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true });
  return { kid, privateKey, jwk: { ...(await exportJWK(publicKey)), kid, alg, use: "sig" } };
}

/** An identity provider that shows its keys over HTTP, until it is away. */
export class IdentityProvider implements AsyncDisposable {
  readonly issuer = "https://login.example.org";
  keys: SigningKey[] = [];
  away = false;
  /** How often its keys were asked for. */
  asked = 0;
  readonly #server = createServer((_, response) => {
    this.asked += 1;
    if (this.away) response.destroy();
    else response.end(JSON.stringify({ keys: this.keys.map(({ jwk }) => jwk) }));
  });

  static async open(...keys: SigningKey[]): Promise<IdentityProvider> {
    const provider = new IdentityProvider();
    provider.keys = keys;
    await new Promise<void>((resolve) => provider.#server.listen(0, "127.0.0.1", resolve));
    return provider;
  }

  /** The configuration of a service that takes its tokens. */
  get settings(): Record<string, string> {
    const { port } = this.#server.address() as AddressInfo;
    return {
      JWT_KEYS: `http://127.0.0.1:${port}/certs`,
      JWT_ISSUER: this.issuer,
      JWT_AUDIENCE: "opsdb",
      JWT_CLOCK_TOLERANCE_MS: "0",
      JWT_KEYS_REFRESH_MS: "1000",
    };
  }

  /** A token of its newest key, valid for a minute; a claim that is undefined or null is left out. */
  async token(claims: JWTPayload = {}, key: SigningKey | undefined = this.keys.at(-1)): Promise<string> {
    if (!key) throw new Error("the provider has no key");
    const now = Math.floor(Date.now() / 1000);
    const usual = { iss: this.issuer, aud: "opsdb", sub: "ada", exp: now + 60, opsdb_roles: ["read"] };
    const payload = Object.fromEntries(
      Object.entries({ ...usual, ...claims }).filter(
        ([name, value]) => value !== undefined && !(value === null && name in usual),
      ),
    );
    return await new SignJWT(payload).setProtectedHeader({ alg: key.jwk.alg ?? "", kid: key.kid }).sign(key.privateKey);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
