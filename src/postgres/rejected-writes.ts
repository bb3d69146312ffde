import { formatPosition, type Position } from "../position.ts";
import type { TextValue } from "../value.ts";
import type { Mutation } from "../write.ts";
import type { Statement } from "./connection.ts";
import { type LedgerRow, parseLedgerRow } from "./ledger.ts";
import { named } from "./statement.ts";

/** The statements on rejected rows of opsdb.ledger and on opsdb.operator_action: one function each. */

/** The catalog's key of the table of operators' actions. */
export const OPERATOR_ACTION = "opsdb.operator_action";

const COLUMNS = "l.write_id, l.site, l.position, l.payload_hash, l.outcome, l.error, l.applied_at, l.payload";

/** A retry whose new write is nowhere to be seen has settled nothing: the server ended between the two. */
const UNSETTLED = `not exists (
  select from opsdb.operator_action a where a.write_id = l.write_id and (a.action = 'DISCARD_WRITE'
    or (a.action = 'RETRY_WRITE' and exists (select from opsdb.ledger n where n.write_id = a.new_write_id))))`;

// Rejections come through buffers, so each has a position.
const KEY = "split_part(l.position, '-', 1)::numeric, split_part(l.position, '-', 2)::numeric, l.write_id";

export interface RejectedRow {
  ledger: LedgerRow;
  mutations: Mutation[];
}

/** The first rejected writes after a position and id, of one site or of all. Rows for parseRejectedRow. */
export function readRejectedPage(options: {
  site: string | undefined;
  after: { position: Position; writeId: string };
  /** With those that an operator has settled. */
  settled: boolean;
  limit: number;
}): Statement {
  const { site, after, settled, limit } = options;
  const [ms, sequence] = formatPosition(after.position).split("-");
  return {
    text: `select ${COLUMNS} from opsdb.ledger l
      where l.outcome = 'REJECTED' and l.position is not null and ($1::text is null or l.site = $1)
        and (${KEY}) > ($2::numeric, $3::numeric, $4::uuid) ${settled ? "" : `and ${UNSETTLED}`}
      order by ${KEY} limit $5`,
    values: [site ?? null, ms, sequence, after.writeId, limit],
  };
}

/** Answers one number. */
export function countUnsettled(site: string | undefined): Statement {
  return {
    text: `select count(*) from opsdb.ledger l
      where l.outcome = 'REJECTED' and ($1::text is null or l.site = $1) and ${UNSETTLED}`,
    values: [site ?? null],
  };
}

/** The ledger row of a write with what it wanted to do. A row for parseRejectedRow, or none. */
export function readWithPayload(writeId: string): Statement {
  return { text: `select ${COLUMNS} from opsdb.ledger l where l.write_id = $1::uuid`, values: [writeId] };
}

export function parseRejectedRow(row: readonly (string | null)[]): RejectedRow {
  const payload = row[7];
  return {
    ledger: parseLedgerRow(row.slice(0, 7)),
    mutations: payload == null ? [] : (JSON.parse(payload) as Mutation[]),
  };
}

/** Actions by id: the columns of the table in its order, then whether the ledger has the new write. */
export function readActions(ids: readonly string[]): Statement {
  return {
    text: `select a.id, a.site, a.action, a.write_id, a.new_write_id, a.operator, a.reason, a.at,
        exists (select from opsdb.ledger n where n.write_id = a.new_write_id)
      from opsdb.operator_action a where a.id = any($1::uuid[])`,
    values: [ids],
  };
}

/** Fails with OD004, which says who did what, where the record is of another action; with OD003 where there is none. */
export function expectAction(id: TextValue, action: TextValue): Required<Statement> {
  return named("select opsdb.expect_action($1::text::uuid, $2::text)", [id, action]);
}
