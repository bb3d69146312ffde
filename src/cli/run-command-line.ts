import { ConfigError, type Environment } from "../config.ts";
import { packageVersion } from "../package-version.ts";
import { UsageError } from "./command.ts";
import { commands } from "./commands.ts";
import { exitCode } from "./exit-code.ts";
import { helpText } from "./help-text.ts";
import { type Invocation, InvocationError, parseInvocation } from "./parse-invocation.ts";

/** Runs one command and resolves with the exit code when it has ended. Errors go to stderr in one sentence. */
export async function runCommandLine(args: readonly string[], env: Environment): Promise<number> {
  let invocation: Invocation;
  try {
    invocation = parseInvocation(args);
  } catch (error) {
    if (!(error instanceof InvocationError)) throw error;
    console.error(`${error.message}. Try: ${error.command} --help`);
    return error.code;
  }
  switch (invocation.kind) {
    case "version":
      console.log(packageVersion());
      return exitCode.ok;
    case "help":
      console.log(helpText(invocation.about));
      return exitCode.ok;
    case "command":
      return await runCommand(invocation, env);
  }
}

async function runCommand(
  { command, operands, options }: Extract<Invocation, { kind: "command" }>,
  env: Environment,
): Promise<number> {
  try {
    if ("runHere" in command) return await command.runHere({ operands, options, env, commands });
    const { runSiteCommand } = await import("./run-site-command.ts");
    return await runSiteCommand(command, { operands, options, env });
  } catch (error) {
    if (error instanceof UsageError) {
      console.error(`opsdb ${command.name}: ${error.message}. Try: opsdb ${command.name} --help`);
      return command.usageCode ?? exitCode.usage;
    }
    console.error(error instanceof ConfigError ? error.message : `opsdb ${command.name}: ${messageOf(error)}`);
    return error instanceof ConfigError ? exitCode.configuration : exitCode.failure;
  }
}

function messageOf(error: unknown): string {
  if (error instanceof AggregateError && error.message === "") return error.errors.map(messageOf).join("; ");
  return error instanceof Error ? error.message : String(error);
}
