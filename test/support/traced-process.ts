import { appendFileSync } from "node:fs";
import {
  BasicTracerProvider,
  type ReadableSpan,
  SimpleSpanProcessor,
  type SpanExporter,
} from "@opentelemetry/sdk-trace-base";
import { loadSdk } from "./load-sdk.ts";

/** A span as the file has it, a line of JSON for each. */
export interface SpanLine {
  name: string;
  traceId: string;
}

// For `node --import`: keeps the spans of a process in the file that TEST_SPANS names.
const file = process.env.TEST_SPANS;
if (file !== undefined) {
  const exporter: SpanExporter = {
    export(spans, done) {
      for (const span of spans) appendFileSync(file, `${JSON.stringify(lineOf(span))}\n`);
      done({ code: 0 });
    },
    shutdown: () => Promise.resolve(),
  };
  loadSdk(new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] }));
}

function lineOf(span: ReadableSpan): SpanLine {
  return { name: span.name, traceId: span.spanContext().traceId };
}
