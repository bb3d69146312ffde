import { parseArgs } from "node:util";
import { startTwoSite } from "../test/support/two-site.ts";
import { startLinkControl } from "./link-control.ts";
import { stopSignal } from "./stop-signal.ts";

const { values: options } = parseArgs({
  options: {
    json: { type: "boolean", default: false },
    "round-trip": { type: "string", default: "220" },
    logs: { type: "string" },
  },
});

const stopped = stopSignal();
await using stack = new AsyncDisposableStack();
const starting = performance.now();
const sites = stack.use(
  await startTwoSite({
    roundTripMs: Number(options["round-trip"]),
    fsync: true,
    ...(options.logs && { logs: options.logs }),
  }),
);
const control = stack.use(await startLinkControl(sites.link));

if (options.json) console.log(JSON.stringify(endpoints()));
else console.log(text(performance.now() - starting));
await stopped;

function endpoints() {
  const curl = (path: string): string => `curl -X POST '${control.url}${path}'`;
  return {
    main: { grpc: sites.main.grpc, postgres: sites.urls.main },
    secondary: { grpc: sites.secondary.grpc, postgres: sites.urls.secondary, redis: sites.redis.url },
    link: {
      url: control.url,
      status: `curl '${control.url}/'`,
      cut: curl("/cut"),
      blackhole: curl("/cut?mode=blackhole"),
      heal: curl("/heal"),
      delay: curl("/delay?ms=500"),
      roundTripMs: sites.link.status.roundTripMs,
    },
    logs: sites.logs,
  };
}

function text(ms: number): string {
  const { main, secondary, link, logs } = endpoints();
  const row = JSON.stringify({
    mutations: [
      {
        table: "weather_samples",
        insert: {
          values: {
            station: { stringValue: "cerro" },
            sampled_at: { timestampValue: "2026-04-02T03:04:05Z" },
            pwv_mm: { doubleValue: 0.42 },
          },
        },
      },
    ],
  });
  return `Two sites, ${link.roundTripMs} ms apart, up after ${(ms / 1000).toFixed(1)} s. Ctrl-C ends everything.

  main site       gRPC ${main.grpc}   ${main.postgres}
  secondary site  gRPC ${secondary.grpc}   ${secondary.postgres}
                  ${secondary.redis}
  logs            ${logs}

Try:

  grpcurl -plaintext ${secondary.grpc} list
  grpcurl -plaintext ${secondary.grpc} describe opsdb.v1.WriteRequest
  grpcurl -plaintext ${secondary.grpc} opsdb.v1.CatalogService/ListTables
  grpcurl -plaintext -d '${row}' \\
    ${secondary.grpc} opsdb.v1.WriteService/Write
  grpcurl -plaintext -d '{"table": "weather_samples"}' ${secondary.grpc} opsdb.v1.QueryService/Query
  grpcurl -plaintext -d '{}' ${secondary.grpc} opsdb.v1.ReplicationService/WatchReplication

The link between the sites:

  ${link.cut}                  # every connection is reset
  ${link.blackhole}   # nothing arrives, nobody is told
  ${link.heal}
  ${link.delay}         # round trip in milliseconds
  ${link.status}
`;
}
