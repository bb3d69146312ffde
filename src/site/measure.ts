import { Counter, Gauge, type Registry } from "prom-client";
import type { PartStatus } from "../replication/status.ts";
import type { Site } from "./site.ts";

/** One value of a metric with the labels that tell it from the others. */
export interface Labelled {
  labels: Record<string, string>;
  value: number | undefined;
}

/** A metric whose value is read from the site when it is asked for. */
export interface Measure {
  name: string;
  help: string;
  type: "gauge" | "counter";
  labelNames?: readonly string[];
  /** Undefined: not known just now. */
  read: (site: Site) => number | undefined | readonly Labelled[] | Promise<number | undefined>;
}

/** A gauge that is not known is NaN, which is no old value and no zero; a counter is left out. */
export function registerMeasure(site: Site, registry: Registry, { name, help, type, labelNames, read }: Measure): void {
  const options = { name, help, labelNames: [...(labelNames ?? [])], registers: [registry] };
  const values = async (): Promise<readonly Labelled[]> => {
    const value = await read(site);
    return typeof value === "object" ? value : [{ labels: {}, value }];
  };
  if (type === "gauge")
    new Gauge({
      ...options,
      async collect() {
        const known = await values();
        this.reset(); // a label that is gone has no old value
        for (const { labels, value } of known) this.set(labels, value ?? Number.NaN);
      },
    });
  else
    new Counter({
      ...options,
      async collect() {
        const known = await values();
        this.reset();
        for (const { labels, value } of known) if (value !== undefined) this.inc(labels, value);
      },
    });
}

/** Whether a part does its work: 0 while it is retrying. */
export function up({ state }: PartStatus): number {
  return state === "RETRYING" ? 0 : 1;
}
