"""Identities: release keys, run ids, and the hash of what a retry would do differently.

A *release* is the image that carries the migrations plus the key that ties other Deployments to it (design, section 2). Its key is the
hash of both, so that the same release is recognised for as long as its verdict is kept.
"""

import hashlib
import json
from dataclasses import asdict, dataclass

from locktender.api.spec import Locks, Spec

KEY_LENGTH = 16  # hex digits of a release key: 64 bits, far beyond the number of releases of one application
RUN_KEY_LENGTH = 8  # hex digits of it that a run id shows


@dataclass(frozen=True)
class Release:
    """What a run is for. `image` is empty when the migrations come from a ConfigMap."""

    key: str
    image: str
    release: str


def _hash(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def of_deployment(image: str, release: str) -> Release:
    """The release of a Deployment whose own image carries the migrations."""
    return Release(_hash("deployment", image, release)[:KEY_LENGTH], image, release)


def of_spec(spec: Spec) -> Release:
    """The release that the spec itself names: `spec.migration` (image or ConfigMap) and `spec.release`."""
    content = json.dumps(asdict(spec.migration), sort_keys=True, default=str)
    return Release(_hash("spec", content, spec.release)[:KEY_LENGTH], spec.migration.image or "", spec.release)


def claim_name(namespace: str, secret_name: str, secret_key: str) -> str:
    """The name of the Lease that stands for a database, known by the Secret that holds its URL.

    The Lease lives in the operator's own namespace: in others the operator may not touch Leases.
    Two Secrets may lead to one database; then the advisory lock in the database itself is what keeps runs apart.
    """
    return f"locktender-database-{_hash(namespace, secret_name, secret_key)[:12]}"


def run_id(release_key: str, attempt: int, start_time: str) -> str:
    """The id of an attempt at a release, for example `3f9a1c2b-1-9d04`. The start is part of it: no id ever comes back."""
    return f"{release_key[:RUN_KEY_LENGTH]}-{attempt}-{_hash(release_key, start_time)[:4]}"


def spec_hash(spec: Spec) -> str:
    """The hash of everything that a repeated run would do differently. `suspend`, `gate`, `release` and `locks.retries` are not part of it.

    A field that came later counts only when it has another value than its default: hashes stored before it existed stay what they are.
    """
    relevant = asdict(spec)
    for irrelevant in ("suspend", "on_delete", "revert", "release"):
        relevant.pop(irrelevant)
    relevant["locks"].pop("retries")
    if spec.locks.budget == Locks().budget:
        relevant["locks"].pop("budget")
    return _hash(json.dumps(relevant, sort_keys=True, default=str))[:KEY_LENGTH]


def job_name(migration: str, uid: str, run_id: str, run_start: str, step: str, attempt: int) -> str:
    """The name of the Job of one attempt of one step, at most 63 characters.

    A function of the resource's uid, the run (its start included, so an id used again later is another run), the step and the attempt:
    whoever decides twice creates once.
    """
    digest = _hash(uid, run_id, run_start, step, str(attempt))[:10]
    head = f"{migration[:40].rstrip('.-')}-{step.lower()}"
    return f"{head}-{digest}"
