import { trace } from "@opentelemetry/api";
import { type DestinationStream, type LevelWithSilent, pino } from "pino";

/** Writes one JSON line for each event: fields first, then one sentence. */
export interface Logger {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
  /** A logger that adds these fields to every line. */
  child(fields: Record<string, unknown>): Logger;
}

export interface LoggerOptions {
  level: LevelWithSilent;
  /** Standard output where it is left out. */
  destination?: DestinationStream;
}

/** Errors go under `error`, with their cause; what is written in a trace has its ids. Fields named like secrets never reach the output. */
export function createLogger(options: LoggerOptions): Logger {
  const settings = {
    level: options.level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
    mixin() {
      const span = trace.getActiveSpan()?.spanContext();
      return span ? { trace_id: span.traceId, span_id: span.spanId } : {};
    },
    serializers: { error: pino.stdSerializers.errWithCause },
    redact: { paths: secretPaths, censor: "[secret]" },
  };
  return options.destination === undefined ? pino(settings) : pino(settings, options.destination);
}

const secretNames = ["password", "token", "url", "connectionString", "authorization"];
const secretPaths = secretNames.flatMap((name) => [name, `*.${name}`, `*.*.${name}`]);
