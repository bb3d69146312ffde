import { context, propagation, trace } from "@opentelemetry/api";
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  type ReadableSpan,
  SimpleSpanProcessor,
} from "@opentelemetry/sdk-trace-base";
import { loadSdk } from "./load-sdk.ts";

/** An SDK that keeps every span of this process, until it is disposed of. */
export class RecordedSpans implements AsyncDisposable {
  readonly #exporter = new InMemorySpanExporter();
  readonly #provider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(this.#exporter)] });

  constructor() {
    loadSdk(this.#provider);
  }

  get all(): ReadableSpan[] {
    return this.#exporter.getFinishedSpans();
  }

  named(name: string): ReadableSpan | undefined {
    return this.all.findLast((span) => span.name === name);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    trace.disable();
    context.disable();
    propagation.disable();
    await this.#provider.shutdown();
  }
}
