import { userInfo } from "node:os";
import { createClient } from "@connectrpc/connect";
import { AdminService } from "../../gen/ts/opsdb/v1/admin_service_pb.ts";
import { WriteService } from "../../gen/ts/opsdb/v1/write_service_pb.ts";
import type { Environment } from "../config.ts";
import { describeCallError } from "./call-error.ts";
import { type OptionValues, type SiteCommand, UsageError } from "./command.ts";
import { connectSite } from "./site-connection.ts";

/** Runs a command against the server that the options or the environment name; resolves with the exit code. */
export async function runSiteCommand(
  command: SiteCommand,
  { ids, options, env }: { ids: readonly string[]; options: OptionValues; env: Environment },
): Promise<number> {
  using connection = connectSite(options, env);
  const { server, transport } = connection;
  const fail = (error: unknown): number => {
    if (error instanceof UsageError) throw error;
    const { message, code } = describeCallError(error, server);
    console.error(`opsdb ${command.name}: ${message}`);
    return code;
  };
  try {
    return await command.run({
      admin: createClient(AdminService, transport),
      writes: createClient(WriteService, transport),
      ids,
      options,
      motive: () => motiveOf(options),
      fail,
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
