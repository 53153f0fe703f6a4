"""Every sentence that a user can see, in one voice: the fact first, then why, then what to type.

Messages name objects, never values out of Secrets or rows. The API limits a condition's message to 32768 characters; `fit` keeps ours
far below that.
"""

import re
from collections.abc import Sequence

from locktender.api.duration import readable
from locktender.api.spec import Spec

MESSAGE_LIMIT = 2000  # characters: a screen of text; the whole story is in the pod's log
LOOKED_AT = 8192  # characters of somebody else's text that are read at all: twice what a termination message may hold
_URL_USER = re.compile(r"(?P<head>://)\S+@")
# It begins only where a word begins: from every character of a long word it would take a time that grows with the word's square.
_NAMED = re.compile(
    r"(?<![\w.-])(?P<head>[\w.-]*(?:pass(?:word|wd|phrase)?|pwd|secret|token|api[_-]?key|private[_-]?key|access[_-]?key|credential)[\w.-]*[\"']?\s*[=:]\s*)"
    r"(?:'[^']*'|\"[^\"]*\"|[^\s,;&]+)",
    re.IGNORECASE,
)
# What PostgreSQL adds to an error can hold values of rows: the lines DETAIL, CONTEXT and STATEMENT, and two well-known sentences.
_ROW_LINES = re.compile(r"^.*\b(?:DETAIL|CONTEXT|STATEMENT|QUERY):.*$", re.MULTILINE)
_ROW_VALUES = re.compile(r"(?P<head>Failing row contains |Key \([^)]*\)=)\(.*?\)(?=\.|\s|$)", re.DOTALL)
# Control characters; what turns the direction of a line, so that it reads as something else; and halves of surrogate pairs, which no API
# server gives back as they were sent.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def redact(text: str) -> str:
    """Mask what looks like a password or a row's value: pods print what they like, and their last words end in our status."""
    text = _ROW_LINES.sub("", text)
    text = _ROW_VALUES.sub(r"\g<head>(...)", text)
    text = _URL_USER.sub(r"\g<head>***@", text)
    return _NAMED.sub(r"\g<head>***", text)


def fit(text: str, limit: int = MESSAGE_LIMIT) -> str:
    """The text without control characters, cut in the middle to `limit` characters."""
    text = _CONTROL.sub("", text.replace("\r\n", "\n")).strip()
    if len(text) <= limit:
        return text
    half = (limit - 5) // 2
    return f"{text[:half]} ... {text[-half:]}"


def untrusted(text: str) -> str:
    """A pod's own words, made fit for a status."""
    return fit(redact(text[:LOOKED_AT]))


def one_line(text: str, limit: int) -> str:
    """A person's own words on one line, without what cannot be printed."""
    return fit(redact(" ".join("".join(c if c.isprintable() else " " for c in text).split())), limit)


# The release as a whole


def unreadable_spec(problem: str) -> str:
    return f"The spec is not of the shape of the resource definition ({problem}): apply the newest crds/, then the resource again."


def awaiting_deployment(name: str) -> str:
    return (
        f"Nothing to migrate yet: no Deployment carries the label locktender.dev/gate={name}, and spec.migration names no image. "
        f"Label one: kubectl label deployment NAME locktender.dev/gate={name}"
    )


def source_elsewhere(deployment: str, gate: str, name: str) -> str:
    return (
        f"spec.migration.from names Deployment {deployment}, but its label puts it behind another gate, locktender.dev/gate={gate}. "
        f"A Deployment has one gate: correct spec.migration.from.deployment, or change the label to {name}."
    )


def source_missing(spec: Spec) -> str:
    source = spec.migration.source
    wanted = f"Deployment {source.deployment}" if source else "a Deployment"
    container = f" with a container {source.container}" if source and source.container else ""
    return f"spec.migration.from names {wanted}{container}, but no gated Deployment is that. Correct spec.migration.from, or label it."


def ambiguous_source(name: str, deployments: Sequence[str]) -> str:
    return (
        f"Deployments {', '.join(deployments)} are held with different images, and each could carry the migrations. "
        f"Say which one does with spec.migration.from.deployment in DatabaseMigration {name}, "
        "and give the others the same locktender.dev/key annotation in their pod templates."
    )


def ambiguous_container(deployment: str) -> str:
    return (
        f"Deployment {deployment} has containers with different images, and each could carry the migrations. "
        "Say which one does with spec.migration.from: {deployment: " + deployment + ", container: NAME}."
    )


def key_too_long(deployment: str, limit: int) -> str:
    return f"The annotation locktender.dev/key in the pod template of Deployment {deployment} is longer than {limit} characters. Shorten it."


def release_differs(spec_release: str, deployment_release: str) -> str:
    return (
        f"Half a release is here: the Deployment's locktender.dev/key is {deployment_release!r}, spec.release is still {spec_release!r}. "
        "The migration starts when both are equal; apply the other half."
    )


def run_succeeded(image: str, release: str) -> str:
    if image:
        return f"{image} is migrated."
    return f"Release {release} is migrated." if release else "The migration has run."


def succeeded(image: str, release: str, opened: int) -> str:
    return f"{run_succeeded(image, release)[:-1]}; {opened} Deployment{'' if opened == 1 else 's'} through the gate."


def baseline(image: str) -> str:
    return f"{image} was running before it was gated; it counts as migrated. The next version waits for its migration."


def suspended(name: str, namespace: str) -> str:
    return (
        "spec.suspend is true: no new step starts, held Deployments stay held. Resume: "
        f'kubectl -n {namespace} patch dbm {name} --type=merge -p \'{{"spec":{{"suspend":false}}}}\''
    )


def resume_too(name: str, namespace: str) -> str:
    return (
        "Besides, spec.suspend is true, and nothing starts before you resume: "
        f'kubectl -n {namespace} patch dbm {name} --type=merge -p \'{{"spec":{{"suspend":false}}}}\''
    )


def deleting() -> str:
    return "The resource is being deleted; the running migration is finished first."


def superseded() -> str:
    return "A newer version arrived before the migration of this one had started."


def spec_changed() -> str:
    return "The spec changed before this migration had started; the run begins anew with the new spec."


def backup_stale() -> str:
    return "The backup of this run is too old by now; the run begins anew with a fresh one."


def release_refused(deployment: str) -> str:
    return (
        f"Deployment {deployment} was released, but the gate held it again: the operator's account lacks the verb release on this "
        "DatabaseMigration. Bind it to the ClusterRole locktender-gate of the chart (rbac.create), or grant the verb."
    )


def release_forbidden(deployment: str, namespace: str, words: str) -> str:
    return (
        f"Deployment {deployment} is migrated, but the API server does not let the operator release it: {words.rstrip('.')}. "
        "Where a right is missing, bind the operator's account to the Role locktender-gate of the chart (rbac.create); see: "
        f"kubectl -n {namespace} get rolebinding. It is tried again every 20 seconds."
    )


def namespace_forbidden(namespace: str, words: str) -> str:
    return (
        f"Namespace {namespace} cannot be read, its gated Deployments stay held and the other namespaces go on: {words.rstrip('.')}. "
        "Give the operator's account its Roles there: the chart makes them for each of watch.namespaces; "
        f"see: kubectl -n {namespace} get rolebinding"
    )


def revert_held(name: str, namespace: str) -> str:
    return (
        "An already verified version came back and spec.gate.revert is Hold. Migrate it again and let it through: "
        + retry(name, namespace)
    )


def mismatch(deployment: str, image: str, release: str, *, by_spec: bool) -> str:
    if release:
        tie = f'Tie it to the release with the annotation locktender.dev/key: "{release}" in its pod template.'
    elif by_spec:
        tie = "Tie it to the release: set spec.release, and the annotation locktender.dev/key with the same value in its pod template."
    else:
        tie = (
            "Tie it to the release: the same annotation locktender.dev/key in its pod template and in that of the Deployment that "
            "carries the migrations."
        )
    return f"Deployment {deployment} stays held: it does not belong to the migrated release ({image or release or 'of the ConfigMap'}). {tie}"


def previous_failed(run_id: str, name: str, namespace: str, *, backed_up: bool) -> str:
    again = f"Mend it and migrate the running version again: {retry(name, namespace)}"
    if not backed_up:
        return f"The running version could not be backed up, so it is not migrated, and the next version waits (run {run_id}). {again}"
    return (
        f"The migration of the running version failed (run {run_id}), so the next version waits. {again} - or, if the database is as it "
        f"should be: {resolve(run_id, 'ran', name, namespace)}"
    )


def retry(name: str, namespace: str) -> str:
    return f"kubectl -n {namespace} annotate dbm {name} locktender.dev/retry=$(date +%s) --overwrite"


def resolve(run_id: str, word: str, name: str, namespace: str) -> str:
    return f"kubectl -n {namespace} annotate dbm {name} locktender.dev/resolve={run_id}={word} --overwrite"


def needs_attention(cause: str, run_id: str, name: str, namespace: str) -> str:
    return (
        f"{cause} Whether the migration ran cannot be known from here, and it is not guessed. Look at the database "
        "(your framework's own status command), then say what you found: "
        f"{resolve(run_id, 'ran', name, namespace)} - or, to run it again: {resolve(run_id, 'not-ran', name, namespace)}"
    )


def earlier_unknown(cause: str, run_id: str, name: str, namespace: str) -> str:
    return (
        f"{cause} This run has not started its migration. Look at the database, mend what the earlier attempt may have left half done, "
        f"then let this run go on: {resolve(run_id, 'not-ran', name, namespace)}"
    )


# Steps


def backup_running(claim: str) -> str:
    return f"The database is being backed up to claim {claim}."


def backup_ready(name: str, size: int, sha256: str, took: float | None) -> str:
    time = f" in {readable(took)}" if took is not None else ""
    return f"Backup {name} ({_bytes(size)}, sha256 {sha256[:12]}) was taken{time}, decoded in full and read back from its store."


def backup_skipped(reason: str) -> str:
    return f"No backup is taken: spec.backup.policy is Skip ({reason or 'no reason given'})."


def backup_failed(cause: str, job: str, name: str, namespace: str, *, runs: bool) -> str:
    return (
        f"The backup failed, so nothing was migrated, and {_serving(runs=runs)}. {cause} "
        f"Log: kubectl -n {namespace} logs job/{job}. When mended: {retry(name, namespace)}"
    )


_OLD_SERVES = "the old version keeps serving"
_NEW_RUNS = "the new version is already rolled out and runs on the old schema"


def _serving(*, runs: bool) -> str:
    return _NEW_RUNS if runs else _OLD_SERVES


def runs_meanwhile(text: str) -> str:
    """A failure's sentence of the time when the old version served, now that the new one was let through all the same."""
    return text.replace(_OLD_SERVES, _NEW_RUNS)


def migration_running(framework: str, image: str) -> str:
    return f"The {framework} migration of {image or 'the ConfigMap'} is running."


def migration_succeeded(image: str, took: float | None) -> str:
    time = f" in {readable(took)}" if took is not None else ""
    return f"The migration of {image or 'the ConfigMap'} ended with exit code 0{time}."


def migration_failed(cause: str, job: str, name: str, namespace: str, *, runs: bool) -> str:
    mended = "Mend the cause" if runs else "Ship a mended version"
    return (
        f"The migration failed, and {_serving(runs=runs)}. {cause} Log: kubectl -n {namespace} logs job/{job} -c migrate. "
        f"{mended}, or try this one again: {retry(name, namespace)}"
    )


def waiting_for(cause: str, attempt: int) -> str:
    tries = f" (attempt {attempt})" if attempt > 1 else ""
    return f"Waiting{tries}: {cause}"


def advised(cause: str, advice: str) -> str:
    """The fact, cut so that the advice after it is never cut."""
    fact = fit(cause, MESSAGE_LIMIT - len(advice) - 50).rstrip(".")
    return f"{fact}. {advice}"


def look_at_pod(job: str, namespace: str) -> str:
    return f"It goes on by itself once that is mended; look: kubectl -n {namespace} describe pod -l job-name={job}"


def again_at_once(name: str, namespace: str) -> str:
    return f"It is tried again by itself; at once: {retry(name, namespace)}"


def database_claimed(holder: str, namespace: str) -> str:
    return (
        f"DatabaseMigration {holder} is at work on the same database; this run follows when it has ended. "
        f"What it is at: kubectl -n {namespace} describe dbm {holder}"
    )


def pod_pending(job: str, namespace: str) -> str:
    return f"Job {job} has no running pod yet. If this stays: kubectl -n {namespace} describe job {job}"


def rollout_waiting(deployments: Sequence[str], namespace: str) -> str:
    return (
        f"The rollout of {', '.join(deployments)} is under way; the migration follows when it is complete. "
        f"If it does not get on: kubectl -n {namespace} rollout status deployment {deployments[0]}"
    )


def job_vanished(job: str) -> str:
    return f"Job {job} was deleted before its end was recorded."


def end_not_recorded(job: str, why: str) -> str:
    detail = f" ({why})" if why else ""
    return f"The pod of Job {job} is gone{detail} and its end was never seen."


def interrupted(job: str, why: str) -> str:
    return f"The container of Job {job} ended with exit code 0 while its pod was being taken away ({why}), perhaps before its work was done."


def name_taken(job: str, namespace: str) -> str:
    return (
        f"Job {job} exists and was not made for this resource. Look at it (kubectl -n {namespace} describe job {job}) and delete it; "
        "the step then starts by itself."
    )


def job_refused(job: str, words: str) -> str:
    return (
        f"The API server refused Job {job}: {words} Often this is a quota or an admission policy of the namespace. "
        "Mend it; the Job is tried again every 20 seconds."
    )


def verdict_disputed(job: str) -> str:
    return f"The container ended with exit code 0, but Job {job} is marked failed. The verdict of the container stands; look at the Job."


def exit_code(container: str, code: int, reason: str, words: str) -> str:
    known = {137: " (killed: out of memory, or the node took it down)", 143: " (terminated)"}.get(code, "")
    if reason == "OOMKilled":
        known = " (out of memory: raise spec.migration.pod.resources.limits.memory)"
    said = f" Its last words: {words.rstrip('.')}." if words else ""
    return f"Container {container} ended with exit code {code}{known}.{said}"


def timed_out(limit: float) -> str:
    return f"It did not end within spec.migration.timeout ({readable(limit)}) and was stopped."


def rollout_overtaken() -> str:
    return "No Deployment carries this version any more."


def _bytes(size: int) -> str:
    value = float(size)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024 or unit == "GiB":
            break
        value /= 1024
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
