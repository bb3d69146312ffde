#!/usr/bin/env node
import { endWithReader } from "./cli/output.ts";
import { runCommandLine } from "./cli/run-command-line.ts";

endWithReader();
// npm only warns of an older one, on which the program fails somewhere else.
if (Number.parseInt(process.versions.node, 10) < 24) {
  console.error(`opsdb needs Node.js 24, and this is ${process.version}. See docs/operating.md, "The service".`);
  process.exitCode = 78;
} else process.exitCode = await runCommandLine(process.argv.slice(2), process.env);
