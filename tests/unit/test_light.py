"""The command line and the operator are light: they import what only some commands or captures need when one needs it."""

import subprocess
import sys
import tomllib

from tests.cluster.rig import ROOT

ALONE = """
import importlib, pkgutil, sys

sys.modules.update(dict.fromkeys({absent}))
import aletheia_operator.cli, aletheia_operator.report, aletheia_operator.show
for package in (aletheia_operator.cli, aletheia_operator.report, aletheia_operator.show):
    for module in pkgutil.walk_packages(package.__path__, f"{{package.__name__}}."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
"""
HELP = """
import sys
from aletheia_operator.cli.__main__ import main
main(["--help"])
print(len(sys.modules), sorted(name for name in sys.modules if name.partition(".")[0] in {"rich", "pydantic", "orjson", "re2"}))
"""
OPERATOR = """
import sys
sys.modules["kubernetes.client"] = sys.modules["pykube"] = None  # as `__main__.run` does
import aletheia_operator.handlers.operator
heavy = {"cryptography", "kubernetes.config", "minio", "oauthlib", "prometheus_api_client", "requests", "urllib3", "websocket"}
print(sorted(heavy & sys.modules.keys()))
"""


def packages(requirements: list[str]) -> set[str]:
    return {requirement.split(">")[0].split("[")[0] for requirement in requirements}


def python(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_without_the_packages_of_the_operator() -> None:
    """Every module of the command line can be imported with only the base dependencies installed."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    absent = packages(extras["operator"] + extras["sealing"]) - {"aletheia-operator"}
    assert len(absent) > 5
    python(ALONE.format(absent=sorted(name.replace("-", "_") for name in absent)))


def test_help_imports_no_command() -> None:
    """Help is there at once: it imports no command, and neither rich nor the models."""
    count, _, heavy = python(HELP).strip().splitlines()[-1].partition(" ")
    assert heavy == "[]"
    assert int(count) < 250


def test_an_idle_operator_has_no_libraries_of_data_sources() -> None:
    """Those for DataSources and uploads are imported when one is asked; the official client's blocking half never is."""
    assert python(OPERATOR).strip() == "[]"


def test_requirements_are_those_of_the_package() -> None:
    """The locked packages of the image and of the single-file program are those that pyproject.toml names."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]

    def listed(name: str) -> set[str]:
        lines = (ROOT / "requirements" / f"{name}.in").read_text().splitlines()
        return {line for line in lines if line and line[0] not in "#-"}

    assert listed("cli") == set(project["dependencies"])
    assert listed("runtime") == set(extras["operator"] + extras["sealing"]) - {"aletheia-operator[sealing]"}
