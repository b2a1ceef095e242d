"""The rig's folders, commands and progress output."""

import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
_START = time.monotonic()


class RigError(Exception):
    """The rig cannot do what was requested; the message names what is missing or failed."""


def cache_dir() -> Path:
    """Return $ALETHEIA_CACHE, or aletheia-operator in the user's cache directory, as the script `node` does."""
    user_cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("ALETHEIA_CACHE") or Path(user_cache) / "aletheia-operator").resolve()


def bin_dir() -> Path:
    return cache_dir() / "bin"


def say(line: str) -> None:
    """Print one line of progress, with the seconds since the start."""
    print(f"[{time.monotonic() - _START:6.1f} s] {line}", file=sys.stderr, flush=True)


@contextmanager
def step(what: str) -> Iterator[None]:
    began = time.monotonic()
    say(what)
    yield
    say(f"{what}: done in {time.monotonic() - began:.1f} s")


@contextmanager
def exclusively(what: str) -> Iterator[None]:
    """Hold the lock of that name: two test runs may want the same program built at the same time."""
    cache_dir().mkdir(parents=True, exist_ok=True)
    with (cache_dir() / f".{what}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def run(
    command: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: str | None = None,
    timeout_seconds: float = 900,
) -> str:
    """Return the command's output. `env` is added to this process's environment. Raises RigError with the end of its output."""
    name = " ".join(str(word) for word in command[:3])
    try:
        done = subprocess.run(
            [str(word) for word in command],
            cwd=cwd,
            env={**os.environ, **(env or {})},
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_seconds,
            check=False,
        )
    except FileNotFoundError:
        raise RigError(f"{command[0]} is not installed") from None
    except subprocess.TimeoutExpired:
        raise RigError(f"{name}: not done within {timeout_seconds:.0f} s") from None
    if done.returncode != 0:
        end = "\n".join((done.stdout + done.stderr).strip().splitlines()[-25:])
        raise RigError(f"{name}: exit code {done.returncode}\n{end}")
    return done.stdout
