"""Values of the chart that differ in all that they can: what is checked, and upgraded from one to the next."""

from typing import Any

PROMETHEUS = {"name": "prometheus", "type": "prometheus", "endpoint": "http://prometheus.monitoring:9090", "default": True}
S3 = {"name": "archive", "type": "s3", "endpoint": "https://s3.example.com", "s3": {"bucket": "incidents"}}
CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "hardened": {
        "namespaces": ["shop", "bank"],
        "defaultServiceAccount": "investigator",
        "image": {"digest": "sha256:" + "0" * 64, "pullPolicy": "Always"},
        "networkPolicy": {"enabled": True},
        "resources": {"limits": {"cpu": "2", "memory": "512Mi", "ephemeral-storage": "1Gi"}},
        "dataSources": [PROMETHEUS, {**S3, "auth": {"accessKey": {"name": "login"}}}],
        "dataSourceSecrets": ["login"],
    },
    "OpenShift": {
        "replicas": 2,
        "persistence": {"accessModes": ["ReadWriteMany"]},
        "openshift": {"enabled": True},
        "networkPolicy": {"enabled": True, "restrictEgress": False},
    },
    "logs from nodes, sessions in an emptyDir": {
        "nodeLogs": {"enabled": True, "certificateAuthorityFrom": {"configMap": "kubelet-ca"}},
        "persistence": {"enabled": False, "size": "1Gi"},
        "networkPolicy": {"enabled": True},
        "impersonation": {"enabled": False},
        "admissionPolicy": {"enabled": False, "legalHold": False},
    },
    "what others made, through a proxy": {
        "rbac": {"create": False, "userRoles": False},
        "crds": {"install": False},
        "serviceAccount": {"create": False, "name": "made-elsewhere"},
        "persistence": {"existingClaim": "evidence"},
        "tests": {"enabled": False},
        "proxy": {"url": "http://proxy.example:3128", "noProxy": [".svc"]},
        "networkPolicy": {"enabled": True},
        "dataSources": [{**PROMETHEUS, "proxy": {"url": "http://proxy.example:3128", "basic": {"name": "login"}}}],
        "dataSourceSecrets": ["login"],
        "maxSessionBytes": "5Gi",
    },
    "everything added": {
        "global": {"imageRegistry": "mirror.example", "imagePullSecrets": [{"name": "mirror"}]},
        "commonLabels": {"team": "sre"},
        "commonAnnotations": {"note": "x"},
        "runner": {
            "mode": "auto",
            "job": {
                "labels": {"kueue.x-k8s.io/queue-name": "captures"},
                "annotations": {"scheduling.k8s.io/group-name": "captures"},
                "schedulerName": "volcano",
            },
        },
        "caBundle": {"configMap": "company-ca"},
        "metricTemplates": {"queue": [{"name": "RabbitMQ", "promql": "rabbitmq_queue_messages{$namespace}"}]},
        "rbac": {"aggregateToEdit": True, "aggregateToView": True},
        "artifactsApi": {"enabled": True},
        "metrics": {"enabled": True, "tls": {"secret": "metrics"}, "dashboard": {"enabled": True}},
        "serviceAccount": {"annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/x"}},
        "extraEnv": [{"name": "TZ", "value": "UTC"}],
        "extraEnvFrom": [{"configMapRef": {"name": "more"}}],
        "extraVolumes": [{"name": "more", "emptyDir": {"sizeLimit": "1Mi"}}],
        "extraVolumeMounts": [{"name": "more", "mountPath": "/more"}],
        "extraObjects": [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "more"}, "data": {"a": "b"}}],
        "podLabels": {"tier": "control"},
        "podAnnotations": {"note": "y"},
        "priorityClassName": "system-cluster-critical",
        "apiPriority": {"enabled": True},
        "runtimeClassName": "gvisor",
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "tolerations": [{"operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": "zone",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": {"app.kubernetes.io/component": "operator"}},
            }
        ],
        "hostAliases": [{"ip": "10.0.0.1", "hostnames": ["prometheus.example"]}],
        "dnsPolicy": "None",
        "dnsConfig": {"nameservers": ["10.0.0.2"], "options": [{"name": "ndots", "value": "1"}]},
        "dataSources": [PROMETHEUS, {**S3, "auth": {"cloudIdentity": "aws"}}],
    },
}
