-- The table that all clients write, and what the main database alone knows of it.

create schema chaos;

create table chaos.register (
  k int primary key,
  v text not null,
  n int,
  -- The service leaves it to main, as every UNIQUE: a write of one n for two rows is poison.
  constraint register_n_is_unique unique (n)
);

-- Every effect in the order in which it happened.
create table chaos.effects (
  at          bigint generated always as identity primary key,
  transaction text not null default pg_current_xact_id()::text,
  operation   text not null,
  key         int  not null,
  value       text not null
);

create function chaos.note_effect() returns trigger language plpgsql as $$
begin
  if tg_op = 'DELETE' then
    insert into chaos.effects (operation, key, value) values (tg_op, old.k, old.v);
  else
    insert into chaos.effects (operation, key, value) values (tg_op, new.k, new.v);
  end if;
  return null;
end $$;

create trigger note_effect after insert or update or delete on chaos.register
  for each row execute function chaos.note_effect();

-- Poison of two more kinds: one fails at its statement, the other at COMMIT.
create function chaos.refuse() returns trigger language plpgsql as $$
begin
  raise exception using errcode = 'CH001', message = format('n is %s', new.n);
end $$;

create trigger refuse_at_once before insert or update on chaos.register
  for each row when (new.n = -1) execute function chaos.refuse();

create constraint trigger refuse_at_commit after insert or update on chaos.register
  deferrable initially deferred for each row when (new.n = -2) execute function chaos.refuse();
