"""`locktender runner backup`: preflight -> snapshot -> stream -> re-read -> publish -> row. Reads top to bottom."""

import json
import os
import time
from pathlib import Path
from typing import Any

from locktender import __version__
from locktender.runner import journal, ledger
from locktender.runner.backup import catalog, clients, pipeline, preflight, store
from locktender.runner.backup.source import Snapshot, Source, exported, only_one
from locktender.runner.connect import (
    Connection,
    Target,
    client_conninfo,
    client_environment,
    connect,
    parse,
    require_direct,
    require_supported,
)
from locktender.runner.errors import DumpError, Reason, RunnerError
from locktender.runner.settings import BACKUP_DIR, Identity, path

SCHEMA = 1  # version of the manifest's form


def main() -> dict[str, Any]:
    """Back up once; the successful report. Raises RunnerError, OSError or psycopg.Error; nothing is published then."""
    root, backup = path("LOCKTENDER_BACKUP_DIR", BACKUP_DIR), os.environ.get("LOCKTENDER_BACKUP_ID", "")
    if not backup:
        raise RunnerError(Reason.INTERNAL_ERROR, "LOCKTENDER_BACKUP_ID is not set: a backup needs a unique name.")
    target = parse()
    store.require_writable(root)
    for leftover in store.sweep(root, time.time()):
        journal.say("swept", f"removed what an abandoned attempt had left: {leftover.relative_to(root)}")
    with connect(target, "locktender backup") as connection:
        require_direct(connection)
        programs = clients.find(require_supported(connection))
        only_one(connection)
        ledger.ensure(connection, "db_backups")
        if (folder := store.find(root, backup)) is not None:
            return _again(connection, root, folder)
        preflight.require_readable(connection)
        return _new(connection, target, programs, root, backup)


def _new(connection: Connection, target: Target, programs: clients.Clients, root: Path, backup: str) -> dict[str, Any]:
    """Dump, prove and publish."""
    started = journal.now()
    with exported(connection) as snapshot:
        source = snapshot.source
        store.require_room(root, source.size)
        folder = (
            root / source.system / f"{source.oid}-{store.segment(source.database)}" / store.folder_name(started, backup)
        )
        said = f"dumping {source.database}, {source.size >> 20} MiB, {source.tables} tables, with pg_dump {programs.version}"
        journal.say("started", said, directory=str(folder.relative_to(root)))
        try:
            file, streamed, toc = _proved(connection, target, programs, snapshot, folder)
            facts = _facts(backup, root, file, streamed, source, programs, started)
            manifest = _manifest(facts, source, toc, Identity())
            store.write_new(folder / store.MANIFEST, json.dumps(manifest, indent=2).encode() + b"\n")
        except BaseException:
            store.discard(folder)
            raise
    catalog.record(connection, facts, manifest["owner"])
    return _report(facts, root)


def _proved(
    connection: Connection, target: Target, programs: clients.Clients, snapshot: Snapshot, folder: Path
) -> tuple[Path, pipeline.Streamed, int]:
    """The stored file under its final name, what went into it, and the number of entries in its contents."""
    store.make_folder(folder)
    environment = client_environment(target, connection)
    partial = folder / (("data.dump.zst" if programs.outer_zstd else "data.dump") + store.PARTIAL)
    command = programs.dump(snapshot.name, client_conninfo(target))
    streamed = pipeline.stream(programs, command, environment, partial)
    file = store.publish_data(partial)
    journal.say("stored", "reading it back from the store", bytes=streamed.size)
    _require_same(file, streamed.sha256, streamed.size)
    toc = pipeline.contents(programs, file, environment)
    store.write_new(folder / store.TOC, toc)
    return file, streamed, sum(1 for line in toc.splitlines() if line and not line.startswith(b";"))


def _again(connection: Connection, root: Path, folder: Path) -> dict[str, Any]:
    """The id is published already (the pod was started twice): prove it once more and report the same."""
    manifest = json.loads((folder / store.MANIFEST).read_bytes())
    facts: dict[str, Any] = manifest["backup"]
    journal.say("found", "this backup is published already; reading it back", directory=str(folder.relative_to(root)))
    _require_same(folder / facts["file"], facts["sha256"], facts["sizeBytes"])
    catalog.record(connection, facts, manifest["owner"])
    return _report(facts, root)


def _require_same(file: Path, sha256: str, size: int) -> None:
    found = store.hash_stored(file)
    if found != (sha256, size):
        said = f"{file.name} read back from the store is not what was written: {found[1]} bytes instead of {size}"
        if found[1] == size:
            said = f"{file.name} read back from the store is not what was written: its SHA-256 differs"
        raise DumpError(Reason.VERIFICATION_FAILED, f"{said}. Check the volume; do not trust this backup.")


def _facts(
    backup: str,
    root: Path,
    file: Path,
    streamed: pipeline.Streamed,
    source: Source,
    programs: clients.Clients,
    started: str,
) -> dict[str, Any]:
    """What the operator puts into the DatabaseBackup; paths are relative to the store, so that they survive another mount point."""
    return {
        "id": backup,
        "directory": str(file.parent.relative_to(root)),
        "file": file.name,
        "manifest": store.MANIFEST,
        "sizeBytes": streamed.size,
        "rawBytes": streamed.raw_size,
        "sha256": streamed.sha256,
        "rawSha256": streamed.raw_sha256,
        "database": source.database,
        "serverVersion": source.server_version,
        "clientVersion": programs.version,
        "startedAt": started,
        "finishedAt": journal.now(),
        "verification": "Decoded",
        "tables": source.tables,
    }


def _manifest(facts: dict[str, Any], source: Source, entries: int, owner: Identity) -> dict[str, Any]:
    """Everything a restore needs to know, and who asked for the backup."""
    outer = str(facts["file"]).endswith(".zst")
    return {
        "schema": SCHEMA,
        "locktender": __version__,
        "backup": facts,
        "format": {
            "archive": "custom",
            "compression": "zstd frame around the archive" if outer else "zstd inside the archive",
        },
        "source": {
            "systemIdentifier": source.system,
            "databaseOid": source.oid,
            "databaseBytes": source.size,
            "tableBytes": source.tables_size,
            "encoding": source.encoding,
            "collation": source.collation,
            "snapshotLsn": source.lsn,
            "extensions": source.extensions,
            "dataNotDumped": list(ledger.NOT_DUMPED),
        },
        "contents": {"file": store.TOC, "entries": entries},
        "owner": {
            "namespace": owner.namespace,
            "migration": owner.migration,
            "migrationUid": owner.migration_uid,
            "run": owner.run,
            "attempt": owner.attempt,
            "release": owner.release,
        },
    }


def _report(facts: dict[str, Any], root: Path) -> dict[str, Any]:
    mib = facts["sizeBytes"] / (1 << 20)
    said = f"Backed up {facts['database']}: {mib:.1f} MiB, {facts['tables']} tables, decoded in full and read back from the store."
    journal.say("done", said)
    return {"reason": Reason.SUCCEEDED, "message": said, "backup": facts, "freeBytes": store.room(root)}
