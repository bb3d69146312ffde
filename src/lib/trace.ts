import {
  type Attributes,
  type Context,
  context,
  ROOT_CONTEXT,
  type Span,
  type SpanContext,
  SpanKind,
  SpanStatusCode,
  type Tracer,
  type TracerProvider,
  trace,
} from "@opentelemetry/api";

const NAME = "ops-db-api";

/** What a span is called and says. Of kind CLIENT: somebody else works, and this process waits. */
export interface SpanWords {
  name: string;
  attributes: Attributes;
}

/** The tracer of the SDK that was loaded before the service; undefined where there is none, so that nothing is spent on it. */
export function tracer(): Tracer | undefined {
  // The API's provider stands in for an SDK's. Without one its tracers do nothing, which costs all the same.
  const provider: TracerProvider & { getDelegateTracer?: (name: string) => Tracer | undefined } =
    trace.getTracerProvider();
  return provider.getDelegateTracer ? provider.getDelegateTracer(NAME) : provider.getTracer(NAME);
}

/** Runs the work in a child of the active span; where there is none, just the work. */
export async function inSpan<T>({ name, attributes }: SpanWords, work: () => Promise<T>): Promise<T> {
  const span = startChild(name, attributes);
  if (!span) return await work();
  try {
    return await context.with(trace.setSpan(context.active(), span), work);
  } catch (error) {
    failed(span, error);
    throw error;
  } finally {
    span.end();
  }
}

/** The same for what is read item by item. */
export function eachInSpan<T>({ name, attributes }: SpanWords, items: AsyncGenerator<T>): AsyncGenerator<T> {
  const span = startChild(name, attributes);
  return span ? spanned(span, items) : items;
}

async function* spanned<T>(span: Span, items: AsyncGenerator<T>): AsyncGenerator<T> {
  try {
    yield* eachIn(trace.setSpan(context.active(), span), items);
  } catch (error) {
    failed(span, error);
    throw error;
  } finally {
    span.end();
  }
}

/** Items whose making goes on in the context: a generator runs in that of whoever asks it for the next one. */
export async function* eachIn<T>(active: Context, items: AsyncIterable<T>): AsyncGenerator<T> {
  const iterator = items[Symbol.asyncIterator]();
  let ended = false;
  try {
    for (;;) {
      const next = await context.with(active, () => iterator.next());
      ended = next.done ?? false;
      if (next.done) return;
      yield next.value;
    }
  } catch (error) {
    ended = true;
    throw error;
  } finally {
    if (!ended) await context.with(active, () => iterator.return?.());
  }
}

/** The active span of whoever made the object, for as long as the object is there. */
const origins = new WeakMap<object, SpanContext>();

/** Notes that what becomes of the object later belongs to the active span. */
export function noteOrigin(object: object): void {
  const span = trace.getActiveSpan();
  if (span) origins.set(object, span.spanContext());
}

/** A span that is over already, in the trace in which the object was made; none where that was not traced. */
export function addSpan(
  object: object,
  { name, attributes, startTime, error }: SpanWords & { startTime: number; error?: unknown },
): void {
  const origin = origins.get(object);
  if (!origin) return;
  const parent = trace.setSpanContext(ROOT_CONTEXT, origin);
  const span = tracer()?.startSpan(name, { kind: SpanKind.CLIENT, attributes, startTime }, parent);
  if (!span) return;
  if (error !== undefined) failed(span, error);
  span.end();
}

function startChild(name: string, attributes: Attributes): Span | undefined {
  const made = tracer();
  if (!made || !trace.getActiveSpan()) return undefined;
  return made.startSpan(name, { kind: SpanKind.CLIENT, attributes });
}

function failed(span: Span, error: unknown): void {
  const { name, message } = error instanceof Error ? error : new Error(String(error));
  span.setAttribute("error.type", name);
  span.setStatus({ code: SpanStatusCode.ERROR, message });
}
