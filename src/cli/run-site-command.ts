import { userInfo } from "node:os";
import { createClient } from "@connectrpc/connect";
import { Health } from "../../gen/ts/grpc/health/v1/health_pb.ts";
import { AdminService } from "../../gen/ts/opsdb/v1/admin_service_pb.ts";
import { CatalogService } from "../../gen/ts/opsdb/v1/catalog_service_pb.ts";
import { QueryService } from "../../gen/ts/opsdb/v1/query_service_pb.ts";
import { ReplicationService } from "../../gen/ts/opsdb/v1/replication_service_pb.ts";
import { WriteService } from "../../gen/ts/opsdb/v1/write_service_pb.ts";
import type { Environment } from "../config.ts";
import { describeCallError } from "./call-error.ts";
import { type SiteCommand, UsageError } from "./command.ts";
import type { OptionValues } from "./options.ts";
import { connectSite } from "./site-connection.ts";

/** Runs a command against the server that the options or the environment name; resolves with the exit code. */
export async function runSiteCommand(
  command: SiteCommand,
  { operands, options, env }: { operands: readonly string[]; options: OptionValues; env: Environment },
): Promise<number> {
  using connection = connectSite(options, env);
  const { server, transport } = connection;
  const say = (message: string): void => console.error(`opsdb ${command.name}: ${message}`);
  const fail = (error: unknown): number => {
    if (error instanceof UsageError) throw error;
    const { message, code } = describeCallError(error, server, command.name);
    say(message);
    return code;
  };
  try {
    return await command.run({
      admin: createClient(AdminService, transport),
      writes: createClient(WriteService, transport),
      queries: createClient(QueryService, transport),
      replication: createClient(ReplicationService, transport),
      catalog: createClient(CatalogService, transport),
      health: createClient(Health, transport),
      server,
      operands,
      options,
      env,
      motive: () => motiveOf(options),
      fail,
      say,
    });
  } catch (error) {
    return fail(error);
  }
}

function motiveOf(options: OptionValues): { operator: string; reason: string } {
  if (!options.reason?.trim()) throw new UsageError("--reason is missing: say why, it is kept on record");
  return { operator: options.operator ?? userName(), reason: options.reason };
}

function userName(): string {
  try {
    return userInfo().username;
  } catch (cause) {
    throw new UsageError("this user has no name: say who you are with --operator", { cause });
  }
}
