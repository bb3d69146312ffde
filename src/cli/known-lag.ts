import { PartState, type ReplicationStatus } from "../../gen/ts/opsdb/v1/replication_pb.ts";

/** Bytes that the replica is behind main; undefined while main does not say where it is. */
export function knownLag({ main, local }: ReplicationStatus): number | undefined {
  if (local?.lagBytes === undefined || main?.connection?.state !== PartState.RUNNING) return undefined;
  return Number(local.lagBytes);
}
