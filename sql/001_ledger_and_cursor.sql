-- The service's own tables. They live on the main database and travel to every replica with the data.

create schema opsdb;

-- One row for each write, committed in the transaction of the write's effects: what makes a write happen once.
create table opsdb.ledger (
  write_id     uuid        primary key,
  site         text        not null,
  -- "milliseconds-sequence" in the site's order; null for a write that did not go through a buffer.
  position     text,
  payload_hash bytea       not null,
  outcome      text        not null check (outcome in ('APPLIED', 'REJECTED')),
  -- {"reason", "message", "sqlstate", "mutation"} of a rejected write, and what it wanted to do.
  error        json        check ((error is null) = (outcome = 'APPLIED')),
  payload      json,
  applied_at   timestamptz not null default clock_timestamp()
);

create index ledger_rejected on opsdb.ledger (site, applied_at) where outcome = 'REJECTED';

-- One row for each secondary site: the position up to which every write of the site is decided, and the fencing token
-- of the one processor that may go on from there.
create table opsdb.cursor (
  site          text        primary key,
  position      text        not null default '0-0',
  fencing_token bigint      not null default 0,
  updated_at    timestamptz not null default clock_timestamp()
) with (fillfactor = 20);

-- Moves the cursor from exactly where the caller believes it to be, or fails: a second processor, one that lost its
-- lease and a batch whose predecessor failed all end here, and their transactions with them.
create function opsdb.advance_cursor(of_site text, token bigint, from_position text, to_position text) returns void
language plpgsql as $$
begin
  update opsdb.cursor set position = to_position, updated_at = clock_timestamp()
  where site = of_site and fencing_token = token and position = from_position;
  if not found then
    raise exception using errcode = 'OD001', message = format('cursor of site %s is not at %s with token %s', of_site, from_position, token);
  end if;
end $$;

-- Fails where an update met fewer rows than it names keys.
create function opsdb.expect_rows(actual bigint, expected bigint) returns void
language plpgsql as $$
begin
  if actual <> expected then
    raise exception using errcode = 'OD002', message = format('%s of %s rows do not exist', expected - actual, expected);
  end if;
end $$;

-- Fails where a precondition does not hold.
create function opsdb.expect_precondition(actual boolean) returns void
language plpgsql as $$
begin
  if actual is not true then
    raise exception using errcode = 'OD003', message = 'a precondition does not hold';
  end if;
end $$;
