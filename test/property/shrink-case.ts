import type { PlannedCase } from "./planned-case.ts";

/** Cases with less in them, the boldest first. */
export function* smallerCases(planned: PlannedCase): Generator<PlannedCase> {
  if (planned.queries.length > 1) for (const query of planned.queries) yield { ...planned, queries: [query] };
  for (let size = planned.writes.length >> 1; size >= 1; size >>= 1)
    for (let from = 0; from < planned.writes.length; from += size) yield withoutWrites(planned, from, size);
  for (const [i, { mutations }] of planned.writes.entries())
    if (mutations.length > 1) for (const [dropped] of mutations.entries()) yield withoutMutation(planned, i, dropped);
  const { writes, decided } = planned;
  if (planned.readFrom < writes.length) yield { ...planned, readFrom: writes.length };
  if (planned.proven > 0) yield { ...planned, proven: 0, forgotten: 0 };
  if (decided < writes.length - 1) yield { ...planned, decided: decided + 1 };
  for (const query of planned.queries) {
    if (query.where) yield { ...planned, queries: [{ ...query, where: undefined }] };
    if (query.limit !== undefined) yield { ...planned, queries: [{ ...query, limit: undefined }] };
    if (query.related.length > 0) yield { ...planned, queries: [{ ...query, related: [] }] };
    if (query.orderBy.length > 0) yield { ...planned, queries: [{ ...query, orderBy: query.orderBy.slice(1) }] };
  }
}

/**
 * The smallest case that still fails, found by leaving things out for as long as that helps, and no longer than so many
 * milliseconds.
 */
export async function shrinkCase(
  failing: PlannedCase,
  fails: (planned: PlannedCase) => Promise<boolean>,
  timeMs: number,
): Promise<PlannedCase> {
  const until = performance.now() + timeMs;
  let smallest = failing;
  search: for (;;) {
    for (const smaller of smallerCases(smallest)) {
      if (performance.now() > until) return smallest;
      if (!(await fails(smaller))) continue;
      smallest = smaller;
      continue search;
    }
    return smallest;
  }
}

function withoutWrites(planned: PlannedCase, from: number, count: number): PlannedCase {
  const left = (index: number): number => index - Math.max(0, Math.min(index - from, count));
  return {
    ...planned,
    writes: planned.writes.toSpliced(from, count),
    decided: left(planned.decided),
    proven: left(planned.proven),
    forgotten: left(planned.forgotten),
    readFrom: left(planned.readFrom),
  };
}

function withoutMutation(planned: PlannedCase, write: number, mutation: number): PlannedCase {
  const writes = planned.writes.map((each, i) =>
    i === write ? { ...each, mutations: each.mutations.toSpliced(mutation, 1) } : each,
  );
  return { ...planned, writes };
}
