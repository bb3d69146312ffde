-- Decides writes one by one where a batch of them was refused, without a round trip to the site for each.

-- Every deferrable constraint as its definition says: SET CONSTRAINTS has no word for that.
create function opsdb.reset_constraints() returns void
language plpgsql as $$
declare
  initially_immediate text;
begin
  set constraints all deferred;
  select string_agg(distinct format('%I.%I', n.nspname, c.conname), ', ') into initially_immediate
  from pg_constraint c join pg_namespace n on n.oid = c.connamespace
  where c.condeferrable and not c.condeferred and n.nspname !~ '^pg_' and has_schema_privilege(n.oid, 'usage');
  if initially_immediate is not null then
    execute 'set constraints ' || initially_immediate || ' immediate';
  end if;
end $$;

-- Decides one write: applied with all its effects, or rejected with none, each with its ledger row. A write id that has a
-- ledger row already is `known`, and nothing is done. `decided` is the ledger row in every case.
--
-- statements: [{"text", "values", "mutation"}], where the text finds all its values in $1, a jsonb array.
-- refusal: what already speaks against the write, {"reason", "message", ...}; then it is rejected without being tried.
-- errors: {"retried": a pattern of the SQLSTATEs that are not the write's fault, "reasons": {...}}; see sqlstate.ts. An
-- error that matches the pattern fails the call, and the transaction with it.
--
-- One subtransaction for each call: with more than 64 in one transaction every standby becomes slow.
create function opsdb.decide_write(
  of_site text, id uuid, at_position text, hash bytea, wanted json, statements jsonb, refusal json, errors jsonb,
  out known boolean, out decided opsdb.ledger)
language plpgsql as $$
declare
  rejection json := refusal;
  statement jsonb;
  mutation int;
  state text;
  message text;
  detail text;
  failed_constraint text;
begin
  if rejection is null then
    begin
      insert into opsdb.ledger (write_id, site, position, payload_hash, outcome)
      values (id, of_site, at_position, hash, 'APPLIED')
      on conflict (write_id) do nothing returning * into decided;
      if found then
        for statement in select s.value from jsonb_array_elements(statements) s loop
          mutation := (statement ->> 'mutation')::int;
          execute statement ->> 'text' using statement -> 'values';
        end loop;
        mutation := null;
        set constraints all immediate; -- what the schema defers to the COMMIT is decided here, with its own write
      end if;
    exception when assert_failure or others then -- others alone leaves out a trigger's ASSERT
      get stacked diagnostics state = returned_sqlstate, message = message_text, detail = pg_exception_detail,
        failed_constraint = constraint_name;
      if state ~ (errors ->> 'retried') then
        raise;
      end if;
      rejection := json_strip_nulls(json_build_object(
        'reason', coalesce(
          case when failed_constraint like '%\_pkey' then errors -> 'reasons' ->> (state || '_pkey') end,
          errors -> 'reasons' ->> state,
          errors -> 'reasons' ->> left(state, 2),
          errors -> 'reasons' ->> ''),
        'message', message || case when detail <> '' then format(' (%s)', detail) else '' end,
        'sqlstate', state,
        'mutation', mutation));
    end;
  end if;
  if rejection is not null then
    insert into opsdb.ledger (write_id, site, position, payload_hash, outcome, error, payload)
    values (id, of_site, at_position, hash, 'REJECTED', rejection, wanted)
    on conflict (write_id) do nothing returning * into decided;
  elsif exists (select from pg_constraint where condeferrable) then
    perform opsdb.reset_constraints(); -- for the next write of the transaction
  end if;
  known := decided.write_id is null;
  if known then
    select * into decided from opsdb.ledger l where l.write_id = id;
  end if;
end $$;
