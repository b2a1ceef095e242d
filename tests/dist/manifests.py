"""deploy/: the chart's default installation as plain manifests, for `kubectl apply -k deploy/`: `python -m tests.dist.manifests`."""

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from tests.cluster import programs
from tests.cluster.rig import ROOT, RigError, bin_dir, run
from tests.dist.versions import CHART, version

NAMESPACE = "aletheia-system"
RELEASE = "aletheia-operator"
IMAGE = "aletheia-operator"
NOTICE = "# Generated from the chart by `make generate`; do not edit.\n"
KUSTOMIZATION = """\
# The operator without Helm: `kubectl apply -k deploy/` (kubectl 1.30 or later). It is what the chart installs with its default values.
# Make a kustomization of your own with this folder as a resource to name your image (`images`) and to change settings (`patches`).
# DataSources are manifests of your own: see examples/datasources.yaml.
#
# `kubectl delete -f deploy/operator.yaml` removes the operator, and keeps Investigations and evidence.
# `kubectl delete -k deploy/` deletes EVERY Investigation of the cluster, and all evidence.
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources: [namespace.yaml, ../crds, storage.yaml, operator.yaml]
images:
  - name: aletheia-operator
    newTag: {version}
patches: # neither Flux nor Argo CD prunes what evidence depends on (namespace.yaml and storage.yaml have the same annotations)
  - target: {{kind: CustomResourceDefinition}}
    patch: |-
      kind: kept
      metadata:
        name: kept
        annotations:
{kept}"""
KEPT = {"argocd.argoproj.io/sync-options": "Prune=false,Delete=false", "kustomize.toolkit.fluxcd.io/prune": "disabled"}
"""Annotations of what neither Flux nor Argo CD may delete: without it, evidence is lost."""


def manifests() -> dict[str, str]:
    """Return the content of each file. Builds helm if it is missing. Raises RigError."""
    programs.clients()
    options = (
        f"--namespace={NAMESPACE}",
        "--no-hooks",
        f"--kube-version={programs.KUBERNETES}",
        "--set=tests.enabled=false",
        "--set=crds.install=false",
    )
    rendered = run([bin_dir() / "helm", "template", RELEASE, CHART, *options])
    objects = [_plain(item) for item in yaml.safe_load_all(rendered) if item]
    files: dict[str, list[Any]] = {"storage.yaml": [], "operator.yaml": []}
    for item in objects:
        files["storage.yaml" if item["kind"] == "PersistentVolumeClaim" else "operator.yaml"].append(item)
    labels = {"app.kubernetes.io/part-of": "aletheia", "pod-security.kubernetes.io/enforce": "restricted"}
    namespace = {"name": NAMESPACE, "labels": labels, "annotations": KEPT}
    files["namespace.yaml"] = [{"apiVersion": "v1", "kind": "Namespace", "metadata": namespace}]
    texts = {name: _written(listed) for name, listed in files.items()}
    kept = "".join(f"          {name}: {value}\n" for name, value in KEPT.items())
    return {**texts, "kustomization.yaml": NOTICE + KUSTOMIZATION.format(version=version(), kept=kept)}


def installation(image: str) -> str:
    """Return everything as one manifest for `kubectl apply -f`, with this image (a reference with tag or digest)."""
    files = manifests()
    definitions = [yaml.safe_load(path.read_text()) for path in sorted((ROOT / "crds").glob("*.yaml"))]
    for definition in definitions:
        definition["metadata"]["annotations"] = KEPT
    whole = "---\n".join([files["namespace.yaml"], _written(definitions), files["storage.yaml"], files["operator.yaml"]])
    return whole.replace(f"image: {IMAGE}:{version()}\n", f"image: {image}\n")


def _plain(item: dict[str, Any]) -> dict[str, Any]:
    """Return the object, and the pods of its template, without what only Helm understands."""
    metadata = {**item["metadata"]}
    for field in ("labels", "annotations"):
        kept = {key: value for key, value in (metadata.pop(field, None) or {}).items() if not key.startswith("helm.sh/")}
        if "app.kubernetes.io/managed-by" in kept:
            kept["app.kubernetes.io/managed-by"] = "kustomize"
        if kept:
            metadata[field] = kept
    plain = {**item, "metadata": metadata}
    template = (item.get("spec") or {}).get("template")
    if isinstance(template, dict) and "metadata" in template:
        plain["spec"] = {**item["spec"], "template": _plain(template)}
    return plain


def _written(objects: Iterable[dict[str, Any]]) -> str:
    return NOTICE + yaml.safe_dump_all(objects, sort_keys=False, width=120, allow_unicode=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.dist.manifests", description=__doc__)
    parser.add_argument("--to", type=Path, default=ROOT / "deploy", help="folder for the files")
    folder = parser.parse_args().to
    try:
        files = manifests()
    except RigError as e:
        print(f"error: {e}", file=sys.stderr)
        return 1
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
