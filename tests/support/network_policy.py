"""Evaluates a NetworkPolicy as Kubernetes defines it (networking.k8s.io/v1, "NetworkPolicySpec").

A pod that no policy selects for a direction may connect to anything. Otherwise one rule must allow the connection: its peers
and its ports must match. A rule without peers allows all peers, a rule without ports allows all ports.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any

Object = dict[str, Any]
NAMESPACE_NAME = "kubernetes.io/metadata.name"


@dataclass(frozen=True)
class Pod:
    """A pod of the cluster. `ports`: its named ports."""

    namespace: str
    address: str
    labels: Mapping[str, str] = field(default_factory=dict)
    ports: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Outside:
    """An address that is no pod's: of a node, the API server, or a host outside of the cluster."""

    address: str


Peer = Pod | Outside


def may_connect(policy: Object, source: Pod, target: Peer, port: int, protocol: str = "TCP") -> bool:
    """Return whether the policy lets `source` connect to a port of `target`: the pod behind a Service, not the Service."""
    if not _selects(policy, source, "Egress"):
        return True
    return any(_allows(policy, rule, "to", target, target, port, protocol) for rule in policy["spec"].get("egress") or ())


def may_be_reached(policy: Object, target: Pod, source: Peer, port: int, protocol: str = "TCP") -> bool:
    """Return whether the policy lets `source` connect to a port of the pod `target`."""
    if not _selects(policy, target, "Ingress"):
        return True
    return any(_allows(policy, rule, "from", source, target, port, protocol) for rule in policy["spec"].get("ingress") or ())


def _selects(policy: Object, pod: Pod, direction: str) -> bool:
    spec = policy["spec"]
    types = spec.get("policyTypes") or ["Ingress", *(["Egress"] if "egress" in spec else [])]
    return direction in types and policy["metadata"]["namespace"] == pod.namespace and _matches(spec["podSelector"], pod.labels)


def _allows(policy: Object, rule: Object, peers: str, peer: Peer, target: Peer, port: int, protocol: str) -> bool:
    listed = rule.get(peers)
    if listed and not any(_is_peer(policy["metadata"]["namespace"], selector, peer) for selector in listed):
        return False
    ports = rule.get("ports")
    return not ports or any(_is_port(allowed, target, port, protocol) for allowed in ports)


def _is_peer(namespace: str, selector: Object, peer: Peer) -> bool:
    block = selector.get("ipBlock")
    if block is not None:
        address = ip_address(peer.address)
        return address in ip_network(block["cidr"]) and not any(
            address in ip_network(cidr) for cidr in block.get("except") or ()
        )
    if not isinstance(peer, Pod):
        return False
    namespaces = selector.get("namespaceSelector")
    in_namespace = peer.namespace == namespace if namespaces is None else _matches(namespaces, {NAMESPACE_NAME: peer.namespace})
    return in_namespace and _matches(selector.get("podSelector") or {}, peer.labels)


def _is_port(allowed: Object, target: Peer, port: int, protocol: str) -> bool:
    if allowed.get("protocol", "TCP") != protocol:
        return False
    wanted: int | str | None = allowed.get("port")
    if isinstance(wanted, str):
        return isinstance(target, Pod) and target.ports.get(wanted) == port
    return wanted is None or wanted <= port <= int(allowed.get("endPort", wanted))


def _matches(selector: Object, labels: Mapping[str, str]) -> bool:
    if selector.get("matchExpressions"):
        raise NotImplementedError("matchExpressions: the chart writes none")
    return all(labels.get(name) == value for name, value in (selector.get("matchLabels") or {}).items())
