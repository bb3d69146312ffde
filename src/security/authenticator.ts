import { OpsDbError } from "../errors.ts";
import { parseBearerToken } from "./bearer-token.ts";
import type { Caller } from "./caller.ts";
import type { JwtVerifier } from "./jwt-verifier.ts";
import { invalid, type TokenKeeper } from "./token-keeper.ts";

/** Tells who calls by the token that a call carries. */
export class Authenticator {
  readonly #tokens: Pick<TokenKeeper, "authenticate">;
  readonly #jwt: Pick<JwtVerifier, "verify"> | undefined;

  constructor(tokens: Pick<TokenKeeper, "authenticate">, jwt: Pick<JwtVerifier, "verify"> | undefined) {
    this.#tokens = tokens;
    this.#jwt = jwt;
  }

  /**
   * Reads the header `authorization`. Throws or rejects with ACCESS_TOKEN_MISSING, ACCESS_TOKEN_INVALID,
   * ACCESS_TOKEN_EXPIRED, ACCESS_TOKEN_REVOKED, ACCESS_TOKENS_UNAVAILABLE.
   */
  authenticate(authorization: string | undefined): Caller | Promise<Caller> {
    if (authorization === undefined)
      throw new OpsDbError(
        "ACCESS_TOKEN_MISSING",
        'this call needs an access token: "authorization: Bearer opsdb_..."',
      );
    const [scheme, token = "", ...rest] = authorization.split(" ");
    if (scheme?.toLowerCase() !== "bearer" || rest.length > 0) throw invalid();
    const own = parseBearerToken(token);
    if (own) return this.#tokens.authenticate(own);
    if (this.#jwt && /^[\w-]+\.[\w-]+\.[\w-]+$/.test(token)) return this.#jwt.verify(token);
    throw invalid();
  }
}

/** Of a header, what may be logged: the id of a token of the service's own form. */
export function claimedId(authorization: string | undefined): string | undefined {
  return parseBearerToken(authorization?.split(" ")[1] ?? "")?.id;
}
