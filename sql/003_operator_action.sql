-- What operators did: pauses, retries, discards. A secondary site's records come through its buffer like any write, so
-- they can be made while main is away.

create table opsdb.operator_action (
  -- Of a retry or discard it follows from the rejected write's id, so that a write is settled once.
  id           uuid        primary key,
  site         text        not null,
  action       text        not null check (action in ('PAUSE_DRAIN', 'RESUME_DRAIN', 'RETRY_WRITE', 'DISCARD_WRITE', 'ACKNOWLEDGE_LOSS')),
  write_id     uuid        check ((write_id is not null) = (action in ('RETRY_WRITE', 'DISCARD_WRITE'))),
  new_write_id uuid        check ((new_write_id is not null) = (action = 'RETRY_WRITE')),
  operator     text        not null,
  reason       text        not null,
  at           timestamptz not null
);

comment on table opsdb.operator_action is 'What operators did, and why. Written by the service alone.';

create index operator_action_write on opsdb.operator_action (write_id) where write_id is not null;

-- Whoever writes the ledger writes these records: a missing right would hold the drain up at the first of them.
do $$
declare
  granted record;
begin
  for granted in
    select distinct case a.grantee when 0 then 'public' else quote_ident(r.rolname) end as grantee
    from pg_class c, lateral aclexplode(c.relacl) a left join pg_roles r on r.oid = a.grantee
    where c.oid = 'opsdb.ledger'::regclass and a.privilege_type = 'INSERT'
  loop
    execute format('grant select, insert on opsdb.operator_action to %s', granted.grantee);
  end loop;
end $$;
