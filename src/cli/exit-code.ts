/** What the process says to whoever started it; 78 is EX_CONFIG of sysexits.h. */
export const exitCode = { ok: 0, failure: 1, usage: 2, refused: 3, configuration: 78 } as const;
