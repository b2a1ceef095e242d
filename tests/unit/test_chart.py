"""The Helm chart, rendered by the real helm: what it grants, how its pod is confined, and which values it refuses."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from aletheia_operator import __main__ as command_line
from aletheia_operator.api import DataSourceSpec, InvestigationSpec
from aletheia_operator.api.findings import FindingRule
from aletheia_operator.cli.options import DEFAULT_ROOT
from aletheia_operator.cli.pod import CONTAINER, SELECTOR
from aletheia_operator.fetchers import with_templates
from aletheia_operator.fetchers.prometheus import PrometheusFetcher
from aletheia_operator.fetchers.prometheus.templates import expressions
from aletheia_operator.handlers.job_objects import UID_LABEL, job_of
from aletheia_operator.serve import __main__ as serve_command_line
from aletheia_operator.session import InvestigationReference
from aletheia_operator.settings import (
    ArtifactsApi,
    ArtifactsProcess,
    Process,
    Proxy,
    Rights,
    Runner,
    Scope,
    Settings,
    VolumeShares,
)
from tests.support.helm import find_helm

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts" / "aletheia-operator"
KUBE_VERSION = "1.34.0"

Object = dict[str, Any]
Values = dict[str, Any]

HELM = find_helm()
pytestmark = pytest.mark.skipif(HELM is None, reason="no helm: set ALETHEIA_HELM, or build the test cluster's")


def helm(*arguments: str, values: Values | None, namespace: str = "aletheia") -> subprocess.CompletedProcess[str]:
    assert HELM is not None
    command = [HELM, *arguments, "--kube-version", KUBE_VERSION, "--namespace", namespace, "--values", "-"]
    return subprocess.run(command, input=json.dumps(values or {}), capture_output=True, text=True, timeout=60, check=False)


def render(values: Values | None = None, *flags: str, namespace: str = "aletheia") -> list[Object]:
    """Every object of the chart for these values, in helm's order: with hooks, without the objects of `helm test`."""
    objects = rendered(values, *flags, namespace=namespace)
    return [item for item in objects if (item["metadata"].get("annotations") or {}).get("helm.sh/hook") != "test"]


def rendered(values: Values | None = None, *flags: str, namespace: str = "aletheia") -> list[Object]:
    """Every object of the chart for these values, in helm's order."""
    result = helm("template", "flight", str(CHART), *flags, values=values, namespace=namespace)
    assert result.returncode == 0, result.stderr
    return [document for document in yaml.safe_load_all(result.stdout) if document]


def refusal(values: Values) -> str:
    """Return helm's message about values that it refuses."""
    result = helm("template", "flight", str(CHART), values=values)
    assert result.returncode != 0, "these values were accepted"
    return result.stderr


def of_kind(objects: list[Object], *kinds: str) -> list[Object]:
    return [item for item in objects if item["kind"] in kinds]


def the(objects: list[Object], kind: str) -> Object:
    (found,) = of_kind(objects, kind)
    return found


def operator_pod(values: Values | None = None) -> Object:
    pod: Object = the(render(values), "Deployment")["spec"]["template"]["spec"]
    return pod


def operator_arguments(values: Values | None = None) -> list[str]:
    arguments: list[str] = operator_pod(values)["containers"][0]["args"]
    return arguments


def granted_to_operator(objects: list[Object]) -> Iterator[tuple[str | None, str, str, str, frozenset[str]]]:
    """(namespace or None for the cluster, group, resource, verb, resource names) of what is bound to the operator."""
    return granted_to(of_kind(objects, "Deployment")[0]["spec"]["template"]["spec"]["serviceAccountName"], objects)


def granted_to(account: str, objects: list[Object]) -> Iterator[tuple[str | None, str, str, str, frozenset[str]]]:
    """The same of what is bound to a ServiceAccount of the chart. Everything else is bound to another one of the chart."""
    templates = [item["template"]["spec"] for item in of_kind(objects, "PodTemplate")]
    accounts = {pod["serviceAccountName"] for pod in templates}
    accounts |= {item["spec"]["template"]["spec"]["serviceAccountName"] for item in of_kind(objects, "Deployment")}
    for binding in of_kind(objects, "ClusterRoleBinding", "RoleBinding"):
        (name,) = (subject["name"] for subject in binding["subjects"])
        assert name in accounts
        if name != account:
            continue
        assert [subject["namespace"] for subject in binding["subjects"]] == ["aletheia"]
        namespace = binding["metadata"].get("namespace")
        (role,) = [
            item
            for item in of_kind(objects, binding["roleRef"]["kind"])
            if (item["metadata"]["name"], item["metadata"].get("namespace")) == (binding["roleRef"]["name"], namespace)
        ]
        for rule in role["rules"]:
            for group in rule["apiGroups"]:
                for resource in rule["resources"]:
                    for verb in rule["verbs"]:
                        yield namespace, group, resource, verb, frozenset(rule.get("resourceNames", []))


def rights(objects: list[Object], namespace: str | None = None) -> set[str]:
    """The operator's rights in one scope, each as `verb group/resource`."""
    return {
        f"{verb} {group}/{resource}" for scope, group, resource, verb, _ in granted_to_operator(objects) if scope == namespace
    }


FINDING_RULE = {"name": "Torn", "log": {"pattern": "torn"}, "message": "torn", "runbookUrl": "https://books.example/torn"}
PROMETHEUS = {
    "name": "prometheus",
    "type": "prometheus",
    "endpoint": "http://prometheus.monitoring:9090",
    "default": True,
}
S3 = {
    "name": "archive",
    "type": "s3",
    "endpoint": "https://s3.example.com",
    "auth": {"accessKey": {"name": "login"}},
    "s3": {"bucket": "incidents", "prefix": "a", "region": "eu-1", "pathStyle": False, "maxSessionBytes": 5497558138880},
}
CONFINED = {**PROMETHEUS, "name": "confined", "default": False, "prometheus": {"namespaceLabel": "kubernetes_namespace"}}
JAEGER = {"name": "jaeger", "type": "jaeger", "endpoint": "https://jaeger.tracing/ui", "maxResponseBytes": 1073741824}

VALUE_SETS: dict[str, Values] = {
    "defaults": {},
    "two namespaces": {"namespaces": ["shop", "bank"]},
    "impersonation only": {"operatorReads": {"enabled": False}, "defaultServiceAccount": "reader"},
    "neither policy, roles nor CRDs": {
        "admissionPolicy": {"enabled": False},
        "rbac": {"create": False, "userRoles": False},
        "crds": {"install": False},
        "serviceAccount": {"create": False, "name": "made-elsewhere"},
    },
    "sessions in memory of the node": {"persistence": {"enabled": False, "size": "1Gi"}},
    "a standby": {"replicas": 2, "persistence": {"accessModes": ["ReadWriteMany"]}},
    "captures in Jobs": {"runner": {"mode": "job", "job": {"labels": {"kueue.x-k8s.io/queue-name": "captures"}}}},
    "a claim of one's own": {"persistence": {"existingClaim": "evidence"}},
    "data sources": {"dataSources": [PROMETHEUS, CONFINED, JAEGER, S3]},
    "everything about the pod": {
        "image": {"repository": "registry.example:5000/team/op", "tag": "1.2.3", "pullSecrets": [{"name": "pull"}]},
        "extraEnv": [{"name": "TZ", "value": "UTC"}],
        "podAnnotations": {"note": "1"},
        "podLabels": {"team": "sre"},
        "priorityClassName": "system-cluster-critical",
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "tolerations": [{"operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "networkPolicy": {"enabled": True, "egress": [{}]},
        "nodeLogs": {"enabled": True},
        "global": {"imageRegistry": "mirror.example", "imagePullSecrets": [{"name": "mirror"}], "another": {"chart": "s"}},
        "commonLabels": {"cost-center": "42"},
        "commonAnnotations": {"owner": "sre"},
        "caBundle": {"configMap": "company-ca"},
        "extraEnvFrom": [{"configMapRef": {"name": "more"}}],
        "extraArgs": ["--sweep-seconds=30"],
        "extraVolumes": [{"name": "more", "emptyDir": {"sizeLimit": "1Mi"}}],
        "extraVolumeMounts": [{"name": "more", "mountPath": "/more"}],
        "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}],
        "runtimeClassName": "gvisor",
        "hostAliases": [{"ip": "10.0.0.1", "hostnames": ["prometheus.example"]}],
        "dnsPolicy": "None",
        "dnsConfig": {"nameservers": ["10.0.0.2"], "options": [{"name": "ndots", "value": "1"}]},
        "dataSources": [PROMETHEUS],
        "metricTemplates": {"queue": [{"name": "RabbitMQ", "promql": "rabbitmq_queue_messages{$namespace}"}]},
        "findings": {"rules": [FINDING_RULE]},
    },
}
each_value_set = pytest.mark.parametrize("values", VALUE_SETS.values(), ids=VALUE_SETS.keys())


@each_value_set
def test_lint_finds_nothing(values: Values) -> None:
    """Helm's own strict check passes whatever is switched on."""
    result = helm("lint", "--strict", str(CHART), values=values)
    assert result.returncode == 0, result.stdout + result.stderr


@each_value_set
def test_every_object_is_labelled_and_unique(values: Values) -> None:
    """Each object carries the standard labels, and no name is there twice."""
    seen = set()
    for item in rendered(values):
        metadata = item["metadata"]
        assert metadata["labels"]["app.kubernetes.io/instance"] == "flight"
        assert metadata["labels"]["app.kubernetes.io/managed-by"] == "Helm"
        hook = metadata.get("annotations", {}).get("helm.sh/hook", "")
        identity = (item["kind"], metadata.get("namespace"), metadata["name"], hook)
        assert identity not in seen
        seen.add(identity)


def test_two_releases_share_no_object() -> None:
    """The same release name in another namespace conflicts with nothing, also in a namespace that both handle."""
    values = {"crds": {"install": False}, "namespaces": ["shop"]}
    identities = [
        {
            (item["kind"], item["metadata"].get("namespace"), item["metadata"]["name"])
            for item in rendered(values, namespace=namespace)
        }
        for namespace in ("aletheia", "other")
    ]
    assert not identities[0] & identities[1]


# https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted, and a little more
@each_value_set
def test_pods_pass_the_restricted_profile(values: Values) -> None:
    """Every pod, the hook's included, is confined as the restricted profile wants, on a read-only root filesystem."""
    for owner in of_kind(rendered(values), "Deployment", "Job", "Pod", "PodTemplate"):
        holder = owner if owner["kind"] == "PodTemplate" else owner["spec"]
        pod = owner["spec"] if owner["kind"] == "Pod" else holder["template"]["spec"]
        assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers"} & set(pod)
        context = pod["securityContext"]
        assert (context["runAsNonRoot"], context["runAsUser"], context["runAsGroup"]) == (True, 10001, 10001)
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert not any("hostPort" in port for port in container.get("ports", []))
            assert {"cpu", "memory", "ephemeral-storage"} <= set(container["resources"]["requests"])
            assert "memory" in container["resources"]["limits"]
        for volume in pod.get("volumes", []):
            assert set(volume) - {"name"} <= {"configMap", "emptyDir", "persistentVolumeClaim", "projected"}
            assert volume.get("emptyDir", {"sizeLimit": ""}).get("sizeLimit") is not None


def contexts(values: Values, *flags: str) -> list[tuple[Object, Object]]:
    """Security contexts of (pod, container) for the operator's pod and those of hooks."""
    pods = [owner["spec"]["template"]["spec"] for owner in of_kind(render(values, *flags), "Deployment", "Job")]
    assert len(pods) == 2
    return [(pod["securityContext"], container["securityContext"]) for pod in pods for container in pod["containers"]]


OPENSHIFT = ("--api-versions", "security.openshift.io/v1")
NO_IDS = dict.fromkeys(("runAsUser", "runAsGroup", "fsGroup"))


@pytest.mark.parametrize(
    ("values", "flags"),
    [
        ({"openshift": {"enabled": True}}, ()),
        ({}, OPENSHIFT),
        ({"podSecurityContext": NO_IDS, "openshift": {"enabled": False}}, OPENSHIFT),
    ],
    ids=["asked for", "seen in the cluster", "by null"],
)
def test_no_user_is_fixed_on_openshift(values: Values, flags: tuple[str, ...]) -> None:
    """OpenShift's ranges give user and groups. Everything else of the restricted profile stays."""
    for pod, container in contexts({**values, "dataSources": [PROMETHEUS]}, *flags):
        seccomp = {"type": "RuntimeDefault"}
        assert pod == {"runAsNonRoot": True, "seccompProfile": seccomp, "fsGroupChangePolicy": "OnRootMismatch"}
        assert "runAsUser" not in container


def test_security_contexts_can_be_overridden() -> None:
    """Every key by itself, without rounding large numbers. OpenShift is not assumed if the values say so."""
    values = {
        "podSecurityContext": {"runAsUser": 1000650000, "fsGroup": 1000650000, "supplementalGroups": [5555]},
        "securityContext": {"runAsUser": 1000650000, "capabilities": {"add": ["NET_BIND_SERVICE"]}},
        "openshift": {"enabled": False},
        "dataSources": [PROMETHEUS],
    }
    for pod, container in contexts(values, *OPENSHIFT):
        assert (pod["runAsUser"], pod["runAsGroup"], pod["fsGroup"]) == (1000650000, 10001, 1000650000)
        assert (pod["supplementalGroups"], pod["runAsNonRoot"]) == ([5555], True)
        assert container["runAsUser"] == 1000650000
        assert container["capabilities"] == {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}
        assert container["readOnlyRootFilesystem"] is True


def test_common_labels_and_annotations_reach_every_object() -> None:
    """Pods have them, too. Labels and annotations of the chart itself stay."""
    mine = {"team": "sre", "app.kubernetes.io/name": "mine", "helm.sh/chart": "mine"}
    notes = {"note": "x", "helm.sh/resource-policy": "mine", "helm.sh/hook": "mine"}
    values = {
        **VALUE_SETS["everything about the pod"],
        "commonLabels": mine,
        "commonAnnotations": {"common": "x"},
        "namespaces": ["shop"],
        "dataSourceSecrets": ["login"],
    }
    objects = render(values)
    metadata = [item["metadata"] for item in objects]
    metadata += [item["spec"]["template"]["metadata"] for item in of_kind(objects, "Deployment", "Job")]
    assert len({item["kind"] for item in objects}) == 14
    for item in metadata:
        assert item["labels"]["team"] == "sre"
        assert item["labels"]["app.kubernetes.io/name"] == "aletheia-operator"
        assert item["labels"]["helm.sh/chart"].startswith("aletheia-operator-")
        assert item["annotations"]["common"] == "x"
    kept = of_kind(render({"commonAnnotations": notes, "dataSources": [PROMETHEUS]}), "PersistentVolumeClaim", "DataSource")
    for item in kept:
        annotations = item["metadata"]["annotations"]
        assert "mine" not in (
            annotations["helm.sh/hook"] if item["kind"] == "DataSource" else annotations["helm.sh/resource-policy"]
        )


def test_objects_of_ones_own() -> None:
    """They are maps or text, both with templates."""
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "{{ .Release.Name }}-mine"}}
    text = "apiVersion: v1\nkind: LimitRange\nmetadata: {name: '{{ .Release.Namespace }}'}"
    objects = render({"extraObjects": [secret, text]})
    assert the(objects, "Secret")["metadata"]["name"] == "flight-mine"
    assert the(objects, "LimitRange")["metadata"]["name"] == "aletheia"


def test_additions_to_the_pod() -> None:
    """Each is in the field that Kubernetes reads."""
    pod = operator_pod(VALUE_SETS["everything about the pod"])
    (container,) = pod["containers"]
    assert container["args"][-1] == "--sweep-seconds=30"
    assert "--ca-bundle=/etc/aletheia-ca/ca.crt" in container["args"]
    assert container["envFrom"] == [{"configMapRef": {"name": "more"}}]
    assert {"name": "more", "mountPath": "/more"} in container["volumeMounts"]
    assert {"name": "ca-bundle", "mountPath": "/etc/aletheia-ca", "readOnly": True} in container["volumeMounts"]
    bundle = {"name": "company-ca", "items": [{"key": "ca.crt", "path": "ca.crt"}]}
    assert {"name": "ca-bundle", "configMap": bundle} in pod["volumes"]
    assert {"name": "more", "emptyDir": {"sizeLimit": "1Mi"}} in pod["volumes"]
    assert pod["imagePullSecrets"] == [{"name": "mirror"}, {"name": "pull"}]
    assert (pod["runtimeClassName"], pod["dnsPolicy"], pod["dnsConfig"]["nameservers"]) == ("gvisor", "None", ["10.0.0.2"])
    assert pod["hostAliases"] == [{"ip": "10.0.0.1", "hostnames": ["prometheus.example"]}]
    assert pod["topologySpreadConstraints"][0]["topologyKey"] == "zone"


def test_containers_of_ones_own() -> None:
    """They run beside the operator, which stays the first; a name of the chart's own is refused."""
    signer = {"name": "signer", "image": "signer:1", "args": ["--port=8005"]}
    operator, added = operator_pod({"extraContainers": [signer]})["containers"]
    assert (operator["name"], added) == ("operator", signer)
    assert "/extraContainers/0/name" in refusal({"extraContainers": [signer | {"name": "operator"}]})
    assert operator_pod({"extraInitContainers": [signer]})["initContainers"] == [signer]
    assert "/extraInitContainers/0/name" in refusal({"extraInitContainers": [signer | {"name": "operator"}]})


def test_times_of_probes() -> None:
    """They can be changed one by one; each container keeps its own path."""
    times = {"startup": {"failureThreshold": 300}, "liveness": {"timeoutSeconds": 30}, "readiness": {"initialDelaySeconds": 3}}
    operator, artifacts = operator_pod({"probes": times, "artifactsApi": {"enabled": True}})["containers"]
    assert operator["startupProbe"] == {
        "httpGet": {"path": "/healthz", "port": "health"},
        "periodSeconds": 2,
        "timeoutSeconds": 5,
        "failureThreshold": 300,
    }
    assert operator["livenessProbe"]["timeoutSeconds"] == artifacts["livenessProbe"]["timeoutSeconds"] == 30
    assert artifacts["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert artifacts["readinessProbe"]["initialDelaySeconds"] == 3
    assert "/probes/liveness/periodSeconds" in refusal({"probes": {"liveness": {"periodSeconds": 0}}})


def of_helm_test(values: Values) -> list[Object]:
    """What `helm test` makes, and removes afterwards."""
    return [item for item in rendered(values) if (item["metadata"].get("annotations") or {}).get("helm.sh/hook") == "test"]


def test_helm_test_has_an_identity_of_its_own() -> None:
    """It may create what it investigates in the release's namespace, read DataSources, and read the mounted sessions."""
    objects = of_helm_test({})
    pod = the(objects, "Pod")["spec"]
    account = the(objects, "ServiceAccount")["metadata"]["name"]
    assert account != the(render(), "ServiceAccount")["metadata"]["name"]
    assert pod["serviceAccountName"] == account
    bindings = of_kind(objects, "RoleBinding", "ClusterRoleBinding")
    assert [[subject["name"] for subject in binding["subjects"]] for binding in bindings] == [[account], [account]]
    assert the(objects, "ClusterRole")["rules"] == [
        {"apiGroups": ["aletheia.dev"], "resources": ["datasources"], "verbs": ["get", "list"]}
    ]
    (mount,) = [mounted for mounted in pod["containers"][0]["volumeMounts"] if mounted["name"] == "sessions"]
    assert mount["readOnly"] is True
    term = pod["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][0]
    labels = the(render(), "Deployment")["spec"]["template"]["metadata"]["labels"]
    assert term["labelSelector"]["matchLabels"].items() <= labels.items()
    compile(pod["containers"][0]["args"][0], "selftest.py", "exec")
    assert pod["containers"][0]["args"][0].strip() == (CHART / "files" / "selftest.py").read_text().strip()


@pytest.mark.parametrize(
    ("values", "kinds", "mounted"),
    [
        ({"tests": {"enabled": False}}, set(), False),
        ({"namespaces": ["shop"]}, set(), False),
        ({"namespaces": ["shop", "aletheia"]}, {"Pod", "Role"}, True),
        ({"persistence": {"enabled": False}}, {"Pod"}, False),
        ({"persistence": {"accessModes": ["ReadWriteOncePod"]}}, {"Pod"}, False),
    ],
    ids=["off", "where nothing is handled", "among others", "an emptyDir", "a volume of one pod"],
)
def test_helm_test_follows_the_values(values: Values, kinds: set[str], mounted: bool) -> None:
    """It is there only if the operator handles the release's namespace, and mounts sessions only if two pods may."""
    objects = of_helm_test(values)
    assert kinds <= {item["kind"] for item in objects}
    assert bool(objects) is bool(kinds)
    for pod in of_kind(objects, "Pod"):
        assert any(volume["name"] == "sessions" for volume in pod["spec"]["volumes"]) is mounted
        (sessions,) = [variable["value"] for variable in pod["spec"]["containers"][0]["env"] if variable["name"] == "SESSIONS"]
        assert bool(sessions) is mounted


def test_there_is_never_more_than_one_operator() -> None:
    """One replica, and the old pod ends before the new one starts."""
    spec = the(render(), "Deployment")["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})


SHARED = {"persistence": {"accessModes": ["ReadWriteMany"]}}


def test_a_standby_takes_over() -> None:
    """With a volume that several nodes mount, replicas elect a leader by a Lease, on different nodes if possible."""
    objects = render({"replicas": 2, **SHARED})
    spec = the(objects, "Deployment")["spec"]
    assert (spec["replicas"], spec["strategy"]) == (
        2,
        {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
    )
    (spread,) = spec["template"]["spec"]["topologySpreadConstraints"]
    assert (spread["topologyKey"], spread["labelSelector"]) == ("kubernetes.io/hostname", spec["selector"])
    budget = the(objects, "PodDisruptionBudget")["spec"]
    assert (budget["maxUnavailable"], budget["selector"]) == (1, spec["selector"])
    arguments = spec["template"]["spec"]["containers"][0]["args"]
    assert {"--lease=flight-aletheia-operator", "--lease-seconds=15"} <= set(arguments)
    leases = [(verb, names) for _, _, resource, verb, names in granted_to_operator(objects) if resource == "leases"]
    own = frozenset({"flight-aletheia-operator"})
    assert sorted(leases, key=str) == sorted([("create", frozenset()), ("get", own), ("update", own)], key=str)


@pytest.mark.parametrize(
    ("values", "elects"),
    [
        ({}, False),
        (SHARED, True),
        ({"leaderElection": {"enabled": True}}, True),
        ({**SHARED, "leaderElection": {"enabled": False}}, False),
        ({"replicas": 2, "persistence": {"existingClaim": "mine"}}, True),
    ],
)
def test_when_a_leader_is_elected(values: Values, elects: bool) -> None:
    """By default where a second operator could use the volume, even one on a node that is cut off."""
    objects = render(values)
    arguments = the(objects, "Deployment")["spec"]["template"]["spec"]["containers"][0]["args"]
    assert any(argument.startswith("--lease") for argument in arguments) is elects
    assert any(right.endswith("/leases") for right in rights(objects, "aletheia")) is elects
    if values.get("replicas", 1) == 1:
        assert the(objects, "Deployment")["spec"]["strategy"] == {"type": "Recreate"}
        assert not of_kind(objects, "PodDisruptionBudget")


def test_the_selector_does_not_change_with_values() -> None:
    """Labels of the pod may be added and versions rise; a Deployment's selector is immutable, and matches its pods."""
    changed = {"podLabels": {"team": "sre"}, "image": {"tag": "2"}}
    plain, other = (the(render(values), "Deployment")["spec"] for values in ({}, changed))
    assert plain["selector"] == other["selector"]
    for spec in (plain, other):
        assert spec["selector"]["matchLabels"].items() <= spec["template"]["metadata"]["labels"].items()
    assert other["template"]["metadata"]["labels"]["team"] == "sre"


def test_pod_labels_cannot_break_the_selector() -> None:
    """podLabels cannot replace a label of the selector."""
    spec = the(render({"podLabels": {"app.kubernetes.io/name": "mine"}}), "Deployment")["spec"]
    assert spec["template"]["metadata"]["labels"]["app.kubernetes.io/name"] == "aletheia-operator"


def test_default_arguments() -> None:
    """The operator is started with the defaults written out, and large numbers stay whole."""
    assert operator_arguments() == [
        "--session-root=/var/lib/aletheia",
        f"--creator-policy={the_creators_policy()}",
        "--redaction-level=secrets",
        "--max-timeout-seconds=1h",
        "--max-fetches=8",
        "--max-artifact-bytes=1Gi",
        "--max-namespace-bytes-in-flight=4Gi",
        "--max-bytes-in-flight=16Gi",
        "--namespace-api-requests=200",
        "--api-requests=400",
        "--namespace-source-requests=50",
        "--source-requests=200",
        "--volume-size=10Gi",
        "--namespace-share=25",
        "--identity=aletheia/flight-aletheia-operator",
        "--operator-namespace=aletheia",
        "--log-format=json",
        "--log-level=info",
        "--max-investigations=20",
        "--max-namespace-queued=200",
        "--total-share=80",
        "--retain-grace-seconds=1h",
        "--orphan-grace-seconds=1h",
    ]


def test_arguments_follow_the_values() -> None:
    """Each value that the operator takes becomes a flag, and each namespace one of its own."""
    values = {
        "namespaces": ["shop", "bank"],
        "defaultServiceAccount": "reader",
        "impersonation": {"trustCreators": True},
        "statusLogText": False,
        "redaction": {"level": "off", "allowOff": True, "rules": [{"name": "badge", "pattern": "(?:EMP|X$)-[0-9]{8}"}]},
        "maxInvestigations": 1,
        "maxNamespaceInvestigations": 1,
        "maxNamespaceQueued": 7,
        "namespaceWeights": {"payments": 3, "2": 1},
        "maxTimeoutSeconds": 90,
        "maxFetches": 2,
        "maxArtifactBytes": 1099511627776,
        "maxSessionBytes": 1099511627776,
        "maxNamespaceBytes": 1125899906842624,
        "bytesInFlight": {"namespace": 0, "total": "5Gi"},
        "requestsPerSecond": {"namespaceApi": 1, "api": 2, "namespaceDataSource": 3, "dataSource": 0},
        "persistence": {"existingClaim": "mine"},
        "volume": {"namespaceShare": "0%", "totalShare": "100%"},
        "retention": {
            "namespaceBytes": 5,
            "totalBytes": 6,
            "historyLimit": 9,
            "graceSeconds": 0,
            "orphanGraceSeconds": 8,
        },
        "metricTemplates": {"queue": [{"name": "RabbitMQ", "promql": "rabbitmq_queue_messages{$namespace}"}]},
        "findings": {"rules": [FINDING_RULE]},
        "logFormat": "plain",
        "logLevel": "debug",
    }
    assert operator_arguments(values) == [
        "--session-root=/var/lib/aletheia",
        "--namespace=shop",
        "--namespace=bank",
        "--default-service-account=reader",
        "--trust-creators",
        "--no-log-text-in-status",
        "--redaction-level=off",
        "--redaction-allow-off",
        "--redaction-rule=badge=(?:EMP|X$$)-[0-9]{8}",  # Kubernetes makes one $ of two
        "--max-timeout-seconds=90",
        "--max-fetches=2",
        "--max-artifact-bytes=1099511627776",
        "--max-session-bytes=1099511627776",
        "--max-namespace-bytes=1125899906842624",
        "--max-namespace-bytes-in-flight=0",
        "--max-bytes-in-flight=5Gi",
        "--namespace-api-requests=1",
        "--api-requests=2",
        "--namespace-source-requests=3",
        "--source-requests=0",
        "--namespace-share=0",
        "--identity=aletheia/flight-aletheia-operator",
        "--operator-namespace=aletheia",
        "--metric-templates=/etc/aletheia/metric-templates.yaml",
        "--finding-rules=/etc/aletheia-findings/finding-rules.yaml",
        "--log-format=plain",
        "--log-level=debug",
        "--max-investigations=1",
        "--max-namespace-investigations=1",
        "--max-namespace-queued=7",
        "--namespace-weight=2=1",
        "--namespace-weight=payments=3",
        "--retain-namespace-bytes=5",
        "--retain-total-bytes=6",
        "--retain-history-limit=9",
        "--total-share=100",
        "--retain-grace-seconds=0",
        "--orphan-grace-seconds=8",
    ]


AMOUNTS = (
    ("maxArtifactBytes", "1.5Gi", "limits.max_artifact_bytes", 1610612736),
    ("maxArtifactBytes", "2048", "limits.max_artifact_bytes", 2048),
    ("maxSessionBytes", "5Gi", "limits.max_session_bytes", 5368709120),
    ("maxSessionBytes", "0", "limits.max_session_bytes", None),
    ("maxNamespaceBytes", "1T", "limits.max_namespace_bytes", 10**12),
    ("retention.namespaceBytes", "512Mi", "retention.namespace_bytes", 536870912),
    ("retention.totalBytes", 1125899906842624, "retention.total_bytes", 1125899906842624),
    ("retention.graceSeconds", "1h30m", "retention.grace_seconds", 5400),
    ("retention.graceSeconds", "0", "retention.grace_seconds", 0),
    ("retention.orphanGraceSeconds", "2d", "retention.orphan_grace_seconds", 172800),
    ("maxTimeoutSeconds", "90m", "limits.max_timeout_seconds", 5400),
)


@pytest.mark.parametrize(("value", "amount", "setting", "expected"), AMOUNTS, ids=[f"{row[0]}={row[1]}" for row in AMOUNTS])
def test_amounts_may_have_units(value: str, amount: object, setting: str, expected: int | None) -> None:
    """Sizes and times are numbers, or text with a unit; the operator's own parser reads the same amount."""
    section, _, name = value.rpartition(".")
    arguments = operator_arguments({section: {name: amount}} if section else {name: amount})
    found: Any = command_line.settings_of(command_line.parser().parse_args(arguments))
    for part in setting.split("."):
        found = getattr(found, part)
    assert found == expected


def test_the_proxy_of_data_sources() -> None:
    """The operator's parser reads it; the network policy opens a DataSource's proxy instead of its endpoint."""
    proxy = {"url": "http://proxy.egress.svc:3128", "noProxy": [".svc", "10.0.0.0/8"]}
    through = {**PROMETHEUS, "endpoint": "https://far.example.com", "proxy": {"url": "http://10.2.3.4:3128"}}
    values = {"proxy": proxy, "dataSources": [through], "networkPolicy": {"enabled": True}}
    settings = command_line.settings_of(command_line.parser().parse_args(operator_arguments(values)))
    assert settings.proxy == Proxy("http://proxy.egress.svc:3128", (".svc", "10.0.0.0/8"))
    rules = [namespace_rule("egress"), {"to": [{"ipBlock": {"cidr": "10.2.3.4/32"}}], "ports": tcp(3128)}]
    assert egress(values)[2:] == rules
    assert not any("proxy" in argument for argument in operator_arguments())


def test_the_operator_takes_these_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    """The operator's own parser accepts what the chart passes, and its defaults are the chart's."""
    started: list[Settings] = []
    monkeypatch.setattr(command_line, "run", started.append)
    for level in json.loads((CHART / "values.schema.json").read_text())["properties"]["logLevel"]["enum"]:
        command_line.main(operator_arguments({"logLevel": level}))
        process = Process(log_format="json", log_level=level)
        scope = Scope(operator_namespace="aletheia", identity="aletheia/flight-aletheia-operator")
        rights = Rights(creator_policy=the_creators_policy())
        volume = VolumeShares(volume_bytes=10 * 1024**3)
        expected = Settings(Path("/var/lib/aletheia"), scope=scope, rights=rights, process=process, volume=volume)
        assert started.pop() == expected


@pytest.mark.parametrize(
    ("image", "reference"),
    [
        ({}, "aletheia-operator:0.1.0"),
        ({"repository": "example.com/op", "tag": "2"}, "example.com/op:2"),
        ({"tag": "2", "digest": "sha256:" + "0" * 64}, "aletheia-operator@sha256:" + "0" * 64),
    ],
    ids=["the chart's version", "a tag", "a digest wins over a tag"],
)
def test_image(image: Values, reference: str) -> None:
    """The image is the chart's version of the operator unless a tag or digest is given."""
    assert operator_pod({"image": image})["containers"][0]["image"] == reference


@pytest.mark.parametrize(
    ("repository", "reference"),
    [
        ("aletheia-operator", "mirror.example:5000/hub/aletheia-operator"),
        ("team/operator", "mirror.example:5000/hub/team/operator"),
        ("quay.io/team/operator", "mirror.example:5000/hub/team/operator"),
        ("localhost/operator", "mirror.example:5000/hub/operator"),
        ("registry:5000/operator", "mirror.example:5000/hub/operator"),
    ],
)
def test_a_global_registry_replaces_that_of_the_image(repository: str, reference: str) -> None:
    """Every pod pulls from it; a repository without a registry gets it in front."""
    values = {
        "image": {"repository": repository},
        "global": {"imageRegistry": "mirror.example:5000/hub"},
        "dataSources": [PROMETHEUS],
    }
    for owner in of_kind(render(values), "Deployment", "Job"):
        assert owner["spec"]["template"]["spec"]["containers"][0]["image"] == f"{reference}:0.1.0"


def test_the_command_line_knows_the_pod() -> None:
    """`kubectl investigation` finds the operator's pod and container by these names, and the sessions in it."""
    template = the(render(), "Deployment")["spec"]["template"]
    assert dict(label.split("=") for label in SELECTOR.split(",")).items() <= template["metadata"]["labels"].items()
    assert template["spec"]["containers"][0]["name"] == CONTAINER
    assert f"--session-root={DEFAULT_ROOT}" in operator_arguments()


def test_probes_ask_the_health_port() -> None:
    """Startup, readiness and liveness ask the named port, and a deaf operator is restarted within 30 s."""
    container = operator_pod()["containers"][0]
    port = int(Process.listen.rpartition(":")[2])
    assert {"name": "health", "containerPort": port, "protocol": "TCP"} in container["ports"]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"] == {"path": "/healthz", "port": "health"}
        assert container[probe]["timeoutSeconds"] == 5
    assert (container["livenessProbe"]["periodSeconds"], container["livenessProbe"]["failureThreshold"]) == (10, 3)


TOKEN_FOLDER = "/var/run/secrets/kubernetes.io/serviceaccount"  # where clients look for it


def test_the_token_is_short_lived_and_only_in_pods_of_the_chart() -> None:
    """Other pods that run as the operator's ServiceAccount get no token by default."""
    objects = render({"dataSources": [PROMETHEUS], "serviceAccount": {"tokenExpirationSeconds": 600}})
    assert the(objects, "ServiceAccount")["automountServiceAccountToken"] is False
    owners = of_kind(objects, "Deployment", "Job")
    assert len(owners) == 2
    for owner in owners:
        pod = owner["spec"]["template"]["spec"]
        assert pod["automountServiceAccountToken"] is False
        (mount,) = [mounted for mounted in pod["containers"][0]["volumeMounts"] if mounted["name"] == "token"]
        assert mount == {"name": "token", "mountPath": TOKEN_FOLDER, "readOnly": True}
        (volume,) = [volume for volume in pod["volumes"] if volume["name"] == "token"]
        sources = {key: source[key] for source in volume["projected"]["sources"] for key in source}
        assert sources["serviceAccountToken"] == {"path": "token", "expirationSeconds": 600}
        paths = [item["path"] for name in ("configMap", "downwardAPI") for item in sources[name]["items"]]
        assert paths == ["ca.crt", "namespace"]


def sessions_volume(values: Values) -> Object:
    (volume,) = [volume for volume in operator_pod(values)["volumes"] if volume["name"] == "sessions"]
    return {key: value for key, value in volume.items() if key != "name"}


KEPT = {
    "helm.sh/resource-policy": "keep",
    "argocd.argoproj.io/sync-options": "Prune=false,Delete=false",
    "kustomize.toolkit.fluxcd.io/prune": "disabled",
}


def test_evidence_survives_uninstall() -> None:
    """Helm, Argo CD and Flux keep the claim, also with additional annotations, unless the values say otherwise."""
    kept = the(render({"persistence": {"annotations": {"team": "sre"}}}), "PersistentVolumeClaim")
    assert kept["metadata"]["annotations"] == {**KEPT, "team": "sre"}
    assert "annotations" not in the(render({"persistence": {"keep": False}}), "PersistentVolumeClaim")["metadata"]


@pytest.mark.parametrize(
    ("persistence", "volume", "claims"),
    [
        ({}, {"persistentVolumeClaim": {"claimName": "flight-aletheia-operator-sessions"}}, 1),
        ({"existingClaim": "evidence"}, {"persistentVolumeClaim": {"claimName": "evidence"}}, 0),
        ({"enabled": False, "size": "2Gi"}, {"emptyDir": {"sizeLimit": "2Gi"}}, 0),
    ],
    ids=["a claim", "an existing claim", "an emptyDir"],
)
def test_session_volume(persistence: Values, volume: Object, claims: int) -> None:
    """Sessions are on the volume that the values configure."""
    values = {"persistence": persistence}
    assert sessions_volume(values) == volume
    assert len(of_kind(render(values), "PersistentVolumeClaim")) == claims


@pytest.mark.parametrize(
    ("storage_class", "expected"), [("", None), ("fast", "fast"), ("-", "")], ids=["default", "named", "none"]
)
def test_storage_class(storage_class: str, expected: str | None) -> None:
    """The default class is left to the cluster; `-` asks for a volume without a class."""
    claim = the(render({"persistence": {"storageClass": storage_class}}), "PersistentVolumeClaim")
    assert claim["spec"].get("storageClassName") == expected


FORBIDDEN = {"secrets", "pods/exec", "pods/attach", "pods/portforward", "nodes/proxy", "users", "groups"}


@each_value_set
def test_no_role_has_wildcards_or_secrets(values: Values) -> None:
    """No role of the chart, for people or the operator, grants a wildcard, Secrets, or ways to more rights."""
    for role in of_kind(rendered(values), "ClusterRole", "Role"):
        for rule in role["rules"]:
            assert "*" not in rule["apiGroups"] + rule["resources"] + rule["verbs"]
            assert not FORBIDDEN & set(rule["resources"])
            assert not {"escalate", "bind"} & set(rule["verbs"])
            assert "nonResourceURLs" not in rule


READS = {
    *(f"{verb} /{kind}" for verb in ("get", "list") for kind in ("pods", "replicationcontrollers", "persistentvolumeclaims")),
    *(f"get /{kind}" for kind in ("pods/log", "configmaps")),
    *(f"list /{kind}" for kind in ("events", "services", "resourcequotas")),
    "list apps/controllerrevisions",
    "list discovery.k8s.io/endpointslices",
    "list autoscaling/horizontalpodautoscalers",
    "list policy/poddisruptionbudgets",
    *(
        f"{verb} apps/{kind}"
        for verb in ("get", "list")
        for kind in ("deployments", "statefulsets", "daemonsets", "replicasets")
    ),
    *(f"{verb} batch/{kind}" for verb in ("get", "list") for kind in ("jobs", "cronjobs")),
}
DUTIES = {
    *(f"{verb} aletheia.dev/investigations" for verb in ("get", "list", "watch", "delete")),
    "patch aletheia.dev/investigations/status",
    "create /events",
    "get /serviceaccounts",
}
CLUSTER = {
    "get aletheia.dev/datasources",
    "list aletheia.dev/datasources",
    "patch aletheia.dev/datasources/status",
    "get apiextensions.k8s.io/customresourcedefinitions",
    "get /namespaces",
}
POLICY = {
    "get admissionregistration.k8s.io/validatingadmissionpolicies",
    "get admissionregistration.k8s.io/validatingadmissionpolicybindings",
}
IMPERSONATION = {"impersonate /serviceaccounts"}
NODES = {"get /nodes"}


def test_cluster_wide_rights() -> None:
    """Without namespaces the operator has exactly these rights, everywhere."""
    objects = render()
    assert rights(objects) == READS | DUTIES | CLUSTER | POLICY | IMPERSONATION | NODES
    assert not of_kind(objects, "Role", "RoleBinding")


def test_every_object_is_a_document_of_its_own() -> None:
    """Whatever is on: roles and bindings are separated from what stands before them."""
    sources = {"dataSourceSecrets": ["login"], "artifactsApi": {"enabled": True}}
    for values in (sources, {**sources, **JOB_MODE}, {**sources, **JOB_MODE, **SHARED, "namespaces": ["shop"]}):
        for item in render(values):
            assert not {"rules", "roleRef"} <= set(item)
            assert all(subject["namespace"] == "aletheia" for subject in item.get("subjects", []))


def test_secrets_of_data_sources_are_named() -> None:
    """The operator may get the Secrets that are listed, in its own namespace, and no others."""
    objects = render({"dataSourceSecrets": ["prometheus-auth", "loki-auth"]})
    (role,) = of_kind(objects, "Role")
    assert role["metadata"]["namespace"] == "aletheia"
    names = ["prometheus-auth", "loki-auth"]
    assert role["rules"] == [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"], "resourceNames": names}]
    (binding,) = of_kind(objects, "RoleBinding")
    assert binding["roleRef"]["name"] == role["metadata"]["name"]


def test_templates_of_ones_own_reach_the_operator(tmp_path: Path) -> None:
    """What the values say is mounted as the operator reads it."""
    promql = 'sum by (queue) (rabbitmq_queue_messages{$namespace,queue="$queue"})'
    objects = render({"metricTemplates": {"queue_depth": [{"name": "RabbitMQ", "promql": promql}]}})
    (config,) = of_kind(objects, "ConfigMap")
    file = tmp_path / "templates.yaml"
    file.write_text(config["data"]["metric-templates.yaml"])
    own = next(fetcher for fetcher in with_templates(file) if isinstance(fetcher, PrometheusFetcher)).templates
    asked = expressions("queue_depth", {"queue": "a'\"b"}, own, "namespace", "shop")
    assert asked[0].promql == r"""sum by (queue) (rabbitmq_queue_messages{namespace="shop",queue="a\x27\"b"})"""
    pod = the(objects, "Deployment")["spec"]["template"]["spec"]
    assert {"name": "metric-templates", "configMap": {"name": config["metadata"]["name"]}} in pod["volumes"]


def test_rules_for_findings_are_a_file_of_the_operator() -> None:
    """In a ConfigMap of their own, mounted where the flag says; the operator's own reader accepts them."""
    objects = render({"findings": {"rules": [FINDING_RULE]}})
    (config,) = [item for item in of_kind(objects, "ConfigMap") if item["metadata"]["name"].endswith("-finding-rules")]
    (rule,) = yaml.safe_load(config["data"]["finding-rules.yaml"])
    assert FindingRule.from_json(rule).name == "Torn"
    pod = the(objects, "Deployment")["spec"]["template"]["spec"]
    assert {"name": "finding-rules", "configMap": {"name": config["metadata"]["name"]}} in pod["volumes"]


@pytest.mark.parametrize("wrong", [{"runbookUrl": "javascript:alert(1)"}, {"name": "two words"}, {"severity": "bad"}, {"x": 1}])
def test_rules_for_findings_are_checked(wrong: dict[str, Any]) -> None:
    """By the chart's schema, before anything is installed."""
    assert "findings" in refusal({"findings": {"rules": [FINDING_RULE | wrong]}})


JOB_MODE: Values = {"runner": {"mode": "job", "maxJobs": 5, "auto": {"bytes": "2Gi"}}}


def template_of(values: Values) -> Object:
    template: Object = the(render(values), "PodTemplate")["template"]
    return template


def test_captures_in_jobs() -> None:
    """The operator knows the PodTemplate, and the command in it takes the flags of captures that the operator has."""
    objects = render(JOB_MODE)
    template = the(objects, "PodTemplate")
    settings = command_line.settings_of(command_line.parser().parse_args(operator_arguments(JOB_MODE)))
    assert settings.runner == Runner("job", template["metadata"]["name"], 5, auto_bytes=2 * 1024**3)
    (container,) = template["template"]["spec"]["containers"]
    command, *arguments = container["args"]
    assert command == command_line.CAPTURE
    found = command_line.settings_of(command_line.capture_parser().parse_args([*arguments, "shop", "incident", "uid"]))
    assert found == replace(settings, runner=Runner())
    assert (
        "--sweep-seconds=30" in template_of({**JOB_MODE, "extraArgs": ["--sweep-seconds=30"]})["spec"]["containers"][0]["args"]
    )
    assert not of_kind(render(), "PodTemplate")


def test_jobs_run_on_the_operators_node_unless_the_volume_is_shared() -> None:
    """A volume that one node mounts cannot be on another. The affinity of the values is kept."""
    (term,) = template_of(JOB_MODE)["spec"]["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    selector = the(render(JOB_MODE), "Deployment")["spec"]["selector"]
    assert (term["topologyKey"], term["labelSelector"]) == ("kubernetes.io/hostname", selector)
    assert "affinity" not in template_of({**JOB_MODE, **SHARED})["spec"]
    affinity = template_of({**JOB_MODE, "affinity": {"nodeAffinity": {"a": 1}}})["spec"]["affinity"]
    assert set(affinity) == {"nodeAffinity", "podAffinity"}


def test_terms_of_affinity_are_kept_beside_the_operators_node() -> None:
    """An admin's own terms for the same kind of affinity apply, too; what is only preferred stays as it is."""
    required, preferred = "requiredDuringSchedulingIgnoredDuringExecution", "preferredDuringSchedulingIgnoredDuringExecution"
    own = {"topologyKey": "zone", "labelSelector": {"matchLabels": {"a": "b"}}}
    affinity = {"podAffinity": {required: [own], preferred: []}}
    found = template_of({**JOB_MODE, "affinity": affinity})["spec"]["affinity"]["podAffinity"]
    assert found[preferred] == [] and found[required][1] == own
    assert found[required][0]["topologyKey"] == "kubernetes.io/hostname"


def test_what_a_queue_or_scheduler_reads_is_on_jobs_and_pods() -> None:
    """Labels, annotations and the scheduler's name, with the chart's own labels. What the chart's tools add is on neither."""
    owner = InvestigationReference(namespace="shop", name="incident", uid="uid")
    queue, priority = {"kueue.x-k8s.io/queue-name": "captures"}, {"kueue.x-k8s.io/priority-class": "low"}
    group = {"scheduling.k8s.io/group-name": "captures"}
    values: Values = {
        "runner": {
            "mode": "job",
            "job": {"labels": queue | priority, "annotations": group, "schedulerName": "volcano"},
        },
        "podLabels": {"team": "sre"},
        "podAnnotations": {"note": "1", **dict.fromkeys(group, "not this one")},
        "commonLabels": {"cost-center": "42"},
        "commonAnnotations": {"owner": "sre"},
    }
    template = the(render(values), "PodTemplate")
    template["metadata"] |= {"uid": "1", "annotations": {"argocd.argoproj.io/tracking-id": "x"}}
    job = job_of(template, owner, InvestigationSpec.model_validate({"targets": [{"pod": "web-0"}]}))
    pod = job["spec"]["template"]
    common = queue | priority | {"cost-center": "42", UID_LABEL: "uid", "app.kubernetes.io/component": "capture"}
    assert common.items() <= job["metadata"]["labels"].items()
    assert (common | {"team": "sre"}).items() <= pod["metadata"]["labels"].items()
    assert (group | {"note": "1", "owner": "sre"}).items() <= pod["metadata"]["annotations"].items()
    assert job["metadata"]["annotations"] == pod["metadata"]["annotations"]
    assert "argocd.argoproj.io/tracking-id" not in job["metadata"]["annotations"]
    assert pod["spec"]["schedulerName"] == "volcano"
    assert "schedulerName" not in template_of(JOB_MODE)["spec"]


def test_pods_of_jobs_are_not_the_operators() -> None:
    """No Deployment, Service or budget selects them. The network policy does."""
    values = {**JOB_MODE, "networkPolicy": {"enabled": True}}
    objects = render(values)
    labels = template_of(values)["metadata"]["labels"]
    assert labels["app.kubernetes.io/component"] == "capture"
    selector = the(objects, "Deployment")["spec"]["selector"]["matchLabels"]
    assert not selector.items() <= labels.items()
    assert the(objects, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"].items() <= labels.items()
    sidecar = {"name": "signer", "image": "signer:1"}
    (container,) = template_of({**JOB_MODE, "extraContainers": [sidecar]})["spec"]["initContainers"]
    assert container == {**sidecar, "restartPolicy": "Always"}, "it ends with the capture"


def test_a_job_has_what_a_capture_needs_and_no_more() -> None:
    """It reads as the operator does, and writes status, Events and its Lease. It starts no Jobs, and deletes nothing."""
    values = {**JOB_MODE, "dataSourceSecrets": ["login"]}
    objects = render(values)
    account = template_of(values)["spec"]["serviceAccountName"]
    granted = list(granted_to(account, objects))
    everywhere = {f"{verb} {group}/{resource}" for scope, group, resource, verb, _ in granted if scope is None}
    no_duties = {*(f"{verb} aletheia.dev/investigations" for verb in ("list", "watch", "delete"))}
    sources = {"get aletheia.dev/datasources", "list aletheia.dev/datasources"}
    assert everywhere == (READS | DUTIES | IMPERSONATION | NODES | sources) - no_duties
    here = {(verb, resource, names) for scope, _, resource, verb, names in granted if scope == "aletheia"}
    leases = {(verb, "leases", frozenset[str]()) for verb in ("create", "get", "update")}
    assert here == leases | {("get", "secrets", frozenset({"login"}))}
    of_operator = {right for right in rights(objects, "aletheia") if not right.endswith("/leases")}
    assert of_operator == {
        *(f"{verb} batch/jobs" for verb in ("create", "get", "list", "delete")),
        "get /podtemplates",
        "get /secrets",
    }
    assert account in [item["metadata"]["name"] for item in of_kind(objects, "ServiceAccount")]


def test_a_job_keeps_to_the_releases_namespaces() -> None:
    """It has the operator's reads in these, and elsewhere only nodes and their events."""
    values = {**JOB_MODE, "namespaces": ["shop"]}
    objects = render(values)
    granted = list(granted_to(template_of(values)["spec"]["serviceAccountName"], objects))
    assert {scope for scope, *_ in granted} == {None, "shop", "default", "aletheia"}
    assert {resource for scope, _, resource, _, _ in granted if scope is None} == {"datasources", "nodes"}
    assert {(resource, verb) for scope, _, resource, verb, _ in granted if scope == "default"} == {("events", "list")}


def test_namespaced_rights() -> None:
    """With namespaces the operator may do nothing outside them but read DataSources, nodes and the events of nodes."""
    objects = render({"namespaces": ["shop", "bank"]})
    assert rights(objects) == CLUSTER | POLICY | NODES
    for namespace in ("shop", "bank"):
        assert rights(objects, namespace) == READS | DUTIES | IMPERSONATION
    assert rights(objects, "default") == {"list /events"}
    assert {role["metadata"]["namespace"] for role in of_kind(objects, "Role")} == {"shop", "bank", "default"}


def test_nodes_are_an_option() -> None:
    """Without nodes only DataSources are read outside of namespaces. The operator may handle namespace default, too."""
    without = render({"namespaces": ["shop"], "operatorReads": {"nodes": False}})
    assert rights(without) == CLUSTER | POLICY
    assert {role["metadata"]["namespace"] for role in of_kind(without, "Role")} == {"shop"}
    within = render({"namespaces": ["default"]})
    assert rights(within, "default") == READS | DUTIES | IMPERSONATION


def test_the_reader_reads_what_the_operator_reads() -> None:
    """Bound to a ServiceAccount in its namespace, the role lets an Investigation read as much as the operator's own rights."""
    (reader,) = [role for role in of_kind(render(), "ClusterRole") if "-reader" in role["metadata"]["name"]]
    granted = {
        f"{verb} {group}/{resource}"
        for rule in reader["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert granted == READS


@pytest.mark.parametrize(
    "values",
    [{"operatorReads": {"enabled": False}}, {"defaultServiceAccount": "reader"}],
    ids=["switched off", "never used, for every Investigation has a ServiceAccount"],
)
@pytest.mark.parametrize("namespaces", [[], ["shop"]], ids=["cluster", "namespace"])
def test_operator_without_reads(values: Values, namespaces: list[str]) -> None:
    """The operator's own reads can be switched off, and are if a default ServiceAccount makes them useless."""
    objects = render({**values, "namespaces": namespaces})
    everything = rights(objects) | rights(objects, "shop")
    assert everything == DUTIES | CLUSTER | POLICY | IMPERSONATION


def impersonable(values: Values) -> set[tuple[str | None, frozenset[str]]]:
    """(namespace, names) that the operator may impersonate. None: in the whole cluster; no names: all."""
    granted = granted_to_operator(render(values))
    return {(namespace, names) for namespace, _, _, verb, names in granted if verb == "impersonate"}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, {(None, frozenset({"investigator"}))}),
        ({"defaultServiceAccount": "reader"}, {(None, frozenset({"investigator", "reader"}))}),
        ({"impersonation": {"serviceAccountNames": []}}, {(None, frozenset())}),
        ({"impersonation": {"namespaces": ["shop"]}}, {("shop", frozenset({"investigator"}))}),
        (
            {"namespaces": ["shop", "bank"]},
            {("shop", frozenset({"investigator"})), ("bank", frozenset({"investigator"}))},
        ),
        (
            {"namespaces": ["shop", "bank"], "impersonation": {"namespaces": ["bank"], "serviceAccountNames": []}},
            {("bank", frozenset())},
        ),
        ({"impersonation": {"enabled": False}}, set()),
    ],
    ids=[
        "one name everywhere",
        "and the default one",
        "any, when asked for",
        "in one namespace",
        "in the operator's namespaces",
        "in one of these, any",
        "never",
    ],
)
def test_who_may_be_impersonated(values: Values, expected: set[tuple[str | None, frozenset[str]]]) -> None:
    """The operator becomes only ServiceAccounts of the listed names, in the listed namespaces."""
    assert impersonable(values) == expected


@pytest.mark.parametrize(
    ("node_logs", "flags"),
    [
        ({}, []),
        ({"enabled": True}, ["--node-logs"]),
        ({"enabled": True, "insecureTLS": True}, ["--node-logs", "--kubelet-insecure-tls"]),
        (
            {"enabled": True, "certificateAuthority": "/ca/kubelet.pem"},
            ["--node-logs", "--kubelet-certificate-authority=/ca/kubelet.pem"],
        ),
    ],
    ids=["by default", "allowed", "without verification", "with a CA of their own"],
)
def test_log_files_of_nodes_are_an_admins_option(node_logs: Values, flags: list[str]) -> None:
    """The right to them, and the flag, are there only when asked for."""
    values = {"nodeLogs": node_logs} if node_logs else {}
    arguments = operator_pod(values)["containers"][0]["args"]
    assert [argument for argument in arguments if "node-logs" in argument or "kubelet" in argument] == flags
    rules = [rule for role in of_kind(render(values), "ClusterRole", "Role") for rule in role["rules"]]
    of_logs = [rule for rule in rules if "nodes/log" in rule.get("resources", [])]
    expected = [{"apiGroups": [""], "resources": ["nodes", "nodes/log"], "verbs": ["get"]}] if node_logs else []
    assert of_logs == expected


def test_roles_for_people() -> None:
    """Viewers see, investigators write, admins own the DataSources, readers serve ServiceAccounts; none is bound."""
    roles = {role["metadata"]["name"]: role for role in of_kind(render(), "ClusterRole")}
    prefix = "flight-aletheia-operator-"
    assert {name.removeprefix(prefix).removesuffix(".aletheia") for name in roles if name.startswith(prefix)} == {
        "viewer",
        "investigator",
        "admin",
        "custodian",
        "evidence",
        "reader",
    }
    assert not any("aggregate-to" in label for role in roles.values() for label in role["metadata"]["labels"])


def test_the_operators_metrics() -> None:
    """All monitoring is off by default; if it is on, each object leads to the port that the operator listens on."""
    kinds = {item["kind"] for item in render()}
    assert not kinds & {"Service", "ServiceMonitor", "PodMonitor", "PrometheusRule"}
    on = {"enabled": True, "labels": {"release": "kube-prometheus-stack"}}
    values = {"enabled": True, "tls": {"secret": "metrics", "clientCertificates": True}, "dashboard": {"enabled": True}}
    rules: Values = {"relabelings": [{"targetLabel": "team", "replacement": "sre"}], "metricRelabelings": [{"action": "drop"}]}
    monitors = dict.fromkeys(("serviceMonitor", "podMonitor"), on | rules)
    objects = render({"metrics": values | monitors | {"prometheusRule": on}})
    (deployment,) = of_kind(objects, "Deployment")
    pod = deployment["spec"]["template"]
    (operator,) = pod["spec"]["containers"]
    settings = command_line.settings_of(command_line.parser().parse_args(operator["args"])).metrics
    assert settings.address == "0.0.0.0:9090"
    directory = Path("/etc/aletheia-metrics")
    assert settings.tls == (directory / "tls.crt", directory / "tls.key", directory / "ca.crt")
    assert {"name": "metrics", "containerPort": 9090, "protocol": "TCP"} in operator["ports"]
    (service,) = of_kind(objects, "Service")
    (service_monitor,) = of_kind(objects, "ServiceMonitor")
    (pod_monitor,) = of_kind(objects, "PodMonitor")
    assert service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
    assert service_monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert pod_monitor["spec"]["selector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
    for monitor, endpoints in ((service_monitor, "endpoints"), (pod_monitor, "podMetricsEndpoints")):
        assert monitor["metadata"]["labels"]["release"] == "kube-prometheus-stack"
        assert {"port": "metrics", "scheme": "https", **rules}.items() <= monitor["spec"][endpoints][0].items()
    (alerts,) = of_kind(objects, "PrometheusRule")
    assert alerts["spec"] == yaml.safe_load((CHART / "files" / "alerts.yaml").read_text())
    (board,) = of_kind(objects, "ConfigMap")
    assert json.loads(board["data"]["aletheia-operator.json"]) == json.loads((CHART / "files" / "dashboard.json").read_text())


def test_the_artifacts_api() -> None:
    """The container that serves reads only the volume, without a token. The operator does what needs the cluster."""
    objects = render({"artifactsApi": {"enabled": True}, "namespaces": ["shop"], "statusLogText": False})
    (deployment,) = of_kind(objects, "Deployment")
    operator, serving = deployment["spec"]["template"]["spec"]["containers"]
    mounts = {mount["name"]: mount.get("readOnly") for mount in serving["volumeMounts"]}
    assert mounts == {"sessions": True, "artifacts-certificates": True}
    options = serve_command_line.parser().parse_args(serving["args"])
    assert (options.namespaces, options.log_text_in_status) == (["shop"], False)
    settings = command_line.settings_of(command_line.parser().parse_args(operator["args"]))
    (secret,) = of_kind(objects, "Secret")
    (service,) = of_kind(objects, "Service")
    (registered,) = of_kind(objects, "APIService")
    assert settings.artifacts_api == ArtifactsApi(
        Path("/run/aletheia-artifacts"), service["metadata"]["name"], secret["metadata"]["name"]
    )
    assert str(options.certificates) == "/run/aletheia-artifacts"
    assert registered["spec"]["service"] == {"name": service["metadata"]["name"], "namespace": "aletheia", "port": 443}
    ports = {port["name"]: port["containerPort"] for port in serving["ports"]}
    assert ports["artifacts"] == int(ArtifactsProcess.listen.rpartition(":")[2])
    assert ports["artifacts-probe"] == int(ArtifactsProcess.probe_listen.rpartition(":")[2])
    of_secrets = [
        rule for role in of_kind(objects, "Role", "ClusterRole") for rule in role["rules"] if "secrets" in rule["resources"]
    ]
    assert [(rule["resourceNames"], rule["verbs"]) for rule in of_secrets] == [([secret["metadata"]["name"]], ["get", "patch"])]


def test_cert_manager_makes_the_serving_certificate() -> None:
    """The operator gets no right on its Secret and its APIService, and the container reads the certificate itself."""
    objects = render({"artifactsApi": {"enabled": True, "certManager": {"enabled": True, "issuerRef": {"name": "internal"}}}})
    (certificate,) = of_kind(objects, "Certificate")
    (deployment,) = of_kind(objects, "Deployment")
    operator, serving = deployment["spec"]["template"]["spec"]["containers"]
    assert not any(argument.startswith("--artifacts-secret") for argument in operator["args"])
    assert "--serving-certificate=/etc/aletheia-artifacts" in serving["args"]
    volume = {"name": "artifacts-serving", "secret": {"secretName": certificate["spec"]["secretName"]}}
    assert volume in deployment["spec"]["template"]["spec"]["volumes"]
    (registered,) = of_kind(objects, "APIService")
    assert registered["metadata"]["annotations"]["cert-manager.io/inject-ca-from"] == (
        f"aletheia/{certificate['metadata']['name']}"
    )
    assert not of_kind(objects, "Secret")
    rules = [rule for role in of_kind(objects, "Role", "ClusterRole") for rule in role["rules"]]
    assert not any({"secrets", "apiservices"} & set(rule["resources"]) for rule in rules)


def test_aggregation_is_an_option() -> None:
    """If the values ask for it, the roles join Kubernetes' own view, edit and admin."""
    objects = render({"rbac": {"aggregateToEdit": True, "aggregateToView": True}})
    aggregated = {
        role["metadata"]["name"].split(".")[0].rsplit("-", 1)[1]: sorted(
            label.rsplit("-", 1)[1] for label in role["metadata"]["labels"] if "aggregate-to" in label
        )
        for role in of_kind(objects, "ClusterRole")
    }
    assert (aggregated["viewer"], aggregated["investigator"], aggregated["admin"]) == (["view"], ["admin", "edit"], [])


def policies(values: Values | None = None) -> dict[str, tuple[Object, Object]]:
    """Each policy with its binding, by subject."""
    objects = render(values)
    bindings = {item["spec"]["policyName"]: item for item in of_kind(objects, "ValidatingAdmissionPolicyBinding")}
    found = of_kind(objects, "ValidatingAdmissionPolicy")
    assert {item["metadata"]["name"] for item in found} == set(bindings)
    prefix = "flight-aletheia-operator-"
    return {
        re.sub("-[0-9a-f]{8}$", "", item["metadata"]["name"].removeprefix(prefix).split(".")[0]): (
            item,
            bindings[item["metadata"]["name"]],
        )
        for item in found
    }


def the_creators_policy(values: Values | None = None) -> str:
    """Name of the policy that checks creators, and of its binding."""
    policy, binding = policies(values)["creators"]
    assert policy["metadata"]["name"] == binding["metadata"]["name"]
    return str(policy["metadata"]["name"])


@pytest.mark.parametrize(("name", "operations"), [("creators", ["CREATE", "UPDATE"]), ("legal-hold", ["UPDATE", "DELETE"])])
def test_admission_policies_fail_closed(name: str, operations: list[str]) -> None:
    """One checks what creators may read themselves, the other who lifts a legal hold or deletes what is under it."""
    policy, binding = policies()[name]
    assert policy["spec"]["failurePolicy"] == "Fail"
    assert policy["spec"]["matchConstraints"]["resourceRules"] == [
        {
            "apiGroups": ["aletheia.dev"],
            "apiVersions": ["v1alpha1"],
            "operations": operations,
            "resources": ["investigations"],
            "scope": "Namespaced",
        }
    ]
    assert binding["spec"] == {"policyName": policy["metadata"]["name"], "validationActions": ["Deny"]}


def test_the_policy_of_legal_holds_is_an_option() -> None:
    """Each can be enabled alone."""
    assert set(policies({"admissionPolicy": {"legalHold": False}})) == {"creators"}
    assert set(policies({"admissionPolicy": {"enabled": False}})) == {"legal-hold"}


def test_admission_policies_keep_to_the_releases_namespaces() -> None:
    """The policies of a namespaced release say nothing about other namespaces."""
    for _, binding in policies({"namespaces": ["shop"]}).values():
        (expression,) = binding["spec"]["matchResources"]["namespaceSelector"]["matchExpressions"]
        assert (expression["operator"], expression["values"]) == ("In", ["shop"])


def test_the_operator_looks_for_the_policy_that_is_there() -> None:
    """Its flag and its right name the policy and its binding.

    A policy of another scope, or that decides otherwise, has another name. One with other messages has the same.
    """
    names = set()
    for values in (
        {},
        {"namespaces": ["shop"]},
        {"namespaces": ["shop", "bank"]},
        {"namespaces": ["bank", "shop"]},
        {"defaultServiceAccount": "reader"},
    ):
        name = the_creators_policy(values)
        assert f"--creator-policy={name}" in operator_arguments(values)
        rules = [rule for role in of_kind(render(values), "ClusterRole") for rule in role["rules"]]
        assert [rule["resourceNames"] for rule in rules if rule["apiGroups"] == ["admissionregistration.k8s.io"]] == [[name]]
        names.add(name)
    assert len(names) == 4
    assert the_creators_policy({"rbac": {"userRoles": False}}) in names  # its messages name a role less


def test_creators_must_have_every_right_that_objects_need() -> None:
    """What the reader's role reads is asked of the creator, within the API server's cost limit: 28 checks of 350,000."""
    policy, _ = policies()["creators"]
    text = " ".join(validation["expression"] for validation in policy["spec"]["validations"])
    for right in READS:
        verb, _, resource = right.partition(" ")
        group, _, name = resource.partition("/")
        name, _, subresource = name.partition("/")
        below = f".subresource('{subresource}')" if subresource else ""
        check = f"authorizer.group('{group}').resource('{name}'){below}.namespace(request.namespace)"
        verbs = {"list"} if f"list {resource}" in READS else {verb}  # list shows as much
        assert any(f"{check}.check('{verb}').allowed()" in text for verb in verbs), right
    everything = [rule["expression"] for rule in policy["spec"]["validations"] + policy["spec"]["variables"]]
    assert all(rule.count(".check(") <= 2 for rule in everything)
    assert sum(rule.count(".check(") for rule in everything) <= 28


@pytest.mark.parametrize("values", [{"impersonation": {"trustCreators": True}}, {"admissionPolicy": {"enabled": False}}])
def test_without_the_policy_the_operator_looks_for_none(values: Values) -> None:
    """Neither flag nor right."""
    assert not any("creator-policy" in argument for argument in operator_arguments(values))
    assert not any("validatingadmission" in right for right in rights(render(values)))


def test_crds_are_the_generated_ones() -> None:
    """The chart renders exactly the definitions of crds/, and keeps them on uninstall unless the values say otherwise."""
    generated = {path.name: yaml.safe_load(path.read_text()) for path in (ROOT / "crds").glob("*.yaml")}
    assert {path.name for path in (CHART / "files" / "crds").glob("*.yaml")} == set(generated)
    for keep in (True, False):
        crds = of_kind(render({"crds": {"keep": keep}}), "CustomResourceDefinition")
        rendered = {item["metadata"]["name"]: item for item in crds}
        assert {name: item["spec"] for name, item in rendered.items()} == {
            item["metadata"]["name"]: item["spec"] for item in generated.values()
        }
        for item in crds:
            assert item["metadata"].get("annotations", {}) == (KEPT if keep else {})


DATA_SOURCES_ARE_KNOWN = ("--api-versions", "aletheia.dev/v1alpha1/DataSource")


def test_data_sources_are_hooks_of_the_first_install() -> None:
    """Each is created after its CRD on install, upgrade and rollback, and removed before uninstall. Numbers stay whole."""
    objects = render({"dataSources": [PROMETHEUS, JAEGER, S3]})
    for source in (PROMETHEUS, JAEGER, S3):
        documents = [item for item in of_kind(objects, "DataSource") if item["metadata"]["name"] == source["name"]]
        hooks = {item["metadata"]["annotations"]["helm.sh/hook"] for item in documents}
        assert hooks == {"post-install,post-upgrade,post-rollback", "pre-delete"}
        for item in documents:
            assert item["spec"] == {key: value for key, value in source.items() if key != "name"}
    assert int(the(objects, "Job")["metadata"]["annotations"]["helm.sh/hook-weight"]) < 0


def test_data_sources_are_resources_of_the_release_afterwards() -> None:
    """If the API server knows the kind, nothing is a hook, so that an upgrade patches and never recreates them."""
    objects = render({"dataSources": [PROMETHEUS, JAEGER, S3]}, *DATA_SOURCES_ARE_KNOWN)
    found = {item["metadata"]["name"]: item for item in of_kind(objects, "DataSource")}
    assert len(of_kind(objects, "DataSource")) == len(found) == 3
    for source in (PROMETHEUS, JAEGER, S3):
        item = found[source["name"]]
        assert item["spec"] == {key: value for key, value in source.items() if key != "name"}
        assert item["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "Helm"
        marks = {"meta.helm.sh/release-name": "flight", "meta.helm.sh/release-namespace": "aletheia"}
        assert item["metadata"]["annotations"] == marks
    assert not of_kind(objects, "Job")


@pytest.mark.parametrize("flags", [(), DATA_SOURCES_ARE_KNOWN], ids=["first install", "upgrade"])
def test_a_label_that_confines_outlives_an_old_definition(flags: tuple[str, ...]) -> None:
    """An API server that does not know spec.prometheus yet would prune it: the deprecated field says the same."""
    for item in of_kind(render({"dataSources": [CONFINED]}, *flags), "DataSource"):
        assert item["spec"]["prometheus"] == {"namespaceLabel": "kubernetes_namespace"}
        assert item["spec"]["namespaceLabel"] == "kubernetes_namespace"
        DataSourceSpec.from_json(item["spec"])


@pytest.mark.parametrize(
    ("reference", "volume"),
    [
        ({"configMap": "kubelet-ca"}, {"configMap": {"name": "kubelet-ca", "items": [{"key": "ca.crt", "path": "ca.crt"}]}}),
        (
            {"secret": "pki", "key": "kubelet.pem"},
            {"secret": {"secretName": "pki", "items": [{"key": "kubelet.pem", "path": "ca.crt"}]}},
        ),
    ],
    ids=["ConfigMap", "Secret"],
)
def test_the_kubelets_ca_is_mounted(reference: Values, volume: Object) -> None:
    """It is mounted at the path of the flag; without the option there is neither."""
    values = {"nodeLogs": {"enabled": True, "certificateAuthorityFrom": reference}}
    pod = operator_pod(values)
    (flag,) = [argument for argument in operator_arguments(values) if argument.startswith("--kubelet-certificate-authority=")]
    (mount,) = [mounted for mounted in pod["containers"][0]["volumeMounts"] if mounted["name"] == "kubelet-ca"]
    assert flag.removeprefix("--kubelet-certificate-authority=") == mount["mountPath"] + "/ca.crt"
    assert {"name": "kubelet-ca", **volume} in pod["volumes"]
    for other in ({"nodeLogs": {"enabled": True}}, {"nodeLogs": {"certificateAuthorityFrom": reference}}):
        assert not any(volume["name"] == "kubelet-ca" for volume in operator_pod(other)["volumes"])
        assert not any("certificate-authority" in argument for argument in operator_arguments(other))


def test_data_sources_have_the_crds_fields() -> None:
    """The schema of the values knows each field of the DataSource, and no other."""
    schema = json.loads((CHART / "values.schema.json").read_text())["properties"]["dataSources"]["items"]
    crd = yaml.safe_load((ROOT / "crds" / "datasources.aletheia.dev.yaml").read_text())
    spec = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    assert set(schema["properties"]) == {"name", *spec["properties"]}
    assert schema["required"] == ["name", *spec["required"]]
    assert schema["properties"]["type"]["enum"] == spec["properties"]["type"]["enum"]
    for name in ("prometheus", "jaeger", "s3", "auth"):
        assert set(schema["properties"][name]["properties"]) == set(spec["properties"][name]["properties"])


def egress(values: Values) -> list[Object]:
    """Egress rules of the NetworkPolicy."""
    policy = {"enabled": True, **values.get("networkPolicy", {})}
    rules: list[Object] = the(render({**values, "networkPolicy": policy}), "NetworkPolicy")["spec"]["egress"]
    return rules


EVERYWHERE = [
    {"ipBlock": {"cidr": "0.0.0.0/0", "except": ["169.254.0.0/16"]}},
    {"ipBlock": {"cidr": "::/0", "except": ["fe80::/10", "fd00:ec2::254/128"]}},
]


def tcp(*ports: int) -> list[Object]:
    return [{"port": port, "protocol": "TCP"} for port in ports]


def test_network_policy() -> None:
    """If it is enabled, all pods of the release open only the health port, and reach only DNS and the API server."""
    objects = render({"networkPolicy": {"enabled": True}, "dataSources": [PROMETHEUS]})
    policy = the(objects, "NetworkPolicy")["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert policy["ingress"] == [{"ports": [{"port": "health", "protocol": "TCP"}]}]
    pods = [item["spec"]["template"]["metadata"]["labels"] for item in of_kind(objects, "Deployment", "Job")]
    assert len(pods) == 2
    assert all(policy["podSelector"]["matchLabels"].items() <= labels.items() for labels in pods)
    dns, api_server = egress({})
    names = [peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"] for peer in dns["to"][:2]]
    assert names == ["kube-system", "openshift-dns"]
    assert dns["to"][2] == {"ipBlock": {"cidr": "169.254.20.10/32"}}
    assert [(port["port"], port["protocol"]) for port in dns["ports"]] == [
        (53, "UDP"),
        (53, "TCP"),
        (5353, "UDP"),
        (5353, "TCP"),
    ]
    assert api_server == {"to": EVERYWHERE, "ports": tcp(443, 6443)}
    assert not of_kind(render(), "NetworkPolicy")


def test_egress_is_an_option_of_the_network_policy() -> None:
    """Addresses can be narrowed, rules added, or all egress left open."""
    open_out = the(render({"networkPolicy": {"enabled": True, "restrictEgress": False}}), "NetworkPolicy")["spec"]
    assert (open_out["policyTypes"], "egress" in open_out) == (["Ingress"], False)
    mine = {"to": [{"podSelector": {}}], "ports": [{"port": 3128}]}
    narrow = {
        "apiServer": {"cidrs": ["10.0.0.1/32"], "ports": [8443]},
        "kubelets": {"cidrs": ["10.1.0.0/16"]},
        "egress": [mine],
    }
    _, api_server, kubelets, last = egress({"networkPolicy": narrow, "nodeLogs": {"enabled": True}})
    assert api_server == {"to": [{"ipBlock": {"cidr": "10.0.0.1/32"}}], "ports": tcp(8443)}
    assert kubelets == {"to": [{"ipBlock": {"cidr": "10.1.0.0/16"}}], "ports": tcp(10250)}
    assert last == mine
    assert egress({"nodeLogs": {"enabled": True}})[-1] == {"to": EVERYWHERE, "ports": tcp(10250)}


def namespace_rule(name: str) -> Object:
    return {"to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}}]}


@pytest.mark.parametrize(
    ("endpoint", "rule"),
    [
        ("http://prometheus.monitoring:9090", namespace_rule("monitoring")),
        ("http://prometheus.monitoring.svc", namespace_rule("monitoring")),
        ("http://PROMETHEUS.Monitoring.svc.cluster.local.:9090/prefix", namespace_rule("monitoring")),
        ("http://prometheus:9090", namespace_rule("aletheia")),
        ("https://loki.example.com/loki", {"to": EVERYWHERE, "ports": tcp(443)}),
        ("http://loki.example.com", {"to": EVERYWHERE, "ports": tcp(80)}),
        ("https://loki.example.com:8443", {"to": EVERYWHERE, "ports": tcp(8443)}),
        ("https://10.2.3.4:9090", {"to": [{"ipBlock": {"cidr": "10.2.3.4/32"}}], "ports": tcp(9090)}),
        ("http://[fd00::1]/x", {"to": [{"ipBlock": {"cidr": "fd00::1/128"}}], "ports": tcp(80)}),
        ("https://[fd00::1]:8443", {"to": [{"ipBlock": {"cidr": "fd00::1/128"}}], "ports": tcp(8443)}),
    ],
)
def test_egress_follows_the_data_sources(endpoint: str, rule: Object) -> None:
    """A Service opens its namespace, an address itself, any other name its port. Equal rules are written once."""
    sources = [{"name": name, "type": "prometheus", "endpoint": endpoint} for name in ("a", "b")]
    assert egress({"dataSources": sources})[2:] == [rule]


def notes(values: Values) -> str:
    """What helm says after an install with these values."""
    assert HELM is not None
    command = [HELM, "install", "flight", str(CHART), "--dry-run=client", "--namespace=aletheia", "--values=-"]
    nowhere = {**os.environ, "KUBECONFIG": os.devnull}
    done = subprocess.run(
        command, input=json.dumps(values), capture_output=True, text=True, timeout=60, check=False, env=nowhere
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.partition("\nNOTES:\n")[2]


def test_the_notes_warn_of_secrets_that_the_operator_may_not_get() -> None:
    """Each reference of a DataSource that dataSourceSecrets does not name, and no other."""
    sources = [
        {**PROMETHEUS, "auth": {"basic": {"name": "basic"}}, "tls": {"caSecretRef": {"name": "ca", "key": "ca.crt"}}},
        {**PROMETHEUS, "name": "b", "default": False, "auth": {"bearer": {"name": "known", "key": "token"}}},
        {
            **PROMETHEUS,
            "name": "c",
            "default": False,
            "auth": {"header": {"name": "X-Key", "secretRef": {"name": "header", "key": "a"}}},
            "tls": {"clientSecretRef": {"name": "client"}},
        },
        {**S3, "auth": {"accessKey": {"name": "login"}}, "proxy": {"url": "http://proxy", "basic": {"name": "proxy"}}},
    ]
    output = notes({"dataSources": sources, "dataSourceSecrets": ["known"]})
    named = re.findall(r"WARNING: DataSource (\S+) needs Secret (\S+),", output)
    assert named == [
        ("prometheus", "basic"),
        ("prometheus", "ca"),
        ("c", "header"),
        ("c", "client"),
        ("archive", "proxy"),
        ("archive", "login"),
    ]


def test_the_notes_warn_of_what_is_open() -> None:
    """A policy that is off, and egress that DataSources outside of the values lack. The defaults need neither warning."""
    for expected, values in (
        ("admissionPolicy.enabled is false", {"admissionPolicy": {"enabled": False}}),
        ("need rules in networkPolicy.egress", {"networkPolicy": {"enabled": True}}),
    ):
        assert expected in notes(values)
        assert expected not in notes({})


REFUSED: list[tuple[str, Values, str]] = [
    ("an unknown value", {"replicas": 2}, "replicas"),
    (
        "two CAs of the kubelets",
        {"nodeLogs": {"certificateAuthorityFrom": {"configMap": "a", "secret": "b"}}},
        "/nodeLogs/certificateAuthorityFrom",
    ),
    ("a misspelt one", {"persistence": {"enabeld": True}}, "enabeld"),
    ("a size without a unit", {"persistence": {"size": 10}}, "/persistence/size"),
    ("a size that is none", {"persistence": {"size": "ten Gi"}}, "/persistence/size"),
    ("a size of zero", {"tmpSize": "0Mi"}, "/tmpSize"),
    (
        "an access mode that cannot write",
        {"persistence": {"accessModes": ["ReadOnlyMany"]}},
        "/persistence/accessModes/0",
    ),
    ("no access mode", {"persistence": {"accessModes": []}}, "/persistence/accessModes"),
    ("a switch as text", {"persistence": {"enabled": "false"}}, "/persistence/enabled"),
    ("namespaces as text", {"namespaces": "shop"}, "/namespaces"),
    ("a namespace that is no name", {"namespaces": ["Shop"]}, "/namespaces/0"),
    ("a pattern of namespaces", {"namespaces": ["shop-*"]}, "/namespaces/0"),
    ("a namespace twice", {"namespaces": ["shop", "shop"]}, "/namespaces"),
    ("a ServiceAccount that is no name", {"defaultServiceAccount": "a b"}, "/defaultServiceAccount"),
    ("nothing at a time", {"maxInvestigations": 0}, "/maxInvestigations"),
    ("half a fetch", {"maxFetches": 1.5}, "/maxFetches"),
    ("bytes with an unknown unit", {"maxArtifactBytes": "256MB"}, "/maxArtifactBytes"),
    ("bytes with a space", {"maxSessionBytes": "5 Gi"}, "/maxSessionBytes"),
    ("half a byte", {"retention": {"totalBytes": 1.5}}, "/retention/totalBytes"),
    ("fewer bytes than none", {"maxNamespaceBytes": -1}, "/maxNamespaceBytes"),
    ("no bytes at all", {"maxArtifactBytes": "0"}, "/maxArtifactBytes"),
    ("a time without its number", {"maxTimeoutSeconds": "h"}, "/maxTimeoutSeconds"),
    ("a time of zero", {"maxTimeoutSeconds": "0"}, "/maxTimeoutSeconds"),
    ("a time in minutes, spelt out", {"retention": {"graceSeconds": "30 minutes"}}, "/retention/graceSeconds"),
    ("an unknown level of redaction", {"redaction": {"level": "none"}}, "/redaction/level"),
    ("a rule without a name", {"redaction": {"rules": [{"pattern": "x"}]}}, "/redaction/rules/0"),
    ("an unknown log format", {"logFormat": "xml"}, "/logFormat"),
    ("an unknown log level", {"logLevel": "INFO"}, "/logLevel"),
    ("an unknown pull policy", {"image": {"pullPolicy": "Sometimes"}}, "/image/pullPolicy"),
    ("a tag in the repository", {"image": {"repository": "example.com/op:1"}}, "/image/repository"),
    ("a digest cut short", {"image": {"digest": "sha256:12"}}, "/image/digest"),
    ("a pull secret by name alone", {"image": {"pullSecrets": ["pull"]}}, "/image/pullSecrets/0"),
    ("a token for less than Kubernetes allows", {"serviceAccount": {"tokenExpirationSeconds": 60}}, "/tokenExpirationSeconds"),
    ("a token that is extended to a year", {"serviceAccount": {"tokenExpirationSeconds": 3607}}, "/tokenExpirationSeconds"),
    ("a misspelt key of a security context", {"podSecurityContext": {"runAsUsr": 1}}, "runAsUsr"),
    ("a user by name", {"podSecurityContext": {"runAsUser": "root"}}, "/podSecurityContext/runAsUser"),
    (
        "a capability in lower case",
        {"securityContext": {"capabilities": {"add": ["net_raw"]}}},
        "/securityContext/capabilities",
    ),
    ("a standby without a shared volume", {"replicas": 2}, "ReadWriteMany in persistence.accessModes"),
    (
        "a standby with an emptyDir",
        {"replicas": 2, "persistence": {"enabled": False, **SHARED["persistence"]}},
        "ReadWriteMany",
    ),
    ("a standby without election", {"replicas": 2, **SHARED, "leaderElection": {"enabled": False}}, "leaderElection.enabled"),
    ("Jobs without a volume", {**JOB_MODE, "persistence": {"enabled": False}}, "persistence.enabled"),
    ("Jobs with a volume of one pod", {**JOB_MODE, "persistence": {"accessModes": ["ReadWriteOncePod"]}}, "ReadWriteOncePod"),
    ("an unknown place of captures", {"runner": {"mode": "remote"}}, "/runner/mode"),
    ("no Jobs", {"runner": {"maxJobs": 0}}, "/runner/maxJobs"),
    ("a time in words", {"runner": {"auto": {"waitSeconds": "soon"}}}, "/runner/auto/waitSeconds"),
    ("no operator", {"replicas": 0}, "/replicas"),
    ("a Lease of a moment", {"leaderElection": {"leaseSeconds": 1}}, "/leaderElection/leaseSeconds"),
    ("an unknown word for OpenShift", {"openshift": {"enabled": "yes"}}, "/openshift/enabled"),
    ("a registry with a scheme", {"global": {"imageRegistry": "https://r"}}, "/global/imageRegistry"),
    ("a label with a space", {"commonLabels": {"a": "b c"}}, "/commonLabels/a"),
    ("two bundles of CAs", {"caBundle": {"configMap": "a", "secret": "b"}}, "/caBundle"),
    ("a volume of the chart's own", {"extraVolumes": [{"name": "sessions"}]}, "/extraVolumes/0/name"),
    ("a mount without a path", {"extraVolumeMounts": [{"name": "a"}]}, "mountPath"),
    ("arguments that are no flags", {"extraArgs": ["verbose"]}, "/extraArgs/0"),
    ("a host without names", {"hostAliases": [{"ip": "10.0.0.1"}]}, "hostnames"),
    ("an unknown DNS policy", {"dnsPolicy": "ClusterLast"}, "/dnsPolicy"),
    ("an object as a number", {"extraObjects": [1]}, "/extraObjects/0"),
    ("a proxy with TLS", {"proxy": {"url": "https://proxy:3128"}}, "/proxy/url"),
    ("a proxy with a login in it", {"dataSources": [{**PROMETHEUS, "proxy": {"url": "http://u:p@h"}}]}, "/proxy/url"),
    (
        "an address without a range",
        {"networkPolicy": {"apiServer": {"cidrs": ["10.0.0.1"]}}},
        "/networkPolicy/apiServer/cidrs/0",
    ),
    ("a port that is none", {"networkPolicy": {"dns": {"ports": [70000]}}}, "/networkPolicy/dns/ports/0"),
    ("a rule of ingress as egress", {"networkPolicy": {"egress": [{"from": []}]}}, "/networkPolicy/egress/0"),
    ("a bad quantity", {"resources": {"requests": {"cpu": "a lot"}}}, "/resources/requests/cpu"),
    ("a node selector of numbers", {"nodeSelector": {"zone": 1}}, "/nodeSelector/zone"),
    (
        "an impersonated wildcard",
        {"impersonation": {"serviceAccountNames": ["*"]}},
        "/impersonation/serviceAccountNames/0",
    ),
    ("a source without endpoint", {"dataSources": [{"name": "a", "type": "jaeger"}]}, "endpoint"),
    ("a source of unknown type", {"dataSources": [{**PROMETHEUS, "type": "carrier-pigeon"}]}, "/dataSources/0/type"),
    (
        "a password in an endpoint",
        {"dataSources": [{**PROMETHEUS, "endpoint": "http://u:p@h"}]},
        "/dataSources/0/endpoint",
    ),
    *(
        (f"a share of {share}", {"volume": {"namespaceShare": share}}, "/volume/namespaceShare")
        for share in ("25", "101%", "-1%", "1.5%", 25, "%")
    ),
    ("an option of another type", {"dataSources": [{**JAEGER, "jaeger": {"namespaceLabel": "a"}}]}, "/dataSources/0/jaeger"),
    ("a misspelt option", {"dataSources": [{**JAEGER, "jaeger": {"API": "v3"}}]}, "/dataSources/0/jaeger"),
    ("an option's bad value", {"dataSources": [{**JAEGER, "jaeger": {"api": "v2"}}]}, "/dataSources/0/jaeger/api"),
    (
        "a Secret without its key",
        {"dataSources": [{**JAEGER, "auth": {"bearer": {"name": "a"}}}]},
        "/dataSources/0/auth/bearer",
    ),
    ("a source's bad timeout", {"dataSources": [{**PROMETHEUS, "timeout": "30"}]}, "/dataSources/0/timeout"),
    ("a source twice", {"dataSources": [PROMETHEUS, {**JAEGER, "name": "prometheus"}]}, "dataSources[1].name"),
    ("two defaults of a type", {"dataSources": [PROMETHEUS, {**PROMETHEUS, "name": "b"}]}, "dataSources[1].default"),
    (
        "a default ServiceAccount that none may become",
        {"defaultServiceAccount": "reader", "impersonation": {"enabled": False}},
        "impersonation.enabled",
    ),
    (
        "impersonation where nothing is handled",
        {"namespaces": ["shop"], "impersonation": {"namespaces": ["bank"]}},
        "impersonation.namespaces",
    ),
]


@pytest.mark.parametrize(("values", "field"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_bad_values_are_refused_by_name(values: Values, field: str) -> None:
    """A bad value ends in an error that names the field, not in a broken release."""
    assert field in refusal(values)


def test_every_value_is_explained() -> None:
    """values.yaml has a comment for each value, and the schema knows each of them."""
    lines = (CHART / "values.yaml").read_text().splitlines()
    schema = json.loads((CHART / "values.schema.json").read_text())
    section: Values = {}
    for i, line in enumerate(lines):
        if not line.strip() or line.lstrip().startswith("#") or line.startswith("    "):
            continue
        key = line.strip().split(":")[0]
        if not line.startswith(" "):
            section = schema["properties"][key]
            section = schema["definitions"][section["$ref"].rpartition("/")[2]] if "$ref" in section else section
            if line.rstrip().endswith(":"):
                continue
        else:
            assert key in section["properties"], f"values.schema.json does not know {key}"
        assert lines[i - 1].lstrip().startswith("#"), f"values.yaml does not explain {key}"


def test_requests_have_their_own_priority_if_asked() -> None:
    """The operator's requests get a share of the API server's places, and queues by namespace. By default, nothing changes."""
    kinds = ("PriorityLevelConfiguration", "FlowSchema")
    assert not {item["kind"] for item in render()} & set(kinds)
    objects = render({"apiPriority": {"enabled": True, "concurrencyShares": 7}, "serviceAccount": {"name": "flight"}})
    (level,), (schema,) = (of_kind(objects, kind) for kind in kinds)
    assert level["spec"]["limited"]["nominalConcurrencyShares"] == 7
    assert schema["spec"]["priorityLevelConfiguration"] == {"name": level["metadata"]["name"]}
    assert schema["spec"]["distinguisherMethod"] == {"type": "ByNamespace"}
    (rule,) = schema["spec"]["rules"]
    account = {"kind": "ServiceAccount", "serviceAccount": {"name": "flight", "namespace": "aletheia"}}
    assert rule["subjects"] == [account]
    assert schema["spec"]["matchingPrecedence"] < 9000, "before the cluster's own schema for service accounts"
