import { type ChildProcess, spawn } from "node:child_process";

/**
 * Ends the processes and removes the directories of this process when it ends, also by SIGKILL: a small shell in a
 * session of its own reads their names from a pipe, and acts when the pipe closes. It holds nothing of ours open.
 */
class Janitor {
  readonly #shell: ChildProcess;

  constructor() {
    this.#shell = spawn("/bin/sh", ["-c", script], { detached: true, stdio: ["pipe", "ignore", "ignore"], cwd: "/" });
    this.#shell.on("error", () => {});
    this.#shell.stdin?.on("error", () => {});
    this.#shell.unref();
    const pipe = this.#shell.stdin;
    if (pipe && "unref" in pipe && typeof pipe.unref === "function") pipe.unref();
  }

  tell(verb: "watch" | "release" | "directory", what: string | number): void {
    this.#shell.stdin?.write(`${verb} ${what}\n`);
  }
}

// SIGQUIT is PostgreSQL's immediate shutdown, which takes its backends along.
const script = `
set -f
pids=' ' directories=
newline='
'
while read -r verb what; do
  case $verb in
    watch) pids="$pids$what " ;;
    release) case $pids in *" $what "*) pids="\${pids%% $what *} \${pids#* $what }" ;; esac ;;
    directory) directories="$directories$what$newline" ;;
  esac
done
alive() { for pid in $pids; do kill -0 "$pid" 2>/dev/null && return 0; done; return 1; }
for pid in $pids; do kill -QUIT "$pid" 2>/dev/null; done
for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do alive || break; sleep 0.1; done
for pid in $pids; do kill -KILL "$pid" 2>/dev/null; done
IFS=$newline
for directory in $directories; do rm -rf "$directory"; done
`;

let janitor: Janitor | undefined;

/** End this process's child when this process ends. */
export function watchChild(pid: number): void {
  janitor ??= new Janitor();
  janitor.tell("watch", pid);
}

/** The child has ended by itself: its number may belong to another process from now on. */
export function releaseChild(pid: number): void {
  janitor?.tell("release", pid);
}

/** Remove the directory when this process ends. */
export function removeAtEnd(directory: string): void {
  janitor ??= new Janitor();
  janitor.tell("directory", directory);
}
