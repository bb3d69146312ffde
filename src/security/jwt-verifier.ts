import { hash } from "node:crypto";
import { errors, type JWTPayload, jwtVerify } from "jose";
import type { JwtConfig } from "../config-security.ts";
import { OpsDbError } from "../errors.ts";
import { type Caller, type CallRate, isRole } from "./caller.ts";
import { COOLDOWN_MS, type KeySetKeeper } from "./key-set-keeper.ts";
import { tableScope } from "./table-scope.ts";
import { callRate, invalid } from "./token-keeper.ts";

/** Signatures with keys that only the provider has: never none, never a shared secret. */
const algorithms = [
  "RS256",
  "RS384",
  "RS512",
  "PS256",
  "PS384",
  "PS512",
  "ES256",
  "ES384",
  "ES512",
  "EdDSA",
  "Ed25519",
];
/** Tokens, and subjects with their rates, that are remembered. */
const remembered = 1_000;

export interface JwtVerifierOptions {
  config: JwtConfig;
  keys: KeySetKeeper;
  /** 0: no limit. */
  callsPerSecond: number;
}

/** Verifies an identity provider's tokens, each once: a signature costs a hundred times what a call may. */
export class JwtVerifier {
  readonly #options: JwtVerifierOptions;
  /** By the token's hash, so that no search compares secrets. */
  readonly #callers = new Newest<Caller>(remembered);
  /** By subject: a new token does not bring a new allowance. */
  readonly #rates = new Newest<CallRate>(remembered);

  constructor(options: JwtVerifierOptions) {
    this.#options = options;
  }

  /** The keys are others: what was signed with one that is gone no longer holds. */
  forget(): void {
    this.#callers.clear();
  }

  /** Throws or rejects with ACCESS_TOKEN_INVALID, ACCESS_TOKEN_EXPIRED, ACCESS_TOKENS_UNAVAILABLE. */
  verify(token: string): Caller | Promise<Caller> {
    const id = hash("sha256", token, "base64");
    const known = this.#callers.get(id);
    if (known === undefined) return this.#verify(token, id);
    const ended = known.ended();
    if (ended) throw ended;
    return known;
  }

  async #verify(token: string, id: string): Promise<Caller> {
    const { keys } = this.#options;
    const before = keys.keys;
    const payload = await this.#payload(token).catch(async (error: unknown) => {
      const unknown = isOfUnknownKey(error);
      // A provider may have made another key of the same name.
      if (!unknown && !(error instanceof errors.JWSSignatureVerificationFailed)) throw refused(error);
      if (!(await keys.renew())) throw unknown ? unavailable() : refused(error);
      return await this.#payload(token).catch((again: unknown) => {
        throw isOfUnknownKey(again) && !keys.current ? unavailable() : refused(again);
      });
    });
    const caller = this.#caller(payload);
    if (before === keys.keys || before === undefined) this.#callers.set(id, caller);
    return caller;
  }

  async #payload(token: string): Promise<JWTPayload> {
    const { keys, config } = this.#options;
    if (!keys.keys) throw new NoKeysError();
    const { payload } = await jwtVerify(token, keys.keys, {
      algorithms,
      issuer: config.issuer,
      audience: config.audience,
      clockTolerance: config.clockToleranceMs / 1000,
      requiredClaims: ["exp", "sub"],
    });
    return payload;
  }

  #caller(payload: JWTPayload): Caller {
    const { config, callsPerSecond } = this.#options;
    const subject: unknown = payload.sub; // a claim may be anything
    if (typeof subject !== "string" || subject === "") throw invalid(new Error("the claim sub names nobody"));
    const endsAt = (payload.exp ?? 0) * 1000 + config.clockToleranceMs;
    let calls = this.#rates.get(subject);
    if (!calls && callsPerSecond > 0) {
      calls = callRate(callsPerSecond, callsPerSecond);
      if (calls) this.#rates.set(subject, calls);
    }
    return {
      id: subject,
      name: subject,
      roles: new Set(words(claim(payload, config.rolesClaim)).filter(isRole)),
      tables: scopeOf(claim(payload, config.tablesClaim), config.tablesClaim),
      messageBytes: undefined,
      calls,
      ended: () =>
        endsAt > Date.now() ? undefined : new OpsDbError("ACCESS_TOKEN_EXPIRED", "the access token has expired"),
    };
  }
}

class NoKeysError extends Error {}

function isOfUnknownKey(error: unknown): boolean {
  return error instanceof errors.JWKSNoMatchingKey || error instanceof NoKeysError;
}

/** Least recently used goes first. */
class Newest<T> {
  readonly #most: number;
  readonly #items = new Map<string, T>();

  constructor(most: number) {
    this.#most = most;
  }

  get(key: string): T | undefined {
    const found = this.#items.get(key);
    if (found !== undefined) {
      this.#items.delete(key);
      this.#items.set(key, found);
    }
    return found;
  }

  set(key: string, item: T): void {
    this.#items.set(key, item);
    for (const oldest of this.#items.keys()) {
      if (this.#items.size <= this.#most) return;
      this.#items.delete(oldest);
    }
  }

  clear(): void {
    this.#items.clear();
  }
}

/** A claim of exactly this name, else the one that the dots lead to. */
function claim(payload: JWTPayload, name: string): unknown {
  if (Object.hasOwn(payload, name)) return payload[name];
  let found: unknown = payload;
  for (const part of name.split("."))
    found =
      typeof found === "object" && found !== null && Object.hasOwn(found, part)
        ? (found as Record<string, unknown>)[part]
        : undefined;
  return found;
}

function words(value: unknown): string[] {
  if (typeof value === "string") return value.split(/\s+/).filter((word) => word !== "");
  return Array.isArray(value) ? value.filter((each) => typeof each === "string") : [];
}

/** A claim that is there and names nothing, or is no list of names, must not open every table. */
function scopeOf(value: unknown, name: string): Caller["tables"] {
  if (value === undefined) return tableScope([]);
  const patterns = words(value);
  if (patterns.length === 0) throw invalid(new Error(`the claim ${name} names no tables`));
  return tableScope(patterns);
}

function refused(error: unknown): OpsDbError {
  if (error instanceof errors.JWTExpired)
    return new OpsDbError("ACCESS_TOKEN_EXPIRED", "the access token has expired", { cause: error });
  return invalid(error);
}

function unavailable(): OpsDbError {
  return new OpsDbError(
    "ACCESS_TOKENS_UNAVAILABLE",
    "the key of this access token is not known here, and may be a new one: the identity provider cannot be asked now",
    { retryAfterMs: COOLDOWN_MS },
  );
}
