import pg from "pg";
import { sql } from "./sql.ts";

/** From now on the server asks this role, which is made where it is not there, for its password. The URL is a superuser's. */
export async function demandPassword(url: string, role: string, password: string): Promise<void> {
  const [known] = await sql(url, "select from pg_roles where rolname = $1", [role]);
  await sql(url, `${known ? "alter" : "create"} role ${role} login password ${pg.escapeLiteral(password)}`);
  const [file] = await sql<{ path: string }>(url, "select current_setting('hba_file') as path");
  const program = `cat - "${file?.path}" > "${file?.path}.new" && mv "${file?.path}.new" "${file?.path}"`;
  await sql(url, `copy (select 'host all ${role} all scram-sha-256') to program ${pg.escapeLiteral(program)}`);
  await sql(url, "select pg_reload_conf()");
}
