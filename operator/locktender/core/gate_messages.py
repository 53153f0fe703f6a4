"""Sentences about the gate: what it holds, what came past it, its own objects and its webhook. The voice is that of `core/messages.py`."""

from collections.abc import Sequence

from locktender.core.messages import fit, retry

# Deployments at the gate


def held(name: str, namespace: str) -> str:
    return f"Held until DatabaseMigration {name} has migrated; see: kubectl -n {namespace} describe dbm {name}"


def released(run_id: str, image: str) -> str:
    return f"Released: {image or 'its release'} is migrated (run {run_id})."


def released_before_migration(run_id: str) -> str:
    return f"Released before its migration (strategy DeployThenMigrate, run {run_id})."


def released_by_deletion(name: str) -> str:
    return f"Released: DatabaseMigration {name} was deleted and its spec.gate.onDelete is Release."


def gate_open() -> str:
    return "No Deployment waits at the gate."


def gate_held(deployments: Sequence[str]) -> str:
    return f"Held at the gate: {', '.join(deployments)}. The version before keeps serving."


def gate_restored(what: str, name: str, deed: str, config_map: str, namespace: str) -> str:
    """`deed` is "was deleted", or "was edited" and by what."""
    return (
        f"{what} {name}, a part of the gate, {deed}. It is restored. {_who(name)} To change the gate, change the chart's values; to be told "
        f"only, set gate.guard to Report. What it is restored from: kubectl -n {namespace} get configmap {config_map} -o yaml"
    )


def gate_incomplete(what: str, name: str, state: str, why: str, namespace: str) -> str:
    """`state` is "is missing" or "is not what the chart installed"; `why` says why it stays so."""
    return (
        f"{what} {name}, a part of the gate, {state}, and the operator leaves it so: {why}. Rollouts may be refused, or pass unheld. {_who(name)} "
        f"To mend it: helm -n {namespace} upgrade RELEASE CHART --reuse-values, or apply the install file again."
    )


def _who(name: str) -> str:
    return f"""Who did it stands in the API server's audit log, if it keeps one: grep '"name":"{name}"' AUDIT_LOG."""


def gate_edited(writer: str) -> str:
    return f"was edited (last by {writer})" if writer else "was edited"


def guard_reports() -> str:
    return "gate.guard is Report"


def guard_refused(words: str) -> str:
    return f"the API server refused: {words.rstrip('.')}"


def guard_blind(config_map: str, namespace: str) -> str:
    return (
        f"ConfigMap {config_map} is missing or cannot be read, so nobody watches over the gate's own objects. To mend it: "
        f"helm -n {namespace} upgrade RELEASE CHART --reuse-values, or apply the install file again."
    )


def audit_log(name: str, namespace: str) -> str:
    return (
        "Who did it stands in the API server's audit log, if it keeps one: "
        f"""grep '"gate-backstop.locktender.dev/gate":"{namespace}/{name}"' AUDIT_LOG"""
    )


def bypassed(deployment: str, images: Sequence[str], reason: str, next_step: str) -> str:
    """`images` that run; `reason` is what the person wrote."""
    return f"Deployment {deployment} runs {_listed(images)} unmigrated: a bypass let it through ({reason or 'no reason given'}). {next_step}"


def bypassed_orphan(deployment: str, images: Sequence[str], reason: str, name: str, namespace: str) -> str:
    absent = f"There is no DatabaseMigration {name} in namespace {namespace}, so nothing will migrate it: apply one."
    return f"{bypassed(deployment, images, reason, absent)} {audit_log(name, namespace)}"


def bypassed_verified(deployment: str, images: Sequence[str], reason: str) -> str:
    return f"A bypass let Deployment {deployment} through ({reason or 'no reason given'}). Its version {_listed(images)} was migrated before, so nothing is left to do."


def left_by_bypass(deployment: str, images: Sequence[str], reason: str, name: str) -> str:
    return (
        f"A bypass took Deployment {deployment} out of its gate ({reason or 'no reason given'}): {_listed(images)} runs unmigrated, and nothing "
        f"will hold or migrate what follows. To gate it again: kubectl label deployment {deployment} locktender.dev/gate={name}"
    )


def bypass_held(deployment: str, reason: str, name: str, namespace: str, *, at_once: bool) -> str:
    asked = f"A bypass of Deployment {deployment} was asked for ({reason or 'no reason given'}), and the Deployment is held. "
    why = (
        "That very write was held"
        if at_once
        else "Either that write was held, or it went through and a later one is held"
    )
    return (
        f"{asked}{why}: a bypass needs the verb bypass on DatabaseMigration {name} (kubectl auth can-i bypass databasemigrations/{name} "
        f"-n {namespace}) and counts for one write."
    )


def skipped(deployment: str, images: Sequence[str], next_step: str) -> str:
    return (
        f"Deployment {deployment} runs {_listed(images)} unmigrated, and nobody asked for that: the gate was not in force when the version came. "
        f"See whether its policies are there: kubectl get mutatingadmissionpolicies,validatingadmissionpolicies "
        f"-l app.kubernetes.io/name=locktender. {next_step}"
    )


def migration_follows(name: str, namespace: str, *, under_way: bool) -> str:
    when = "is under way" if under_way else "runs next"
    return f"Its migration {when}; if it fails, the version goes on running: kubectl -n {namespace} describe dbm {name}"


def unverified_failed(name: str, namespace: str) -> str:
    return f"Its migration has failed and is not tried again by itself. When mended: {retry(name, namespace)}"


def tie_worker(deployment: str) -> str:
    return (
        f"It belongs to no release that is migrated here, so nothing will verify it: tie Deployment {deployment} to a release with the "
        "annotation locktender.dev/key in its pod template, or bring the version before back."
    )


def _listed(images: Sequence[str]) -> str:
    return fit(", ".join(dict.fromkeys(images)), 200)


def no_migration_for(name: str, namespace: str) -> str:
    return (
        f"Held, but there is no DatabaseMigration {name} in namespace {namespace}. Apply one, or take the Deployment out of its gate "
        "(needs the verb bypass: docs/break-glass.md)."
    )


# The gate's webhook


def gate_object_missing(kind: str, namespace: str, name: str) -> str:
    return (
        f"{kind} {name} of namespace {namespace} is gone, and the webhook may not create it. What is served stays as it is. Put it back "
        "by helm upgrade (or kubectl apply of the install file)."
    )


def authority_unusable(namespace: str, secret: str, names: Sequence[str], why: object) -> str:
    return (
        f"{' and '.join(names)} in Secret {secret} of namespace {namespace} are no authority ({why}). A new one takes its place, and the "
        "one that is served stays trusted meanwhile. Nothing to do, unless you put it there: our own authorities are made by the webhook."
    )


def authority_settles(config_map: str) -> str:
    return (
        f"A new authority was published in ConfigMap {config_map} a moment ago; API servers learn to trust it. If this stays, look at the "
        "operator: it copies the bundle (kubectl get mutatingwebhookconfiguration gate.locktender.dev -o yaml)."
    )


def bundle_missing(namespace: str, config_map: str) -> str:
    return (
        f"ConfigMap {config_map} of namespace {namespace} holds no CA bundle yet, so the gate refuses what it should hold. The webhook "
        f"writes it: kubectl -n {namespace} get pods,events -l app.kubernetes.io/component=gate-webhook"
    )
