import { readConfig } from "../config.ts";
import { rolesSql } from "../postgres/migrate.ts";
import type { LocalCommand } from "./command.ts";
import { describeEnvironment } from "./describe-environment.ts";
import { exitCode } from "./exit-code.ts";
import { migrateMain } from "./migrate-main.ts";

const configuration = (): string =>
  `Configured by the environment; in brackets what holds where a variable is not set.\n\n${describeEnvironment()}`;

/** What runs a site; configured by the environment. */
export const serverCommands: readonly LocalCommand[] = [
  {
    name: "serve",
    summary: "Serve one site until SIGTERM or SIGINT.",
    get details() {
      return configuration();
    },
    options: [],
    examples: [
      "SITE_TYPE=main SITE_NAME=cologne MAIN_DB_HOST=db MAIN_DB_USER=opsdb MAIN_DB_NAME=observatory opsdb serve",
      "node --env-file=.env src/cli.ts serve",
    ],
    async runHere({ env }) {
      const config = readConfig(env);
      // Loaded here, so that all other commands start without the server's packages.
      const { serve } = await import("../main.ts");
      return await serve(config);
    },
  },
  {
    name: "migrate",
    summary: "Bring the service's own tables on the main database up to date. Safe to run again and by two at once.",
    get details() {
      return configuration();
    },
    options: ["print-roles"],
    examples: [
      "MAIN_DB_HOST=db MAIN_DB_USER=opsdb MAIN_DB_NAME=observatory opsdb migrate",
      "opsdb migrate --print-roles | psql observatory",
    ],
    async runHere({ options, env }) {
      if (options["print-roles"]) process.stdout.write(rolesSql());
      else await migrateMain(env);
      return exitCode.ok;
    },
  },
];
