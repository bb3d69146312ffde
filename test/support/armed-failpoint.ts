import { armFailpoints } from "../../src/lib/failpoint.ts";

// For a server in a process of its own: node --import ./test/support/armed-failpoint.ts src/cli.ts serve
// TEST_FAILPOINT=name:count:signal sends this process the signal (SIGKILL, or SIGSTOP to hold it there) when it reaches
// the step for the count-th time.
const [name, count = "1", signal = "SIGKILL"] = (process.env.TEST_FAILPOINT ?? "").split(":");
let left = Number(count);
armFailpoints((reached) => {
  if (reached !== name) return;
  left -= 1;
  if (left === 0) process.kill(process.pid, signal);
});
