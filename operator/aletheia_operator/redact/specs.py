"""Removes literal credentials from Kubernetes specs: values that should be in a Secret. In place.

Do not call it on the event loop: it searches every text of the object.
"""

from typing import Any

from aletheia_operator.redact.names import is_credential
from aletheia_operator.redact.placeholders import is_placeholder
from aletheia_operator.redact.redactor import Redactor

_OWN = frozenset({  # fields of Kubernetes that contain names and paths, although their names suggest credentials
    "name", "namespace", "secretName", "serviceAccountName", "serviceAccount", "key", "path", "mountPath", "image", "imageID",
    "containerID", "uid", "kind", "apiVersion", "resourceVersion", "creationTimestamp", "nodeName", "phase", "type", "status",
    "reason", "pod-template-hash", "lastTransitionTime", "lastProbeTime", "startedAt", "finishedAt", "hostIP", "podIP", "ip",
    "protocol", "terminationMessagePath", "terminationMessagePolicy", "imagePullPolicy", "restartPolicy", "dnsPolicy",
    "schedulerName", "operator", "effect", "qosClass", "fieldPath", "resource",
})  # fmt: skip
_USER_FLAGS = ("-u", "-U", "--user", "--proxy-user")
_FLAGS = {  # flags for passwords that have other names, by program
    "redis-cli": ("-a",), "sshpass": ("-p",), "mongo": ("-p",), "mongosh": ("-p",), "mongodump": ("-p",), "ldapsearch": ("-w",),
    "docker": ("-p",), "podman": ("-p",), "skopeo": ("-p",), "helm": ("-p",),
}  # fmt: skip
_ATTACHED = ("mysql", "mysqldump", "mysqladmin", "mariadb", "mariadb-dump")  # -pPASSWORD


def redact_spec(spec: Any, redactor: Redactor) -> int:
    """Redact an object, or a part of an object, in place, at any depth. Returns the number of changed values.

    Checks `{name, value}` pairs, the words of `command` and `args`, and every text. If a key names a credential, its whole text
    is removed. References (`name`, `secretName` and the like) are not changed.
    """
    changed = 0
    waiting = [spec]
    while waiting:
        part = waiting.pop()
        if isinstance(part, list):
            changed += _redact_list(part, redactor)
            waiting += [value for value in part if isinstance(value, (dict, list))]
        elif isinstance(part, dict):
            changed += _redact_map(part, redactor)
            waiting += [value for value in part.values() if isinstance(value, (dict, list))]
    return changed


def _redact_list(values: list[Any], redactor: Redactor) -> int:
    """Redact the texts of a list. The text after a flag for a credential, for example `--password`, is its value."""
    if not any(isinstance(value, str) for value in values):
        return 0
    changed = 0
    program = str(values[0]).rpartition("/")[2]
    words = values.copy()
    for i, word in enumerate(words):
        if not isinstance(word, str):
            continue
        flag = words[i - 1] if i and isinstance(words[i - 1], str) else ""
        kept = _behind(flag, word, program, redactor)
        changed += kept != word
        values[i] = kept
    return changed


def _behind(flag: str, word: str, program: str, redactor: Redactor) -> str:
    """Return `word` without credentials. `flag`: the word before it. `program`: the command's name."""
    name = flag.lstrip("-")
    alone = flag.startswith("-") and "=" not in flag and " " not in flag
    if alone and not word.startswith("-") and (is_credential(name) or flag in _FLAGS.get(program, ())):
        return redactor.value(name if is_credential(name) else "password", word)
    user, colon, password = word.partition(":")
    if flag in _USER_FLAGS and colon and not password.startswith("//") and " " not in word:
        ids = user.isdecimal() and password.isdecimal()
        return word if ids or is_placeholder(password.encode()) else f"{user}:{redactor.value('password', password)}"
    if program in _ATTACHED and word.startswith("-p") and len(word) > 2:
        kept = redactor.value("password", word[2:])
        return f"-p{kept}" if kept != word[2:] else redactor.text(f"mysql {word}").removeprefix("mysql ")
    return redactor.text(word)


def _redact_map(values: dict[str, Any], redactor: Redactor) -> int:
    changed = 0
    name = values.get("name")
    for key, value in values.items():
        if not isinstance(value, str):
            continue
        if key in _OWN:
            values[key] = redactor.text(value)
            changed += values[key] != value
            continue
        meant = (
            name if key == "value" and isinstance(name, str) else key.rpartition("/")[2]
        )  # without the prefix of an annotation
        kept = redactor.value(meant, value)
        changed += kept != value
        values[key] = kept
    return changed
