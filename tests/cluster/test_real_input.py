"""Whole migration histories of published projects, by their own tools, on PostgreSQL 14 and 18; then again, as a no-op."""

import pytest

from tests.cluster.kit import real
from tests.cluster.kit.databases import MAJORS
from tests.cluster.kit.manifests import migration, secret
from tools.cluster.progress import Progress

PATIENCE = 300.0  # seconds: several hundred statements, on a shared machine


def migrated_twice(world, framework, image, **more):
    """Run a history as release 1, then again as release 2; the number of migrations recorded is the caller's to compare."""
    real.deliver(image, Progress(quiet=True))
    for release in ("1", "2"):
        world.apply(migration(framework, migration={"image": image, **more}, release=release, locks={"timeout": "5s"}))

        def done(release=release):
            run = (world.dbm or {}).get("status", {}).get("run", {})
            if run.get("release") == release and world.condition("Stalled"):
                raise AssertionError(world.state())
            return run.get("release") == release and run.get("outcome") == "Succeeded"

        world.wait(done, f"release {release} of {image} is migrated", PATIENCE)
    assert len(world.migrations_started()) == 2
    assert len(world.jobs("backup")) == 2


@pytest.mark.parametrize("major", MAJORS)
def test_the_whole_history_of_a_large_django_application(a_world, major):
    world = a_world(str(major), major=major)
    migrated_twice(world, "Django", real.WAGTAIL)
    (count,) = world.database.query("SELECT count(*) FROM django_migrations")
    assert int(count) > 150
    (last,) = world.database.query("SELECT max(applied) - min(applied) < interval '10 minutes' FROM django_migrations")
    assert last == "t"
    assert world.database.query("SELECT count(*) FROM wagtailcore_page") == ["2"]


@pytest.mark.parametrize("major", MAJORS)
def test_a_published_directory_of_golang_migrate(a_world, major):
    world = a_world(str(major), major=major)
    # The tool's driver wants TLS unless told otherwise; libpq, and so the backup, only prefers it.
    world.apply(secret(url=f"{world.database.url}?sslmode=disable"))
    migrated_twice(world, "GolangMigrate", real.GOLANG_MIGRATE)
    assert world.database.query("SELECT version, dirty FROM schema_migrations") == [f"{real.FIREFLY_MIGRATIONS}|f"]
