-- Three roles with the least rights that the service works with:
--
--   opsdb_api     MAIN_DB_USER of every site: writes rows, and cannot change the schema, nor make access tokens
--   opsdb_reader  LOCAL_DB_USER of a secondary site: reads, and cannot write
--   opsdb_sql     SQL_ROLE: the statements of clients can select from their tables, and nothing else
--
-- For psql, in the observatory's database, as the owner of its tables with the right to create roles, after `opsdb migrate`.
-- Run it again after each migration and wherever a schema was added: it repeats what is there and removes nothing else.
-- Roles and rights reach the replicas by themselves. Afterwards set passwords: \password opsdb_api, \password opsdb_reader.

begin;

do $$
declare
  name text;
begin
  foreach name in array array['opsdb_api', 'opsdb_reader', 'opsdb_sql'] loop
    if not exists (select from pg_roles r where r.rolname = name) then
      execute format('create role %I %s', name, case name when 'opsdb_sql' then 'nologin' else 'login' end);
    end if;
  end loop;
  execute format('grant connect on database %I to opsdb_api, opsdb_reader', current_database());
  -- Whoever may make objects could put one in the way of another.
  execute format('revoke create, temporary on database %I from public', current_database());
end $$;

revoke create on schema public from public;
grant opsdb_sql to opsdb_api, opsdb_reader;

-- The service's own tables.
grant usage on schema opsdb to opsdb_api, opsdb_reader;
grant select, insert on opsdb.ledger, opsdb.operator_action to opsdb_api;
grant select, insert, update on opsdb.cursor to opsdb_api;
grant select on opsdb.access_token to opsdb_api;
grant select on opsdb.ledger, opsdb.operator_action, opsdb.cursor, opsdb.access_token to opsdb_reader;
grant usage on schema opsdb to opsdb_sql;
grant select on opsdb.operator_action to opsdb_sql;

-- The observatory's own, in every schema, and what its owner adds to them later.
do $$
declare
  schema_name text;
begin
  for schema_name in
    select quote_ident(n.nspname) from pg_namespace n
    where n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'opsdb')
  loop
    execute format('grant usage on schema %s to opsdb_api, opsdb_reader, opsdb_sql', schema_name);
    execute format('grant select, insert, update, delete on all tables in schema %s to opsdb_api', schema_name);
    execute format('grant usage on all sequences in schema %s to opsdb_api', schema_name);
    execute format('grant select on all tables in schema %s to opsdb_reader, opsdb_sql', schema_name);
    execute format('alter default privileges in schema %s grant select, insert, update, delete on tables to opsdb_api', schema_name);
    execute format('alter default privileges in schema %s grant usage on sequences to opsdb_api', schema_name);
    execute format('alter default privileges in schema %s grant select on tables to opsdb_reader, opsdb_sql', schema_name);
  end loop;
end $$;

alter role opsdb_reader set default_transaction_read_only = on;

-- What a superuser alone may give. Without the first, receivers and standbys show as "stopped" and "unknown"; without the
-- second, SQL_MAX_TEMP_BYTES does not hold.
do $$
begin
  begin
    grant pg_monitor to opsdb_api, opsdb_reader;
  exception when insufficient_privilege then
    raise notice 'not granted: a superuser has to run: grant pg_monitor to opsdb_api, opsdb_reader';
  end;
  begin
    grant set on parameter temp_file_limit to opsdb_api, opsdb_reader;
  exception when insufficient_privilege then
    raise notice 'not granted: a superuser has to run: grant set on parameter temp_file_limit to opsdb_api, opsdb_reader';
  end;
end $$;

commit;
