import pg from "pg";
import { sql } from "./sql.ts";

/** From now on the server asks this role for its password. The URL is a superuser's; the server may be a replica. */
export async function demandPassword(url: string, role: string): Promise<void> {
  const [file] = await sql<{ path: string }>(url, "select current_setting('hba_file') as path");
  const program = `cat - "${file?.path}" > "${file?.path}.new" && mv "${file?.path}.new" "${file?.path}"`;
  await sql(url, `copy (select 'host all ${role} all scram-sha-256') to program ${pg.escapeLiteral(program)}`);
  await sql(url, "select pg_reload_conf()");
}
