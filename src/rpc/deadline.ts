/**
 * How long a handler may wait, milliseconds: until shortly before the call's deadline, so that its answer still gets
 * there in time, or the given default for a call without one.
 */
export function waitBudgetMs(timeoutMs: number | undefined, defaultMs: number): number {
  if (timeoutMs === undefined) return defaultMs;
  const margin = Math.max(20, Math.min(timeoutMs / 10, 1000));
  return Math.max(0, Math.floor(timeoutMs - margin));
}
