"""Writes YAML that every parser reads in the same way. Pure."""

import re
from typing import Any

_AMBIGUOUS = re.compile(r"[-+]?(0[xob][0-9a-fA-F_]+|(\.[0-9_]+|[0-9][0-9_]*(\.[0-9_]*)?)([eE][-+]?[0-9]+)?)|[yYnN]")
"""Strings that a parser of YAML 1.1 or 1.2 may take for a number or a boolean: kubectl reads `1e3` and `y` so."""


def yaml_text(value: Any) -> str:
    """Return a value as YAML in ASCII, with keys in their order. Ambiguous strings are quoted."""
    import yaml

    class Dumper(yaml.SafeDumper):
        pass

    def text(dumper: Any, string: str) -> Any:
        return dumper.represent_scalar("tag:yaml.org,2002:str", string, "'" if _AMBIGUOUS.fullmatch(string) else None)

    Dumper.add_representer(str, text)
    return str(yaml.dump(value, Dumper=Dumper, sort_keys=False, allow_unicode=False, width=100))
