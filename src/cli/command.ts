import type { Client } from "@connectrpc/connect";
import type { Health } from "../../gen/ts/grpc/health/v1/health_pb.ts";
import type { AdminService } from "../../gen/ts/opsdb/v1/admin_service_pb.ts";
import type { CatalogService } from "../../gen/ts/opsdb/v1/catalog_service_pb.ts";
import type { QueryService } from "../../gen/ts/opsdb/v1/query_service_pb.ts";
import type { ReplicationService } from "../../gen/ts/opsdb/v1/replication_service_pb.ts";
import type { WriteService } from "../../gen/ts/opsdb/v1/write_service_pb.ts";
import type { Environment } from "../config.ts";
import { connectionOptions, type OptionName, type OptionValues } from "./options.ts";

/** The command was not given as it should be; the message says what to do. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** What stands after a command's name besides options. */
export interface Operands {
  usage: string;
  least: number;
  /** Unset: any number. */
  most?: number;
  /** What completion offers, by place: words, or names of tables. */
  complete?: readonly (readonly string[] | "tables")[];
}

/** A command as help and completion know it. */
export interface Command {
  name: string;
  operands?: Operands;
  summary: string;
  /** More than the summary says: what it prints, exit codes of its own. */
  details?: string;
  options: readonly OptionName[];
  examples: readonly string[];
  /** What the process says where the command was not given as it should be, instead of exitCode.usage. */
  usageCode?: number;
}

/** What such a command has to work with. */
export interface LocalCall {
  operands: readonly string[];
  options: OptionValues;
  env: Environment;
  /** All commands of this program. */
  commands: readonly Command[];
}

/** A command that calls no server. */
export interface LocalCommand extends Command {
  /** Resolves with the exit code. */
  runHere: (call: LocalCall) => Promise<number>;
}

/** A command that calls a site's server. */
export interface SiteCommand extends Command {
  /** Resolves with the exit code. */
  run: (call: CommandCall) => Promise<number>;
}

/** What a command has to work with. */
export interface CommandCall {
  admin: Client<typeof AdminService>;
  writes: Client<typeof WriteService>;
  queries: Client<typeof QueryService>;
  replication: Client<typeof ReplicationService>;
  catalog: Client<typeof CatalogService>;
  health: Client<typeof Health>;
  /** host:port that is called. */
  server: string;
  operands: readonly string[];
  options: OptionValues;
  env: Environment;
  motive: () => { operator: string; reason: string };
  /** Says what a call was refused with; answers the exit code. */
  fail: (error: unknown) => number;
  /** Says something on stderr, under the command's name. */
  say: (message: string) => void;
}

/** Every option that the command takes: its own, and where it calls a server those of the connection. */
export function optionsOf(command: Command): OptionName[] {
  return [...command.options, ...("run" in command ? connectionOptions : [])];
}
