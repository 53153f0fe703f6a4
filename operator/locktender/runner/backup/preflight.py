"""What would make a dump fail after an hour is asked before its first byte."""

from collections.abc import Sequence

from locktender.runner.connect import Connection
from locktender.runner.errors import Reason, RunnerError
from locktender.runner.settings import NAMED_TABLES

# Objects that pg_dump reads: not the system's, not temporary, not those an extension brings (unless marked for dumping).
_DUMPED = """
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND c.relpersistence <> 't'
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
                      AND NOT EXISTS (SELECT FROM pg_extension e WHERE c.oid = ANY (e.extconfig)))
"""
_UNREADABLE = (
    "SELECT format('%I.%I', n.nspname, c.relname)"
    + _DUMPED
    + """ AND (c.relkind IN ('r', 'p') AND NOT (has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT'))
        OR c.relkind = 'S' AND NOT (has_schema_privilege(n.oid, 'USAGE')
                                    AND CASE WHEN c.relkind = 'S' THEN has_sequence_privilege(c.oid, 'SELECT') END))
      ORDER BY 1"""
)
_ROW_SECURITY = (
    "SELECT format('%I.%I', n.nspname, c.relname)"
    + _DUMPED
    + " AND c.relkind IN ('r', 'p') AND c.relrowsecurity AND row_security_active(c.oid) ORDER BY 1"
)
_LARGE_OBJECTS = """
    SELECT count(*) FROM pg_largeobject_metadata m
    WHERE NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)
      AND NOT pg_has_role(current_user, m.lomowner, 'USAGE')
      AND current_setting('lo_compat_privileges') = 'off'
      AND NOT EXISTS (SELECT FROM aclexplode(m.lomacl) a
                      WHERE a.privilege_type = 'SELECT' AND (a.grantee = 0 OR pg_has_role(current_user, a.grantee, 'USAGE')))
"""


def require_readable(connection: Connection) -> None:
    """Raises RunnerError/PermissionDenied that names what this role may not read, and the grant that would help."""
    role = connection.info.user
    unreadable = [str(row[0]) for row in connection.execute(_UNREADABLE.encode())]
    if unreadable:
        advice = f'GRANT pg_read_all_data TO "{role}";'
        raise RunnerError(
            Reason.PERMISSION_DENIED, f"The role {role} may not read {_named(unreadable)}. Run as a superuser: {advice}"
        )
    guarded = [str(row[0]) for row in connection.execute(_ROW_SECURITY.encode())]
    if guarded:
        advice = f'ALTER ROLE "{role}" BYPASSRLS;'
        said = f"Row security hides rows of {_named(guarded)} from the role {role}, so a dump would be incomplete."
        raise RunnerError(Reason.PERMISSION_DENIED, f"{said} Run as a superuser: {advice}")
    row = connection.execute(_LARGE_OBJECTS.encode()).fetchone()
    if row is not None and row[0]:
        said = f"The role {role} may not read {row[0]} large objects; pg_read_all_data does not cover them."
        raise RunnerError(Reason.PERMISSION_DENIED, f"{said} Make the role a member of their owner's role.")


def _named(tables: Sequence[str]) -> str:
    rest = len(tables) - NAMED_TABLES
    return ", ".join(tables[:NAMED_TABLES]) + (f" and {rest} more" if rest > 0 else "")
