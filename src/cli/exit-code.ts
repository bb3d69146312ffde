/** What the process says to whoever started it; 78 is EX_CONFIG of sysexits.h, 141 what a closed pipe ends programs with. */
export const exitCode = {
  ok: 0,
  failure: 1,
  usage: 2,
  refused: 3,
  rejected: 4,
  unfinished: 5,
  incomplete: 6,
  configuration: 78,
  closedPipe: 141,
} as const;

/** The same in words, for help. */
export const exitCodes = `0 ok, 1 failure (no answer), 2 wrong usage, 3 refused by the service, 4 rejected by the main database,
5 not as far as asked in time, 6 incomplete result, 78 wrong configuration, 141 the reader of the output is gone.`;
