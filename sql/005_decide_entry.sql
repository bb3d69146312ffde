-- A write id that comes with a second content: the id stays the first one's, and the second content is rejected by an id
-- of its own, so that it is neither lost nor taken for the first.

-- Decides one write as opsdb.decide_write does, unless its id belongs to other content: then what it wanted is rejected as
-- `content_id`, for `reused`. `decided` is the ledger row of this content in every case.
--
-- With neither statements nor a refusal the id is known to have come before with other content; but the ledger may have
-- that of this one.
create function opsdb.decide_entry(
  of_site text, id uuid, at_position text, hash bytea, wanted json, statements jsonb, refusal json, errors jsonb,
  content_id uuid, reused json, out known boolean, out decided opsdb.ledger)
language plpgsql as $$
declare
  answer record;
begin
  if statements is null and refusal is null then
    select * into decided from opsdb.ledger l where l.write_id = id;
    known := true;
  else
    select * into answer
    from opsdb.decide_write(of_site, id, at_position, hash, wanted, statements, refusal, errors);
    known := answer.known;
    decided := answer.decided;
  end if;
  if decided.payload_hash = hash then
    return;
  end if;
  insert into opsdb.ledger (write_id, site, position, payload_hash, outcome, error, payload)
  values (content_id, of_site, at_position, hash, 'REJECTED', reused, wanted)
  on conflict (write_id) do nothing returning * into decided;
  known := decided.write_id is null;
  if known then
    select * into decided from opsdb.ledger l where l.write_id = content_id;
  end if;
end $$;
