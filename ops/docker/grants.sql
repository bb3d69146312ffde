-- What the service's role may do; run by the owner after each migration. Running it again changes nothing.
grant usage on schema opsdb, public to opsdb;
grant select, insert on opsdb.ledger to opsdb;
grant select, insert, update on opsdb.cursor to opsdb;
grant select, insert on opsdb.operator_action to opsdb;
grant select, insert, update, delete on all tables in schema public to opsdb; -- what clients may do
grant usage on all sequences in schema public to opsdb;
