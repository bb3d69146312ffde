import { Gauge, type Registry } from "prom-client";
import { packageVersion } from "../package-version.ts";
import { bufferMeasures } from "./buffer-measures.ts";
import { registerMeasure } from "./measure.ts";
import { processMeasures } from "./process-measures.ts";
import { processorMeasures } from "./processor-measures.ts";
import { replicationMeasures } from "./replication-measures.ts";
import { resultCacheMeasures } from "./result-cache-measures.ts";
import { sequenceMeasures } from "./sequence-measures.ts";
import type { Site } from "./site.ts";

/** Registers the site's state as metrics, read when they are asked for. What the site does not have is left out. */
export function siteMetrics(site: Site, registry: Registry): void {
  const { buffer, processor, sequences } = site.readStatus();
  const { measures, resultCache } = site;
  const registered = [
    ...replicationMeasures,
    ...processMeasures,
    ...(buffer ? bufferMeasures : []),
    ...(processor ? processorMeasures : []),
    ...(sequences ? sequenceMeasures : []),
    ...(resultCache.up === undefined ? [] : resultCacheMeasures),
  ];
  for (const measure of registered) registerMeasure(site, registry, measure);
  if (measures.buffer) registry.registerMetric(measures.buffer.appended.seconds);
  if (measures.drain) registry.registerMetric(measures.drain.seconds);
  new Gauge({
    name: "opsdb_build_info",
    help: "1, with the service's version, Node's, and the site's name and type",
    labelNames: ["version", "node", "site_name", "site_type"],
    registers: [registry],
  }).set({ version: packageVersion(), node: process.versions.node, site_name: site.name, site_type: site.role }, 1);
}
