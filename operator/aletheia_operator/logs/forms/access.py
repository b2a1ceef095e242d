"""Access logs of web servers and proxies. They have no levels: an HTTP status is not one."""

import re

from aletheia_operator.logs.forms.recognised import LONG_HEAD, Fields, Recognised

_COMMON = re.compile(
    r'(\S{1,256}) (\S{1,256}) (\S{1,256}) \[([^\]]{1,80})\] "'
    r'(?:([A-Z]{1,20}) (\S{1,3000})(?: (HTTP/[\d.]{1,5}))?|[^"]{0,3000})"'
    r' (\d{3}) (\d{1,20}|-)(?: "([^"]{0,3000})" "([^"]{0,3000})")?'
)
_FIELDS = ("client", "identity", "user", "time", "method", "path", "protocol", "status", "bytes", "referer", "user_agent")
_ENVOY = re.compile(r'\[([^\]]{1,80})\] "([A-Z]{1,20}) (\S{1,3000}) (HTTP/[\d.]{1,5})" (\d{1,3}) ')


def read_access(line: str) -> Recognised | None:
    """Read the common and combined log formats."""
    if '] "' not in line or not (match := _COMMON.match(line, 0, 2 * LONG_HEAD)):
        return None
    fields: Fields = {key: value for key, value in zip(_FIELDS, match.groups(), strict=True) if value and value != "-"}
    for key in ("status", "bytes"):
        if key in fields:
            fields[key] = int(fields[key])
    quote = line.index('] "') + 3
    return Recognised(None, line[quote : line.index('"', quote)], fields, True)


def read_envoy_access(line: str) -> Recognised | None:
    """Read Envoy's default access log."""
    if match := _ENVOY.match(line, 0, 2 * LONG_HEAD):
        time, method, path, protocol, status = match.groups()
        fields = {"time": time, "method": method, "path": path, "protocol": protocol, "status": int(status)}
        return Recognised(None, f"{method} {path} {protocol}", fields, True)
    return None
