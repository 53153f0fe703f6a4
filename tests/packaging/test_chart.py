"""The chart without a cluster: what its values may say, and what it renders to."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tools.render import render

pytestmark = pytest.mark.packaging

Object = dict[str, Any]
DIGEST = "sha256:" + "0123456789abcdef" * 4
EVERYTHING = (
    "--set=metrics.serviceMonitor.enabled=true,metrics.prometheusRule.enabled=true,metrics.dashboards.enabled=true,networkPolicy.enabled=true,crds.keep=false,logLevel=DEBUG",
    "--set=serviceAccount.annotations.a=b,podLabels.team=shop,podAnnotations.a=b,priorityClassName=high,nodeSelector.disk=ssd",
    '--set-json=tolerations=[{"operator":"Exists"}]',
    '--set-json=affinity={"nodeAffinity":{}}',
    '--set-json=networkPolicy.metricsFrom=[{"namespaceSelector":{}}]',
    '--set-json=imagePullSecrets=[{"name":"registry"}]',
)
BY_WEBHOOK = ("--set=gate.carrier=webhook",)
BY_CERT_MANAGER = (*BY_WEBHOOK, "--set=gate.webhook.certificate.mode=certManager")
POLICY_API = "--api-versions=admissionregistration.k8s.io/v1/MutatingAdmissionPolicy"
ASKED = "--api-versions=apps/v1/Deployment"  # helm has spoken to an API server, or Argo CD has
WEBHOOK, POLICY = "MutatingWebhookConfiguration", "MutatingAdmissionPolicy"
NAMESPACED = ("--set=watch.namespaces={shop,billing}",)


def objects(*arguments: str, kubernetes: str = render.HIGHEST_KUBERNETES) -> list[Object]:
    """What the chart renders to, hooks included."""
    rendered = render.helm_template(*arguments, kubernetes=kubernetes)
    return [item for item in yaml.safe_load_all(rendered) if item]


def one(kind: str, *arguments: str, name: str | None = None) -> Object:
    found = [item for item in objects(*arguments) if item["kind"] == kind and name in (None, item["metadata"]["name"])]
    assert len(found) == 1, f"{kind} {name}: {len(found)} found"
    return found[0]


def refusal(*arguments: str, kubernetes: str = render.HIGHEST_KUBERNETES) -> str:
    with pytest.raises(RuntimeError) as error:
        render.helm_template(*arguments, kubernetes=kubernetes)
    return str(error.value)


@pytest.mark.parametrize(
    "arguments",
    [(), EVERYTHING, NAMESPACED, BY_WEBHOOK, BY_CERT_MANAGER],
    ids=["defaults", "everything", "namespaced", "webhook", "webhook by cert-manager"],
)
def test_helm_finds_nothing_to_complain_about(arguments: tuple[str, ...]) -> None:
    done = render.helm("lint", "--strict", render.CHART, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "kubernetes", [render.LOWEST_KUBERNETES, render.HIGHEST_KUBERNETES, "1.30.4-gke.100", "1.35.4"]
)
def test_renders_for_every_supported_kubernetes(kubernetes: str) -> None:
    for arguments in ((), BY_WEBHOOK, BY_CERT_MANAGER, ("--set=gate.carrier=policy",)):
        assert objects(*EVERYTHING, *arguments, kubernetes=kubernetes)


def test_an_older_kubernetes_is_refused() -> None:
    expected = "chart requires kubeVersion: >=1.30.0-0 which is incompatible with Kubernetes v1.29.14"
    assert expected in refusal(kubernetes="1.29.14")


BAD_VALUES = {
    "a misspelt key": ("--set=replica=3", "additional properties 'replica' not allowed"),
    "a misspelt key inside": ("--set=image.repo=x", "additional properties 'repo' not allowed"),
    "no replicas": ("--set=replicas=0", "minimum: got 0, want 1"),
    "replicas in quotes": ("--set-string=replicas=2", "got string, want integer"),
    "a digest without its algorithm": ("--set=image.digest=abc", "'/image/digest'"),
    "a tag with a slash": ("--set=runner.image.tag=a/b", "'/runner/image/tag'"),
    "an image without a repository": ("--set=image.repository=", "'/image/repository'"),
    "an unknown pull policy": ("--set=image.pullPolicy=Sometimes", "value must be one of 'Always', 'IfNotPresent', 'Never'"),
    "an unknown log level": ("--set=logLevel=LOUD", "value must be one of 'DEBUG', 'INFO', 'WARNING', 'ERROR'"),
    "a namespace in capitals": ("--set=watch.namespaces={Shop}", "'/watch/namespaces/0'"),
    "a namespace twice": ("--set=watch.namespaces={a,a}", "'/watch/namespaces'"),
    "a pull secret as a string": ("--set=imagePullSecrets={registry}", "got string, want object"),
    "an interval without a unit": ("--set-string=metrics.serviceMonitor.interval=30", "'/metrics/serviceMonitor/interval'"),
    "a threshold in words": ("--set=metrics.prometheusRule.thresholds.LocktenderMigrationSlow=long", "got string, want number"),
    "a runbook's address that ends in a slash": ("--set=metrics.prometheusRule.runbookUrl=https://wiki/", "'/metrics/prometheusRule/runbookUrl'"),
    "a dashboard's label that is no text": ("--set=metrics.dashboards.labels.grafana_dashboard=1", "got number, want string"),
    "a disruption budget of nothing": ("--set=podDisruptionBudget.maxUnavailable=0", "'/podDisruptionBudget/maxUnavailable'"),
    "an uninstall without time": ("--set=uninstall.timeoutSeconds=1", "'/uninstall/timeoutSeconds'"),
    "an unknown carrier": ("--set=gate.carrier=pigeon", "value must be one of 'auto', 'policy', 'webhook', 'both'"),
    "an unknown certificate mode": ("--set=gate.webhook.certificate.mode=vault", "value must be one of 'self', 'certManager'"),
    "an issuer without a name": ("--set=gate.webhook.certificate.issuerRef.kind=ClusterIssuer", "'/gate/webhook/certificate/issuerRef'"),
    "a webhook without replicas": ("--set=gate.webhook.replicas=0", "'/gate/webhook/replicas'"),
    "no workers": ("--set=workers=0", "'/workers'"),
}  # fmt: skip
GOOD_VALUES = {
    "as a subchart": "--set=global.imageRegistry=x,enabled=true",
    "a percentage of pods": "--set-string=podDisruptionBudget.maxUnavailable=50%",
    "digests": f"--set=image.digest={DIGEST},runner.image.digest={DIGEST}",
    "another issuer": "--set=gate.webhook.certificate.mode=certManager,gate.webhook.certificate.issuerRef.name=internal",
    "another account": "--set=serviceAccount.create=false,serviceAccount.name=mine",
    "nothing but the operator": "--set=crds.enabled=false,gate.enabled=false,rbac.create=false,uninstall.releaseHeld=false",
}


@pytest.mark.parametrize("case", BAD_VALUES)
def test_values_refuse(case: str) -> None:
    argument, complaint = BAD_VALUES[case]
    assert complaint in refusal(argument)


@pytest.mark.parametrize("case", GOOD_VALUES)
def test_values_accept(case: str) -> None:
    assert objects(GOOD_VALUES[case])


def test_an_account_that_is_not_created_has_to_be_named() -> None:
    assert "name the ServiceAccount to use in serviceAccount.name" in refusal("--set=serviceAccount.create=false")


def test_every_value_is_in_the_schema_and_has_a_default() -> None:
    values = yaml.safe_load((render.CHART / "values.yaml").read_text())
    schema = yaml.safe_load((render.CHART / "values.schema.json").read_text())
    assert set(schema["properties"]) - {"global", "enabled"} == set(values)


def test_every_value_is_used() -> None:
    values = yaml.safe_load((render.CHART / "values.yaml").read_text())
    templates = "".join(file.read_text() for file in (render.CHART / "templates").rglob("*") if file.is_file())
    assert [name for name in values if f".Values.{name}" not in templates] == []


class TestImages:
    def test_default_to_the_version_of_the_chart(self) -> None:
        chart = yaml.safe_load((render.CHART / "Chart.yaml").read_text())
        assert chart["version"] == chart["appVersion"]
        assert _operator()["image"].endswith(f"/operator:{chart['appVersion']}")
        assert _environment()["LOCKTENDER_RUNNER_IMAGE"].endswith(f"/runner:{chart['appVersion']}")

    def test_are_pinned_by_digest(self) -> None:
        arguments = (
            "--set=image.registry=registry.example:5000,image.tag=1.2",
            f"--set=image.digest={DIGEST},runner.image.digest={DIGEST}",
        )
        assert _operator(*arguments)["image"] == f"registry.example:5000/locktender/operator:1.2@{DIGEST}"
        assert _environment(*arguments)["LOCKTENDER_RUNNER_IMAGE"].endswith(f":0.1.0@{DIGEST}")
        assert f"@{DIGEST}" in one("Job", *arguments)["spec"]["template"]["spec"]["containers"][0]["image"]

    def test_may_have_no_registry(self) -> None:
        assert _operator("--set=image.registry=,image.repository=locktender,image.tag=dev")["image"] == "locktender:dev"

    def test_runner_policy_reaches_the_operator(self) -> None:
        assert _environment("--set=runner.image.pullPolicy=Never")["LOCKTENDER_RUNNER_PULL_POLICY"] == "Never"


class TestOperator:
    def test_environment(self) -> None:
        assert set(_environment()) == {
            "LOCKTENDER_RUNNER_IMAGE", "LOCKTENDER_RUNNER_PULL_POLICY", "LOCKTENDER_NAMESPACES", "LOCKTENDER_LEASE_NAMESPACE",
            "LOCKTENDER_LEASE_NAME", "LOCKTENDER_POD_NAME", "LOCKTENDER_LOG_LEVEL", "LOCKTENDER_WORKERS",
            "LOCKTENDER_GATE_GUARD", "LOCKTENDER_GATE_CONFIGMAP",
        }  # fmt: skip
        assert _environment(*NAMESPACED)["LOCKTENDER_NAMESPACES"] == "shop,billing"

    def test_probes_and_metrics_share_a_port(self) -> None:
        container = _operator()
        assert container["args"] == ["controller"]
        assert container["ports"] == [{"name": "http", "containerPort": 8080, "protocol": "TCP"}]
        assert container["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "http"}
        assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "http"}
        monitor = one("ServiceMonitor", *EVERYTHING)
        assert monitor["spec"]["endpoints"][0] | {"interval": 0, "scrapeTimeout": 0} == {
            "port": "http",
            "path": "/metrics",
            "honorLabels": True,
            "interval": 0,
            "scrapeTimeout": 0,
        }

    def test_selectors_find_the_pods_and_nothing_else(self) -> None:
        deployment = one("Deployment")
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        own = deployment["spec"]["selector"]["matchLabels"]
        assert own.items() <= labels.items()
        assert one("Service")["spec"]["selector"] == own
        assert one("PodDisruptionBudget")["spec"]["selector"]["matchLabels"] == own
        hook = one("Job")["spec"]["template"]["metadata"]["labels"]
        assert not own.items() <= hook.items(), "the uninstall Job's pod is not one of the operator's"

    def test_a_persons_pod_labels_cannot_break_the_selectors(self) -> None:
        done = one("Deployment", "--set-string=podLabels.team=shop")
        assert done["spec"]["template"]["metadata"]["labels"]["team"] == "shop"

    def test_one_replica_gets_no_disruption_budget(self) -> None:
        kinds = [item["kind"] for item in objects("--set=replicas=1")]
        assert "PodDisruptionBudget" not in kinds

    def test_spreads_over_nodes(self) -> None:
        (spread,) = one("Deployment")["spec"]["template"]["spec"]["topologySpreadConstraints"]
        assert spread["labelSelector"]["matchLabels"] == one("Deployment")["spec"]["selector"]["matchLabels"]

    def test_a_label_selector_of_ones_own_is_kept(self) -> None:
        given = '[{"maxSkew":1,"topologyKey":"zone","whenUnsatisfiable":"DoNotSchedule","labelSelector":{"matchLabels":{"a":"b"}}}]'
        (spread,) = one("Deployment", f"--set-json=topologySpreadConstraints={given}")["spec"]["template"]["spec"][
            "topologySpreadConstraints"
        ]
        assert spread["labelSelector"] == {"matchLabels": {"a": "b"}}


@pytest.mark.parametrize(
    ("arguments", "pods"),
    [((), 2), (EVERYTHING, 2), (BY_WEBHOOK, 3), (BY_CERT_MANAGER, 3)],
    ids=["defaults", "everything", "webhook", "webhook by cert-manager"],
)
def test_every_pod_is_restricted(arguments: tuple[str, ...], pods: int) -> None:
    templates = [
        item["spec"]["template"]["spec"] for item in objects(*arguments) if item["kind"] in ("Deployment", "Job")
    ]
    assert len(templates) == pods
    for pod in templates:
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
        assert all(set(volume) in ({"name", "emptyDir"}, {"name", "secret"}) for volume in pod["volumes"])
        for container in pod["containers"]:
            security = container["securityContext"]
            assert security["allowPrivilegeEscalation"] is False
            assert security["readOnlyRootFilesystem"] is True
            assert security["runAsNonRoot"] is True
            assert security["privileged"] is False
            assert security["capabilities"] == {"drop": ["ALL"]}
            assert container["resources"]["requests"]
            assert container["resources"]["limits"]["memory"]
            assert {"name": "tmp", "mountPath": "/tmp"} in container["volumeMounts"]


class TestDefinitions:
    def test_are_kept_on_uninstall(self) -> None:
        kept = {
            item["metadata"]["name"]: item["metadata"]["annotations"]
            for item in objects()
            if item["kind"] == "CustomResourceDefinition"
        }
        assert set(kept) == {
            f"{plural}.locktender.dev" for plural in ("databasemigrations", "databasebackups", "migrationreports")
        }
        assert all(annotations == {"helm.sh/resource-policy": "keep"} for annotations in kept.values())

    def test_are_the_files_in_crds(self) -> None:
        for file in render.CRDS.glob("*.yaml"):
            source = yaml.safe_load(file.read_text())
            assert one("CustomResourceDefinition", name=source["metadata"]["name"])["spec"] == source["spec"]

    def test_fit_into_an_annotation_of_client_side_apply(self) -> None:
        assert all(file.stat().st_size < 128 * 1024 for file in render.CRDS.glob("*.yaml"))

    def test_may_be_left_out(self) -> None:
        assert "CustomResourceDefinition" not in [item["kind"] for item in objects("--set=crds.enabled=false")]


class TestGate:
    def test_fails_closed(self) -> None:
        assert one("MutatingAdmissionPolicy")["spec"]["failurePolicy"] == "Fail"
        assert one("ValidatingAdmissionPolicy")["spec"]["failurePolicy"] == "Fail"
        assert one("ValidatingAdmissionPolicyBinding")["spec"]["validationActions"] == ["Deny"]

    def test_covers_all_namespaces_or_those_that_are_watched(self) -> None:
        for kind in ("MutatingAdmissionPolicyBinding", "ValidatingAdmissionPolicyBinding"):
            assert "matchResources" not in one(kind)["spec"]
            (expression,) = one(kind, *NAMESPACED)["spec"]["matchResources"]["namespaceSelector"]["matchExpressions"]
            assert expression == {"key": "kubernetes.io/metadata.name", "operator": "In", "values": ["shop", "billing"]}

    def test_carries_the_label_by_which_uninstalling_finds_it(self) -> None:
        items = objects("--set=nameOverride=other,gate.carrier=both")
        policies = [item for item in items if "Admission" in item["kind"] or item["kind"] == WEBHOOK]
        assert len(policies) == 5
        assert all(item["metadata"]["labels"]["app.kubernetes.io/name"] == "locktender" for item in policies)


CARRIERS = {
    "1.30, nobody asked": ("1.30.0", (), {WEBHOOK}),
    "1.35, nobody asked": ("1.35.4", (), {WEBHOOK}),
    "1.37, nobody asked": ("1.37.2", (), {POLICY}),
    "1.35 as a provider counts": ("1.35.4-gke.100", (), {WEBHOOK}),
    "1.36 as a provider counts": ("1.36.0-eks-1234", (), {POLICY}),
    "1.35 that was asked": ("1.35.4", (ASKED,), {WEBHOOK}),
    "1.37 that was asked": ("1.37.2", (ASKED, POLICY_API), {POLICY}),
    "1.37 with the API turned off": ("1.37.2", (ASKED,), {WEBHOOK}),
    "1.35 with the API turned on": ("1.35.4", (ASKED, POLICY_API), {POLICY}),
    "forced to the webhook": ("1.37.2", BY_WEBHOOK, {WEBHOOK}),
    "forced to the policy": ("1.35.4", ("--set=gate.carrier=policy",), {POLICY}),
    "both": ("1.37.2", ("--set=gate.carrier=both",), {WEBHOOK, POLICY}),
    "no gate": ("1.35.4", ("--set=gate.enabled=false",), set()),
}


class TestCarrier:
    @pytest.mark.parametrize("case", CARRIERS)
    def test_is(self, case: str) -> None:
        kubernetes, arguments, expected = CARRIERS[case]
        items = objects(*arguments, kubernetes=kubernetes)
        assert {item["kind"] for item in items} & {WEBHOOK, POLICY} == expected
        servers = [item for item in items if item["metadata"]["name"] == "locktender-gate-webhook"]
        assert bool(servers) == (WEBHOOK in expected), "the server comes with what calls it"
        backstop = [item for item in items if item["kind"] == "ValidatingAdmissionPolicy"]
        assert bool(backstop) == bool(expected), "the backstop is the same on every carrier"

    def test_policy_and_webhook_are_asked_by_the_words_of_the_backstop(self) -> None:
        """Every variable of the backstop that mustAsk uses, and theirs, word for word and in brackets."""
        (webhook,) = one(WEBHOOK, *BY_WEBHOOK)["webhooks"]
        variables = {item["name"]: item["expression"] for item in one("ValidatingAdmissionPolicy")["spec"]["variables"]}

        def written_out(name: str) -> str:
            return re.sub(r"\bvariables\.(\w+)", lambda found: written_out(found[1]), f"({variables[name]})")

        conditions = [{"name": "must-ask", "expression": written_out("mustAsk")}]
        assert one(POLICY)["spec"]["matchConditions"] == conditions
        assert webhook["matchConditions"] == conditions

    def test_the_webhook_fails_closed_and_answers_in_time(self) -> None:
        (webhook,) = one(WEBHOOK, *BY_WEBHOOK)["webhooks"]
        del webhook["matchConditions"]
        assert webhook == {
            "name": "gate.locktender.dev",
            "admissionReviewVersions": ["v1"],
            "clientConfig": {
                "service": {
                    "name": "locktender-gate-webhook", "namespace": render.NAMESPACE, "path": "/hold", "port": 443
                }
            },
            "failurePolicy": "Fail",
            "sideEffects": "None",
            "timeoutSeconds": 5,
            "reinvocationPolicy": "IfNeeded",
            "matchPolicy": "Equivalent",
            "objectSelector": {"matchExpressions": [{"key": "locktender.dev/gate", "operator": "Exists"}]},
            "rules": [
                {"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["deployments"],
                 "scope": "Namespaced"}
            ],
        }  # fmt: skip

    def test_the_webhook_covers_the_namespaces_that_are_watched(self) -> None:
        (webhook,) = one(WEBHOOK, *BY_WEBHOOK, *NAMESPACED)["webhooks"]
        (expression,) = webhook["namespaceSelector"]["matchExpressions"]
        assert expression == {"key": "kubernetes.io/metadata.name", "operator": "In", "values": ["shop", "billing"]}

    def test_secret_and_bundle_are_left_to_the_server(self) -> None:
        for kind in ("Secret", "ConfigMap"):
            assert set(one(kind, *BY_WEBHOOK, name="locktender-gate-ca")) <= {"apiVersion", "kind", "metadata", "type"}
        assert _environment(*BY_WEBHOOK)["LOCKTENDER_GATE_CA_CONFIGMAP"] == "locktender-gate-ca"
        assert "LOCKTENDER_GATE_CA_CONFIGMAP" not in _environment(*BY_CERT_MANAGER)

    def test_cert_manager_signs_what_the_server_mounts(self) -> None:
        certificate = one("Certificate", *BY_CERT_MANAGER)["spec"]
        pod = _webhook(*BY_CERT_MANAGER)["spec"]["template"]["spec"]
        assert {"name": "certificate", "secret": {"secretName": certificate["secretName"]}} in pod["volumes"]
        assert certificate["dnsNames"] == ["locktender-gate-webhook.locktender-system.svc"]
        assert certificate["issuerRef"] == {
            "kind": "Issuer",
            "name": one("Issuer", *BY_CERT_MANAGER)["metadata"]["name"],
        }
        annotations = one(WEBHOOK, *BY_CERT_MANAGER)["metadata"]["annotations"]
        assert annotations["cert-manager.io/inject-ca-from"] == "locktender-system/locktender-gate-webhook"
        given = "--set=gate.webhook.certificate.issuerRef.name=internal,gate.webhook.certificate.issuerRef.kind=ClusterIssuer"
        assert one("Certificate", *BY_CERT_MANAGER, given)["spec"]["issuerRef"] == {
            "name": "internal",
            "kind": "ClusterIssuer",
        }
        assert "Issuer" not in [item["kind"] for item in objects(*BY_CERT_MANAGER, given)]

    def test_the_server_is_selected_by_its_own_service_only(self) -> None:
        deployment = _webhook(*BY_WEBHOOK)
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        own = deployment["spec"]["selector"]["matchLabels"]
        assert own.items() <= labels.items()
        assert deployment["spec"]["replicas"] == 2
        assert deployment["spec"]["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
        name = deployment["metadata"]["name"]
        assert one("Service", *BY_WEBHOOK, name=name)["spec"]["selector"] == own
        assert one("PodDisruptionBudget", *BY_WEBHOOK, name=name)["spec"]["selector"]["matchLabels"] == own
        policy = one("NetworkPolicy", *BY_WEBHOOK, "--set=networkPolicy.enabled=true", name=name)["spec"]
        assert policy["podSelector"]["matchLabels"] == own
        assert policy["ingress"] == [{"ports": [{"port": 9443, "protocol": "TCP"}]}]
        operators = one("Deployment", *BY_WEBHOOK, name="locktender")["spec"]["selector"]["matchLabels"]
        assert not operators.items() <= labels.items()


class TestGuard:
    @pytest.mark.parametrize("carrier", ["policy", "webhook", "both"])
    @pytest.mark.parametrize(
        "more", ["", "watch.namespaces={shop,billing},fullnameOverride=other"], ids=["plain", "more"]
    )
    def test_wants_exactly_what_the_chart_installs(self, carrier: str, more: str) -> None:
        rendered = objects("--no-hooks", f"--set=gate.carrier={carrier},{more}".rstrip(","))
        installed = [item for item in rendered if item["apiVersion"].startswith("admissionregistration")]
        (config_map,) = [
            item for item in rendered if item["kind"] == "ConfigMap" and item["metadata"]["name"].endswith("-gate")
        ]
        wanted = [json.loads(text) for text in config_map["data"].values()]
        for item in wanted:  # whoever reads it adds the labels of the ConfigMap
            item["metadata"]["labels"] = config_map["metadata"]["labels"]
        assert sorted(wanted, key=_identity) == sorted(installed, key=_identity)

    def test_wants_nothing_any_more_when_the_release_is_uninstalled(self) -> None:
        (hook,) = [
            item
            for item in objects("--show-only=templates/gate/guard.yaml")
            if "helm.sh/hook" in item["metadata"].get("annotations", {})
        ]
        assert "data" not in hook
        assert hook["metadata"]["name"] == "locktender-gate"
        assert hook["metadata"]["annotations"] == {
            "helm.sh/hook": "pre-delete",
            "helm.sh/hook-weight": "-20",
            "helm.sh/hook-delete-policy": "before-hook-creation,hook-succeeded",
        }

    @pytest.mark.parametrize("value", ["gate.guard=Off", "gate.enabled=false"])
    def test_may_be_left_out(self, value: str) -> None:
        assert not [
            item
            for item in objects(f"--set={value}")
            if (item["kind"], item["metadata"]["name"]) == ("ConfigMap", "locktender-gate")
        ]

    def test_is_told_to_the_operator(self) -> None:
        assert _environment("--set=gate.guard=Report")["LOCKTENDER_GATE_GUARD"] == "Report"
        assert _environment()["LOCKTENDER_GATE_CONFIGMAP"] == "locktender-gate"


class TestNotes:
    """`helm template` does not print them, `helm install --dry-run=client` does."""

    @staticmethod
    def _notes(*arguments: str) -> str:
        done = render.helm("install", "locktender", render.CHART, "--dry-run=client", "--namespace=lt", *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout.partition("NOTES:")[2]

    def test_name_the_next_command(self) -> None:
        notes = self._notes()
        assert "kubectl -n lt rollout status deployment/locktender" in notes
        assert "kubectl -n shop get dbm" in notes
        assert "WARNING" not in notes

    @pytest.mark.parametrize(
        ("argument", "warning"),
        [
            ("gate.enabled=false", "nothing is held"),
            ("replicas=1", "one replica"),
            ("crds.keep=false", "deletes every DatabaseMigration"),
            ("uninstall.releaseHeld=false", "stay paused"),
        ],
    )
    def test_warn(self, argument: str, warning: str) -> None:
        assert warning in self._notes(f"--set={argument}")

    def test_show_an_example_that_the_definitions_know(self) -> None:
        example = yaml.safe_load(self._notes().partition("<<'YAML'")[2].partition("YAML")[0])
        published = yaml.safe_load(
            yaml.safe_load((render.CHART / "Chart.yaml").read_text())["annotations"]["artifacthub.io/crdsExamples"]
        )
        assert published == [example]


class TestUninstall:
    def test_releases_before_anything_is_deleted(self) -> None:
        hooks = {
            item["kind"]: item["metadata"]["annotations"]
            for item in objects()
            if "helm.sh/hook" in item["metadata"].get("annotations", {})
        }
        assert set(hooks) == {"ConfigMap", "ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Job"}
        assert all(annotations["helm.sh/hook"] == "pre-delete" for annotations in hooks.values())
        weights = {kind: int(annotations["helm.sh/hook-weight"]) for kind, annotations in hooks.items()}
        assert weights["ConfigMap"] < weights["ServiceAccount"]
        assert max(weights["ServiceAccount"], weights["ClusterRole"]) < weights["ClusterRoleBinding"] < weights["Job"]

    def test_may_be_left_out(self) -> None:
        assert "Job" not in [item["kind"] for item in objects("--set=uninstall.releaseHeld=false")]


def test_rendered_files_are_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    assert render.main(["--check"]) == 0, capsys.readouterr().err


INSTALL_FILES = {"policy": render.INSTALL, "webhook": render.INSTALL_WEBHOOK}


@pytest.mark.parametrize("carrier", INSTALL_FILES)
def test_kustomize_builds_the_install_file(carrier: str) -> None:
    file = INSTALL_FILES[carrier]
    program = render.program("kubectl")
    done = subprocess.run([program, "kustomize", file.parent], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert _identities(done.stdout) == _identities(file.read_text())


@pytest.mark.parametrize("carrier", INSTALL_FILES)
def test_the_install_file_holds_what_the_chart_installs(carrier: str) -> None:
    rendered = objects(f"--set=uninstall.releaseHeld=false,gate.carrier={carrier}")
    chart = {(item["kind"], item["metadata"]["name"]) for item in rendered}
    assert _identities(INSTALL_FILES[carrier].read_text()) == chart | {("Namespace", render.NAMESPACE)}


def test_a_stale_template_is_named(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    assert render.stale({file: "new"}) == [file]
    render.write({file: "new"})
    assert render.stale({file: "new"}) == []
    assert render.stale({file: "newer"}) == [file]


def test_a_definition_that_helm_would_read_into_is_refused() -> None:
    with pytest.raises(ValueError, match="Helm would take for a template"):
        render.crd_template("metadata:\n  name: {{ x }}\n")


def _identity(item: Object) -> tuple[str, str]:
    return item["kind"], item["metadata"]["name"]


def _identities(text: str) -> set[tuple[str, str]]:
    return {(item["kind"], item["metadata"]["name"]) for item in yaml.safe_load_all(text) if item}


def _operator(*arguments: str) -> Object:
    container: Object = one("Deployment", *arguments, name="locktender")["spec"]["template"]["spec"]["containers"][0]
    return container


def _webhook(*arguments: str) -> Object:
    return one("Deployment", *arguments, name="locktender-gate-webhook")


def _environment(*arguments: str) -> dict[str, str]:
    return {item["name"]: item.get("value", "") for item in _operator(*arguments)["env"]}
