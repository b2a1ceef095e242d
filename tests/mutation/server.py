"""A pytest plugin that collects all tests once, then runs some of them for each request, in a forked process.

A request is a line of JSON on the standard input: the mutant, the node ids of the tests, and the seconds that they may take.
The answer is a line of JSON to the file descriptor that MUTATION_ANSWERS names: the test that failed, what else ended the
process, or null. No test runs in the process that forks, so it has no threads, event loops or fixtures.
"""

import contextlib
import gc
import json
import os
import select
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from _pytest.runner import runtestprotocol


def pytest_runtestloop(session: pytest.Session) -> bool:
    """Answer requests until the input ends."""
    items = {item.nodeid: item for item in session.items}
    gc.collect()
    gc.freeze()  # otherwise the garbage collector of each child touches, and so copies, all pages
    with os.fdopen(int(os.environ["MUTATION_ANSWERS"]), "w") as answers:
        for line in sys.stdin:
            request = json.loads(line)
            tests = [items[test] for test in request["tests"] if test in items]
            answers.write(json.dumps(_noticed_by(session, request["mutant"], tests, request["seconds"])) + "\n")
            answers.flush()
    return True


def _noticed_by(session: pytest.Session, mutant: str, tests: Sequence[pytest.Item], seconds: float) -> str | None:
    """Run tests with the mutant until one fails, and return what noticed it; None if nothing did."""
    reading, writing = os.pipe()
    with tempfile.TemporaryDirectory() as folder:
        if not (pid := os.fork()):
            try:
                os.setsid()
                _run(session, mutant, tests, Path(folder), writing)
            finally:
                os._exit(1)
        os.close(writing)
        waiting = os.pidfd_open(pid)
        in_time, _, _ = select.select([waiting], [], [], seconds)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        os.close(waiting)
    with os.fdopen(reading) as pipe:
        failed = pipe.read() if select.select([pipe], [], [], 0)[0] else ""
    if failed:
        return failed
    if not in_time:
        return f"the time limit of {seconds:.0f} s"
    return None if status == 0 else f"the end of the process ({os.waitstatus_to_exitcode(status)})"


def _run(session: pytest.Session, mutant: str, tests: Sequence[pytest.Item], folder: Path, writing: int) -> None:
    """Run tests in a child process, and end it. The name of the first test that fails is written to the pipe."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in range(3):
        os.dup2(nowhere, descriptor)
    os.environ["MUTANT_UNDER_TEST"] = mutant
    factory = session.config._tmp_path_factory  # type: ignore[attr-defined]
    factory._basetemp = factory._given_basetemp = folder
    for test, following in zip(tests, [*tests[1:], None], strict=True):
        if any(report.failed for report in runtestprotocol(test, log=False, nextitem=following)):
            os.write(writing, test.nodeid.encode())
            os._exit(1)
    os._exit(0)
