import type { TLSSocket } from "node:tls";
import type { DescMethod } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import type { Access } from "../config-security.ts";
import { OpsDbError } from "../errors.ts";
import { linkSignals } from "../lib/linked-signal.ts";
import type { Logger } from "../lib/logger.ts";
import { type Authenticator, claimedId } from "../security/authenticator.ts";
import type { Caller } from "../security/caller.ts";
import { requireAccess } from "./access-rules.ts";
import { DenialLog } from "./denial-log.ts";
import { toStatus } from "./error-details.ts";
import type { Incoming } from "./front.ts";

export interface GateOptions {
  authenticator: Authenticator;
  /** Of services that are not the service's own, by name. */
  access: ReadonlyMap<string, Access>;
  logger: Logger;
}

/** A denial that is logged: who, from where, what, why. Never a secret. */
interface Denial {
  request: Incoming;
  method: string;
  caller?: Caller | undefined;
}

/** Between looks at whether those who follow something still may, milliseconds. */
const followMs = 500;

/**
 * Decides over every call before its message is read. What depends on the message, its tables, is decided by
 * tableAccess.
 */
export class Gate {
  readonly #options: GateOptions;
  readonly #log = new DenialLog();
  readonly #followers = new Set<() => void>();
  #timer: NodeJS.Timeout | undefined;

  constructor(options: GateOptions) {
    this.#options = options;
  }

  /** Undefined: it is open to everybody. Throws or rejects with the status of the call where it is not to be. */
  admit(request: Incoming, method: DescMethod): Caller | undefined | Promise<Caller | undefined> {
    const access = this.#options.access.get(method.parent.typeName);
    const name = `${method.parent.typeName}/${method.name}`;
    const enter = (caller: Caller): Caller => {
      if (access === undefined) requireAccess(caller, method);
      return caller;
    };
    return this.#enter(request, name, access ?? "token", enter);
  }

  /** The same for what is no call. */
  admitPlain(request: Incoming, path: string, access: Access): Caller | undefined | Promise<Caller | undefined> {
    return this.#enter(request, path, access, (caller) => caller);
  }

  /** Whoever shows a token for something that is open is told more; undefined: nobody that is known. */
  async recognize(request: Incoming): Promise<Caller | undefined> {
    try {
      return await this.#options.authenticator.authenticate(request.headers.authorization);
    } catch {
      return undefined;
    }
  }

  /** A signal that follows the given one, and aborts when the caller may no longer do what it may now. */
  follow(caller: Caller, signal: AbortSignal): AbortSignal {
    if (signal.aborted) return signal;
    const linked = linkSignals(signal);
    const look = (): void => {
      const ended = caller.ended();
      if (ended) linked.abort(ended);
    };
    this.#followers.add(look);
    this.#timer ??= setInterval(() => {
      for (const each of this.#followers) each();
    }, followMs).unref();
    linked.signal.addEventListener(
      "abort",
      () => {
        linked[Symbol.dispose]();
        this.#followers.delete(look);
        if (this.#followers.size > 0) return;
        clearInterval(this.#timer);
        this.#timer = undefined;
      },
      { once: true },
    );
    return linked.signal;
  }

  /** Puts a refusal into the log, as long as there are not too many, and answers its status. */
  denied(error: unknown, { request, method, caller }: Denial): unknown {
    if (!(error instanceof OpsDbError)) return error;
    const before = this.#log.take(caller?.id);
    if (before === undefined) return toStatus(error);
    const cause = error.cause instanceof Error ? error.cause.message : undefined;
    const fields = {
      method,
      reason: error.reason,
      caller: caller ? { id: caller.id, name: caller.name } : { claimed: claimedId(request.headers.authorization) },
      peer: request.socket?.remoteAddress,
      certificate: peerName(request),
      role: error.metadata.role,
      table: error.metadata.table?.slice(0, 200),
      ...(cause === undefined ? {} : { cause }),
      ...(before > 0 ? { deniedBefore: before } : {}),
    };
    this.#options.logger.warn(fields, "a call was denied");
    return toStatus(error);
  }

  #enter(
    request: Incoming,
    method: string,
    access: Access,
    enter: (caller: Caller) => Caller,
  ): Caller | undefined | Promise<Caller | undefined> {
    if (access === "open") return undefined;
    if (access === "closed") throw new ConnectError("this is closed here", Code.Unimplemented);
    let caller: Caller | undefined;
    const decide = (known: Caller): Caller => {
      caller = known;
      limitRate(known);
      limitLength(known, request);
      return enter(known);
    };
    const refuse = (error: unknown): never => {
      throw this.denied(error, { request, method, caller });
    };
    try {
      const known = this.#options.authenticator.authenticate(request.headers.authorization);
      // Only what has to be waited for is: most calls are decided in this very turn.
      return known instanceof Promise ? known.then(decide).catch(refuse) : decide(known);
    } catch (error) {
      return refuse(error);
    }
  }
}

function limitRate({ calls }: Caller): void {
  if (!calls || calls.bucket.take(1)) return;
  throw new OpsDbError("RATE_LIMITED", `this access token may make ${calls.perSecond} calls per second`, {
    retryAfterMs: Math.ceil(1000 / calls.perSecond),
  });
}

/** What is said to be too long is not read at all. */
function limitLength({ messageBytes }: Caller, request: Incoming): void {
  const length = Number(request.headers["content-length"] ?? 0);
  if (messageBytes !== undefined && length > messageBytes + 5) throw tooLarge(messageBytes);
}

export function tooLarge(messageBytes: number): OpsDbError {
  return new OpsDbError("MESSAGE_TOO_LARGE", `this access token may send messages of ${messageBytes} bytes`);
}

/** The name in the client's certificate. */
function peerName({ socket }: Incoming): string | undefined {
  if (!socket || !("getPeerCertificate" in socket)) return undefined;
  const { subject } = (socket as TLSSocket).getPeerCertificate();
  return subject?.CN === undefined ? undefined : String(subject.CN);
}
