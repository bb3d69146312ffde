import { Code, type ConnectError } from "@connectrpc/connect";
import { OpsDbError } from "../errors.ts";

/**
 * What Connect itself says about a message that it could not take, as an error of this service: Connect's own carry no
 * details, and blame the server for bytes that are not protobuf. Undefined for everything else.
 */
export function protocolError(error: Pick<ConnectError, "code" | "rawMessage">): OpsDbError | undefined {
  const { code, rawMessage } = error;
  if (code === Code.ResourceExhausted) return new OpsDbError("MESSAGE_TOO_LARGE", rawMessage);
  if (code === Code.InvalidArgument) return new OpsDbError("INVALID_FIELD", rawMessage);
  if (code === Code.Internal && unreadable.test(rawMessage)) return new OpsDbError("INVALID_FIELD", rawMessage);
  return undefined;
}

/** Bytes that are no message, or not compressed as their frame or their header says. */
const unreadable = /^(parse binary: |received compressed envelope|decompression failed)/;
