"""Recognises lines that continue the line before: stack traces of Java, Python, Go, Node.js, .NET, Rust, Ruby, PHP, Elixir,
Erlang, Dart, Julia, OCaml, Lua, Swift and Zig, reports of sanitizers, the kernel and PostgreSQL.

To add a language, add the beginnings of its lines to `_CONTINUES`. If its traces contain free text or empty lines, add it to
`_language_of`.
"""

import re
from dataclasses import dataclass

from aletheia_operator.logs.forms.crashes import PROCESS
from aletheia_operator.text.batches import SERIOUS
from aletheia_operator.text.timestamps import NANOSECONDS, parse_nanoseconds

FAR_NANOSECONDS = 10 * NANOSECONDS  # lines of one trace are closer: a later line is something else
_MINUTE_LENGTH = len("2026-11-22T15:21")
_SECOND_LENGTH = len("2026-11-22T15:21:11")
_LONGEST = 1024  # characters of a line that are matched
_LONGEST_MESSAGE = 300
_CONTINUES = re.compile(
    r"[ \t]++\S|Caused by:(?: |$)|(?:Suppressed|Wrapped by): |#\d{1,6} |\.\.\. \d{1,9} more|--- End of "  # JVM, .NET
    r"|Node\.js v\d|\[\d{1,10}:0x[0-9a-f]{1,16}\] {1,8}\d{1,12} ms: |\}$|\[UnhandledPromiseRejection: "
    r"|(?:Traceback|Stack) \(most recent call last\)|> File \"|: [a-z]\w{0,40}\.[\w.$]{1,200}(?:Exception|Error): "
    r"|During handling of the above|The above exception was|\[rank\d{1,6}\]: "  # Python
    r"|(?:future|task|handle|protocol|transport|connector|client_session|asyncgen|source_traceback): [<\[]"  # asyncio
    r"|(?:(?:Previous )?(?:[Ww]rite|[Rr]ead|atomic \w{4,5})|Write|Read) (?:of size \d{1,9} )?at 0x"
    r"|Goroutine \d{1,20} \("  # races
    r"|goroutine \d{1,20} \[|created by |runtime stack:|\[signal |exit status \d{1,3}$|\[recovered\]"  # Go
    r"|[Ss]tack backtrace:|note: (?:run with|Some details)|thread panicked while "  # Rust
    r"|Location:$|Backtrace omitted\. |Run with \w{1,20}_BACKTRACE="
    r"|Stack trace:|\[(?:stacktrace|previous exception)\]|\"\}(?: \[\])? ?$|PHP (?:Stack trace:| {1,4}\d{1,4}\. )"
    r"|Next \S{1,100}(?:Exception|Error)\b"  # PHP
    r"|(?:\[[\w-]{1,60}\] )?(?:[\w-]{1,60} \([\w.]{1,30}\) )?[^\s:]{1,300}:\d{1,9}:in [`']"  # Ruby, Rails
    r"|coroutine \d{1,6}:$|Stacktrace:$|in expression starting at |Calls: \S|Full report at:$|(?:PC: @"
    r"|HasCallStack) "  # OpenResty, Julia, R
    r"|(?:Raised|Re-raised|Called|Raised by primitive operation) (?:at|from|by) |<asynchronous suspension>"  # OCaml, Dart
    r"|\*\*\* (?:Signal \d{1,3}: Backtracing |Program crashed: )|Thread \d{1,6}(?: \"[^\"\n]{0,100}\")? crashed:$"
    r"|\d{1,4} (?:\[\w{1,20}\] )?[^\s+][^+\n]{0,300} \+ \d{1,10} in \S"
    r"|Current stack trace:|\d{1,4} {1,8}\S{1,100} {1,40}0x[0-9a-f]"  # Swift
    r"|Backtrace(?: for this error)?:|={4} backtrace |={20,80}$|[^\s()]{1,300}\.nims?\(\d{1,9}\) "  # Fortran, UCX, Nim
    r"|-{8,40}$|-{3,10} (?:Native|JavaScript) stack (?:trace|frames?) -{3,10}$|[\w./-]{1,200}\.(?:erb|haml|slim):\d{1,9}$"
    r"|\S{1,300}:(?:\d{1,9}|\?) \S{1,300} \[0x"  # D
    r"|ORA-\d{5}: |At (?:line|[A-Z]|/)[^\s:]{0,300}:\d{1,9} char:"  # Oracle, PowerShell
    r"|Dumping heap to |Heap dump file created"
    r"|\[[0-9a-f-]{4,36}\] (?:\s{0,4}$|\s{1,8}\d{1,5}: |[A-Z][\w:]{1,100} \()"  # JVM, Rails
    r"|Backtrace for: #<|\d{1,4}: \(|unhandled condition in "  # SBCL
    r"|CUDA kernel errors might|For debugging consider passing CUDA|Compile with `TORCH_|Exception raised from |frame #\d"
    r"|\S{1,300}:\d{1,9}:\d{1,9}: 0x|\?\?\?:"  # Zig
    r"|(?:(?:main|runtime|net/http)\.|[\w-]{1,60}+\.[\w.-]{1,60}+/)[\w./()*\[\]-]{1,300}+$"  # functions in the stacks of zap
    r"|The last packet s|\(Background on this error at: |Please make sure your database server "  # MySQL, SQLAlchemy, Prisma
    r"|Server: \S{1,200} \(https?\)|Request: [A-Z]{3,8} /|Client #PID<"  # Plug, Elixir
    r"|BEGIN failed--|Compilation failed in require at |from \w{1,30} in [A-Z]|\S{1,300}\.go:\d{1,6} \(0x"  # Perl, Ecto, Gin
    r"|stack traceback:|CallStack \(from |\*\*\* Check failure stack trace"  # Lua, Haskell, glog
    r"|\*\* \S|(?:Last message|State|Function|Args|Ancestors|Initial Call|Start Call|Message Queue)\b[^:]{0,40}: "  # Erlang
    r"|[│╵] ?|[└┘╰╭]"  # boxes of Terraform and Julia
    r"|[A-Za-z_$][\w$]*+(?:[.:\\/]++[\w$]++)*+(?:(?<=Exception)|(?<=Error)|(?<=Throwable)|(?<=ExceptionInfo))(?::\s|$)"
)
_JVM_EXCEPTION = re.compile(r"(?:[a-z_][a-z0-9_]*+\.)++[A-Z$][\w$.]*+(?:(?<=Exception)|(?<=Error)|(?<=Throwable))(?:: |$)")
_EXCEPTION = re.compile(r"[A-Za-z_$][\w$.]*+(?:(?<=Exception)|(?<=Error)|(?<=Throwable))(?: \[\w{1,60}\])?(?:: |$)")
_POSTGRESQL = re.compile(r"[^\n]{0,200}?(?:DETAIL|HINT|STATEMENT|CONTEXT|QUERY|LOCATION):  ")
_GO = re.compile(
    r"\t|goroutine |created by |\[signal |exit status |runtime(?: stack:|: )|panic: |fatal error: |running tests:"
    r"|[\w./()*\[\]{}·…-]{1,300}\("
    r"|[a-z][a-z0-9]{1,6} {1,8}0x"
)
_JS_HEAD = re.compile(r"(?:node:[\w/-]{1,200}|(?:file://)?(?:/|[A-Z]:\\)\S{1,300}\.[cm]?[jt]sx?):\d{1,9}$")
_JS_ERROR = re.compile(r"(?:Uncaught )?[A-Za-z_$][\w$.]{0,100}(?<=Error)(?: \[\w{1,60}\])?(?:: |$)")
_SANITIZER = re.compile(
    r"READ |WRITE |0x|freed by|previously allocated|allocated by|SUMMARY: |==\d{1,10}==|Thread T|Shadow bytes|=>"
    r"|Indirect |Direct |HINT: |This frame|Address 0x|Memory access|The signal is|Hint: |AddressSanitizer|====="
)
_OOPS = re.compile(
    r"\[\s{0,8}\d{1,12}\.\d{1,9}\]\s{1,4}(?:#PF|Oops|CPU: |Hardware name|[A-Z0-9]{2,6}: |Code: |Call [Tt]race|Modules linked"
    r"|---\[|\s|\?|<|PGD|Workqueue|pc : |lr : |sp : |x\d{1,2} ?: |[a-z_][\w.]{0,80}\+0x|Tainted|Kernel "
    r"|end |note: |Internal error"
    r"|Rebooting)"
)
_OOPS_HEAD = re.compile(r"\[\s{0,8}\d{1,12}\.\d{1,9}\] (?:BUG: |Oops: |Kernel panic|general protection fault|Unable to handle)")
_REQUEST = re.compile(r"[A-Z]{3,8} \S{1,800} HTTP/\d|[A-Z][\w-]{1,60}: |/\S{1,300}\.go:\d{1,6} \(0x|\t")
"""Lines behind Gin's head: the request, its header, a panic behind an empty line, and frames."""
_PYTHON_ERROR = re.compile(r"[A-Za-z_][\w.]*+(?::|$)")


@dataclass
class Heads:
    """Finds the head of each line of one run: the line that it continues. Lines must come in order."""

    head: str | None = None
    """Timestamp of the last line that may have continuations."""
    serious: bool = False
    """Whether that line is an error."""
    warns: bool = False
    """Whether that line is a warning: an exception of the JVM right after it is part of it."""
    _before: str = ""
    _exception: str = ""  # class of the exception that is the head
    language: str = ""
    """Language of the trace that was begun; '' if there is none, or its lines are recognised without it.

    `message`: an error was logged, and its exception may follow with the same message.
    """
    _message: str = ""  # the end of the head, if its language is `message`
    _free_lines: int = 0  # number of next lines that may be free text of the head's message

    def begin(self, timestamp: str, serious: bool, line: str = "", *, warns: bool = False, message: str = "") -> None:
        """Begin with a line that may have continuations.

        `serious`: it is an error; `line` may then begin a trace. `warns`: it is a warning. `message`: of an error without a
        trace, in place of `line`.
        """
        self.head = self._before = timestamp
        self.serious, self.warns, self._exception = serious, warns, ""
        self.language = (line and _language_of(line)) or ("message" if line or message else "") if serious else ""
        self._message = (line or message)[-_LONGEST_MESSAGE:] if self.language == "message" else ""
        self._free_lines = int(self.language == "deno")

    def keeps(self, line: str) -> bool:
        """Return whether `line`, which has a head, belongs to the current trace. Call it only if `language` is set."""
        if self.language == "kernel":
            return _OOPS.match(line, 0, _LONGEST) is not None
        if self.language in ("js", "message") and _JS_ERROR.match(line, 0, _LONGEST):
            return self.language == "js" or self._repeats(line)
        if self.language == "message":
            return self._exception != "" and line[:2] == "  "
        if self.language == "go" and line.startswith("fatal error: "):  # behind a stack that is too large
            return True
        if self.language == "python" and line.startswith("Error: unhandled exception: "):  # Nim's head is like Python's
            return True
        return line[:1] == "\t" or line[:2] == "  "

    def head_of(self, line: str, timestamp: str, level: str | None = None) -> str | None:
        """Return the timestamp of the line that `line` continues; None if it continues none.

        `level`: of a crash's line, which continues only errors, or an exception after a warning; None for other lines.
        """
        if line[:1] == "(" and (process := PROCESS.match(line)):
            line = line[process.end() :]
        empty = not line or line.isspace()
        if empty and not self.serious:
            return None
        joins = self.head is not None and (level is None or self.serious or (self.warns and self._is_logged(line, timestamp)))
        again = bool(self._exception) and line.partition(":")[0] == self._exception
        if empty and self.language == "gin":
            self._free_lines = 1
        if joins and not again and (empty or self._continues(line)) and _near(self._before, timestamp):
            self._before = timestamp
            return self.head
        if empty:
            return None
        self.head, self.serious, self.warns, self.language, self._free_lines = None, False, False, "", 0
        if level is not None:
            self.begin(timestamp, level in SERIOUS or line[:20] == "Exception ignored in", line)  # Python's has a traceback
            if _EXCEPTION.match(line, 0, _LONGEST):
                self._exception = line.partition(":")[0]
            self._free_lines = int(line.endswith(":") or self.language in ("clojure", "js"))
        return None

    def _repeats(self, line: str) -> bool:
        """Return whether an exception has the message that ends its head, as loggers of Node.js write it."""
        message = line.partition(": ")[2]
        return message != "" and self._message.endswith(message)

    def _is_logged(self, line: str, timestamp: str) -> bool:
        """Return whether an exception was logged with the warning before it, and not printed by itself: in the same second."""
        second = slice(0, _SECOND_LENGTH)
        return self._before[second] == timestamp[second] and _JVM_EXCEPTION.match(line, 0, _LONGEST) is not None

    def _continues(self, line: str) -> bool:
        if self._free_lines:
            self._free_lines -= 1
            return True
        language = self.language
        if language == "go":
            return _GO.match(line, 0, _LONGEST) is not None
        if language == "kernel":
            return _OOPS.match(line, 0, _LONGEST) is not None
        if language == "gin":
            return _REQUEST.match(line, 0, _LONGEST) is not None
        if language == "powershell" and line[:2] == "+ ":
            return True
        if language == "js" and _JS_ERROR.match(line, 0, _LONGEST):
            return True
        if _CONTINUES.match(line, 0, _LONGEST):
            self.language = _language_of(line) or language
            self._free_lines = int(line == "Full report at:")
            return True
        if language == "python" and _PYTHON_ERROR.match(line, 0, _LONGEST):
            self.language = ""
            return True
        if language == "sanitizer":
            return _SANITIZER.match(line, 0, _LONGEST) is not None
        if language == "jvm" and line[:1] == "#":
            return True
        return line.find(":  ", 0, _LONGEST) >= 0 and _POSTGRESQL.match(line, 0, _LONGEST) is not None


_LANGUAGES = {
    "╭─": "python", "goroutine ": "go", "runtime stack:": "go", "panic: ": "go", "fatal error: ": "go",
    "runtime: goroutine": "go", "Traceback": "python", "  + Exception Group": "python", "thread ": "rust", "# ": "jvm",
    "Execution error (": "clojure", "Syntax error compiling": "clojure", "At ": "powershell",
    "error: Uncaught ": "deno",
}  # fmt: skip


def _language_of(line: str) -> str:
    """Return the language of the trace that begins with this line, if its traces contain free text; else ''."""
    for beginning, language in _LANGUAGES.items():
        if line.startswith(beginning):
            return language
    if line[:2] == "==" and "Sanitizer" in line[:80]:
        return "sanitizer"
    if line[:1] == "[":
        return "kernel" if line[1:2] in " 0123456789" and _OOPS_HEAD.match(line) else ""
    if ": panic serving " in line[:200]:
        return "go"
    if line[20:30] == "[Recovery]":
        return "gin"
    return "js" if line[-1:].isdigit() and _JS_HEAD.match(line, 0, _LONGEST) else ""


def _near(before: str, after: str) -> bool:
    if before[:_MINUTE_LENGTH] == after[:_MINUTE_LENGTH]:
        return True
    first, second = parse_nanoseconds(before.encode()), parse_nanoseconds(after.encode())
    return first is not None and second is not None and second - first <= FAR_NANOSECONDS
