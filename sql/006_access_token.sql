-- Who may call the service. The rows travel to every site with the data; the secrets are nowhere but with their owners.

create table opsdb.access_token (
  -- The first part of the token, which is no secret.
  id               text        primary key check (id ~ '^[0-9a-z]{12}$'),
  name             text        not null,
  -- SHA-256 of the whole token. It has 256 random bits, so there is nothing to guess, and no need for a slow hash.
  hash             bytea       not null check (octet_length(hash) = 32),
  roles            text[]      not null check (cardinality(roles) > 0 and roles <@ array['read', 'write', 'admin', 'sql']),
  -- "schema.table", where * stands for any characters but the dot. None: all tables.
  tables           text[]      not null default '{}' check (cardinality(tables) = 0 or not roles && array['admin', 'sql']),
  -- At each process of a site; null: what the site says of all tokens.
  calls_per_second int         check (calls_per_second > 0),
  burst            int         check (burst > 0),
  message_bytes    int         check (message_bytes > 0),
  created_by       text        not null,
  created_at       timestamptz not null default clock_timestamp(),
  expires_at       timestamptz,
  revoked_at       timestamptz,
  check (burst is null or calls_per_second is not null)
);

comment on table opsdb.access_token is 'Who may call the service. Written by "opsdb tokens" alone.';

-- Whoever reads the ledger at a site reads the tokens there.
do $$
declare
  granted record;
begin
  for granted in
    select distinct case a.grantee when 0 then 'public' else quote_ident(r.rolname) end as grantee
    from pg_class c, lateral aclexplode(c.relacl) a left join pg_roles r on r.oid = a.grantee
    where c.oid = 'opsdb.ledger'::regclass and a.privilege_type = 'SELECT' and a.grantee <> c.relowner
  loop
    execute format('grant select on opsdb.access_token to %s', granted.grantee);
  end loop;
end $$;
