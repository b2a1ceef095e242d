"""Messages between the operator and the template of the worker processes."""

import struct

REQUEST = struct.Struct("<ci")
"""What to do, and the process id of a worker; 0 for START."""
ANSWER = struct.Struct("<i")
START, END, KILL = b"s", b"e", b"k"
