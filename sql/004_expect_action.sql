-- A retry holds as long as nobody else has settled the rejected write before its record got here.

-- Fails where the record is of another action, and says whose. Records never change, so there is nothing to lock.
create function opsdb.expect_action(of_id uuid, expected text) returns void
language plpgsql as $$
declare
  standing opsdb.operator_action;
begin
  select * into standing from opsdb.operator_action a where a.id = of_id;
  if not found then
    raise exception using errcode = 'OD003', message = format('there is no record %s of an operator''s action', of_id);
  end if;
  if standing.action <> expected then
    raise exception using errcode = 'OD004', message = format('write %s was %s at site %s by %s on %s: %s', standing.write_id,
      case standing.action when 'DISCARD_WRITE' then 'discarded' else 'retried' end, standing.site, standing.operator,
      to_char(standing.at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), standing.reason);
  end if;
end $$;
