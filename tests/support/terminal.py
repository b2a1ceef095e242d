"""Programs that ask for a password on their terminal."""

import os
import pty
import select

SECONDS = 60


def on_a_terminal(command: list[str], password: str) -> bytes:
    """Return the output of a program that asks for a password on its terminal one or more times."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(command[0], command)
    output, asked = b"", 0
    while select.select([terminal], [], [], SECONDS)[0]:
        try:
            part = os.read(terminal, 65536)
        except OSError:  # the program has ended
            break
        output += part
        while output.count(b"passphrase") > asked and output.rstrip().endswith(b":"):
            asked = output.count(b"passphrase")
            os.write(terminal, password.encode() + b"\n")
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0, output
    return output
