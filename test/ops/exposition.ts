/** One metric as /metrics tells of it. A histogram is one metric. */
export interface ExposedMetric {
  name: string;
  type: string;
  help: string;
  /** Of all its series, without those of a histogram's buckets. */
  labelNames: string[];
  series: Series[];
}

export interface Series {
  name: string;
  labels: Record<string, string>;
  value: number;
}

/** Reads Prometheus's text format. */
export function parseExposition(text: string): Map<string, ExposedMetric> {
  const metrics = new Map<string, ExposedMetric>();
  const metric = (name: string): ExposedMetric => {
    const known = metrics.get(name) ?? { name, type: "untyped", help: "", labelNames: [], series: [] };
    metrics.set(name, known);
    return known;
  };
  for (const line of text.split("\n").filter((each) => each !== "")) {
    const [, kind, described = "", rest = ""] = /^# (HELP|TYPE) (\S+) (.*)$/.exec(line) ?? [];
    if (kind === "HELP") metric(described).help = rest;
    else if (kind === "TYPE") metric(described).type = rest;
    else {
      const series = parseSeries(line);
      const family = series.name.replace(/_(bucket|sum|count)$/, "");
      const { type } = metrics.get(family) ?? {};
      const owner = metric(type === "histogram" || type === "summary" ? family : series.name);
      owner.series.push(series);
      const names = Object.keys(series.labels).filter((name) => !(name === "le" && owner.type === "histogram"));
      owner.labelNames = [...new Set([...owner.labelNames, ...names])];
    }
  }
  return metrics;
}

function parseSeries(line: string): Series {
  const [, name, , text = "", value] = /^([a-zA-Z_:][\w:]*)(\{(.*)\})? (\S+)$/.exec(line) ?? [];
  if (name === undefined || value === undefined) throw new Error(`no line of an exposition: ${line}`);
  const labels: Record<string, string> = {};
  for (const [, label = "", content = ""] of text.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g))
    labels[label] = content.replace(/\\(.)/g, (_, escaped: string) => (escaped === "n" ? "\n" : escaped));
  return {
    name,
    labels,
    value: value === "Nan" || value === "NaN" ? Number.NaN : Number(value.replace("Inf", "Infinity")),
  };
}
