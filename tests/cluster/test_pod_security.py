"""The pods of Jobs, as the API server keeps them: Pod Security "restricted" and beyond."""

from tests.cluster.kit.manifests import CLAIM, SECRET, deployment, migration
from tools.kube import facts


def job_pods(world):
    found = {}
    for event in world.recorder.events("pods"):
        if facts.step(event.object):
            found.setdefault(event.name, event.object)
    return list(found.values())


def containers(pod):
    return [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]


def test_every_field_of_every_job_pod(a_world):
    world = a_world()
    world.apply(migration(), deployment("one"))
    world.wait_rolled_out("one")
    world.apply(migration("Command", migration={"command": ["true"]}), deployment("two"))
    world.wait_rolled_out("two")
    pods = job_pods(world)
    assert len(pods) == 4
    for pod in pods:
        spec = pod["spec"]
        assert spec["automountServiceAccountToken"] is False
        assert not any("projected" in volume for volume in spec.get("volumes", []))
        assert spec["restartPolicy"] == "Never"
        assert spec["enableServiceLinks"] is False
        assert spec["activeDeadlineSeconds"] > 0
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not any(spec.get(name) for name in ("hostNetwork", "hostPID", "hostIPC"))
        allowed = {"emptyDir", "persistentVolumeClaim", "image", "configMap", "name"}
        assert {key for volume in spec.get("volumes", []) for key in volume} <= allowed
        for container in containers(pod):
            security = container["securityContext"]
            assert security["allowPrivilegeEscalation"] is False
            assert security["capabilities"] == {"drop": ["ALL"]}
            assert security["runAsNonRoot"] is True
            assert security["seccompProfile"] == {"type": "RuntimeDefault"}
            if "locktender/runner" in container["image"]:
                assert security["readOnlyRootFilesystem"] is True
                assert security["runAsUser"] > 0
                assert container["resources"]["requests"]
                assert container["resources"]["limits"]["memory"]
            assert container["terminationMessagePolicy"] == "FallbackToLogsOnError"
            urls = [e for e in container["env"] if e["name"] in {"LOCKTENDER_DATABASE_URL", "DATABASE_URL"}]
            assert [e["valueFrom"]["secretKeyRef"] for e in urls] == [{"name": SECRET, "key": "url"}]


def test_the_jobs_are_tried_once_and_by_nobody_else(a_world):
    world = a_world()
    world.apply(migration(), deployment("one"))
    world.wait_rolled_out("one")
    jobs = {e.name: e.object for e in world.recorder.events("jobs") if e.type == "ADDED"}
    assert len(jobs) == 2
    for job in jobs.values():
        assert job["spec"]["backoffLimit"] == 0
        assert job["spec"]["podReplacementPolicy"] == "Failed"
        assert job["spec"]["podFailurePolicy"]["rules"][0]["action"] == "FailJob"
        assert job["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "locktender"


def test_the_backup_is_on_the_claim_and_recorded(a_world):
    world = a_world()
    world.apply(migration(), deployment("one"))
    world.wait_rolled_out("one")
    backup = world.recorder.objects("databasebackups")[0]
    assert backup["spec"]["storage"]["pvc"]["claimName"] == CLAIM
    assert len(backup["status"]["sha256"]) == 64
    rows = world.database.query("SELECT file_name FROM locktender.db_backups")
    assert len(rows) == 1
