"""Crash messages: lines without a level that are errors by their form.

FATAL if the process has certainly ended, ERROR if the error may have been caught. To add one, add its beginning to
`_BEGINNINGS`, or a pattern and its place in `_level_by_pattern`.
"""

import re

from aletheia_operator.logs.forms.recognised import HEAD_LENGTH, KEY_LENGTH, Recognised, by_key

_BEGINNINGS = {
    "Traceback (most recent call last)": "ERROR", "Exception in thread ": "ERROR", "Exception ignored in": "WARN",
    "Unhandled exception. ": "FATAL", "Unhandled exception:": "FATAL", "Unhandled Exception:": "FATAL",
    "Unhandled exception at ": "FATAL", "Uncaught exception": "ERROR", "Unhandled rejection ": "ERROR",
    "Unhandled promise rejection": "ERROR", "Uncaught Exception": "ERROR",
    "runtime: out of memory": "FATAL",
    "runtime: goroutine stack exceeds": "FATAL",
    "SIGSEGV: segmentation violation": "FATAL", "SIGABRT: abort": "FATAL", "SIGQUIT: quit": "FATAL", "SIGILL: illegal": "FATAL",
    "unexpected fault address": "FATAL", "SIGBUS: bus error": "FATAL", "SIGFPE: floating-point": "FATAL",
    "Segmentation fault": "FATAL", "Fatal Python error: ": "FATAL", "Bus error": "FATAL",
    "Illegal instruction": "FATAL", "Floating point exception": "FATAL", "Aborted (core dumped)": "FATAL",
    "panic(main thread): ": "FATAL", "Aborting on shard ": "FATAL",  # Bun, Seastar
    "terminate called ": "FATAL", "libc++abi: terminating": "FATAL", "libc++abi.dylib: terminating": "FATAL",
    "pure virtual method called": "FATAL",
    "*** stack smashing detected ***": "FATAL", "*** buffer overflow detected ***": "FATAL",
    "double free or corruption": "FATAL",
    "free(): ": "FATAL", "malloc(): ": "FATAL", "malloc_consolidate(): ": "FATAL", "munmap_chunk(): ": "FATAL",
    "corrupted size vs. prev_size": "FATAL", "corrupted double-linked list": "FATAL", "realloc(): ": "FATAL",
    "# A fatal error has been detected by the Java Runtime": "FATAL", "Terminating due to java.lang.": "FATAL",
    "# There is insufficient memory for the Java Runtime": "FATAL", "Aborting due to java.lang.": "FATAL",
    "java.lang.OutOfMemoryError": "ERROR", "<--- Last few GCs --->": "FATAL", "<--- JS stacktrace --->": "FATAL",
    "Out of memory: Kill": "ERROR", "Memory cgroup out of memory: Kill": "ERROR", "oom-kill:": "ERROR", "oom_reaper: ": "ERROR",
    "Kernel panic - ": "FATAL", "BUG: unable to handle": "FATAL", "BUG: kernel ": "FATAL", "general protection fault": "FATAL",
    "Oops: ": "FATAL", "OOMKilled": "FATAL", "Out of memory (": "FATAL",
    "Crash dump is being written to": "FATAL", "Crash dump was written to": "FATAL", "init terminating in do_boot": "FATAL",
    "Kernel pid terminated": "FATAL", "Runtime terminating during boot": "FATAL", "eheap_alloc: Cannot allocate": "FATAL",
    '{"Kernel pid terminated"': "FATAL", '{"init terminating in do_boot"': "FATAL", "escript: exception": "ERROR",
    "Stack overflow.": "FATAL", "Process terminated.": "FATAL", "The application panicked (crashed).": "FATAL",
    "memory allocation of ": "FATAL", "ERROR: LoadError: ": "ERROR", "Task timed out after ": "ERROR",
    "terminating with uncaught exception": "FATAL", "thread panicked while ": "FATAL", "fatal runtime error: ": "FATAL",
    "Fatal error. ": "FATAL", "Fatal glibc error: ": "FATAL", "Execution error (": "ERROR",
    "Syntax error compiling at": "ERROR",
    "Exception: java.": "ERROR",
    "Task exception was never retrieved": "ERROR", "Program received signal SIG": "FATAL",
    "qemu: uncaught target signal ": "FATAL", "*** Aborted at ": "FATAL", "*** SIG": "FATAL", "Killed: 9": "FATAL",
    "signal: killed": "FATAL", "kernel BUG at ": "FATAL", "Internal error: Oops": "FATAL", "Caught signal 11": "FATAL",
    "  + Exception Group Traceback": "ERROR", "CallStack (from HasCallStack)": "ERROR", "[UnhandledPromiseRejection": "ERROR",
    **{f"{code}-{digit}": "ERROR" for code in ("ORA", "TNS", "RMAN", "PLS") for digit in range(4)},  # of Oracle
    "Guru Meditation Error: ": "FATAL", "assert failed: ": "FATAL", "abort() was called at PC ": "FATAL",
    "Segmentation fault: 11": "FATAL", "Unable to handle kernel ": "FATAL",
    "Unhandled Rejection at: ": "ERROR", "uncaughtException: ": "ERROR", "UnhandledPromiseRejection: ": "ERROR",
    "signal: segmentation fault": "FATAL", "signal: aborted": "FATAL", "signal: bus error": "FATAL",
    "signal: illegal instruction": "FATAL",
    "rails aborted!": "ERROR", "rake aborted!": "ERROR", "Internal Server Error: /": "ERROR",
    "Puma caught this error: ": "ERROR",
    "!!! uWSGI process ": "FATAL", "DAMN ! worker ": "ERROR", "Unrecognized VM option": "FATAL",
    "failed to start daemon: ": "FATAL", "runc create failed: ": "ERROR", "OCI runtime create failed: ": "ERROR",
    "OCI runtime exec failed: ": "ERROR", "failed to create shim task: ": "ERROR",
    "failed to create task for container: ": "ERROR", "{error_logger,{{": "ERROR",
}  # fmt: skip
_OOM_KILLER = re.compile(r"[\w./:-]{1,60} invoked oom-killer: ")
_JOB = re.compile(r"\[\d{1,4}\][+-]? {1,8}(?:\d{1,10} )?(?:[Kk]illed|[Ss]egmentation fault|[Aa]borted|[Aa]bort|[Bb]us error)\b")
_LUA = re.compile(r"lua(?:jit|\d(?:\.\d)?)?: [^\s:]{1,300}:\d{1,9}: ")
_WHOLE = {
    "Killed": "FATAL",
    "Aborted": "FATAL",
    "Terminated": None,
    "Trace/breakpoint trap": "FATAL",
    "Out of memory": "FATAL",
    "Fatal error:": "FATAL",
    "Error:": "ERROR",
}
_BY_KEY = by_key(_BEGINNINGS)

_MUST_END = frozenset({"Segmentation fault", "Bus error", "Illegal instruction", "Floating point exception"})  # or in brackets
_THREAD = re.compile(
    r"thread (?:'[^'\n]{0,200}' (?:\(\d{1,12}\) )?panicked at |\d{1,12} panic: )|(?:thread|Thread) \S{1,100} panicked at "
)
_EXCEPTION = re.compile(
    r"(?:Uncaught (?:\(in promise\) )?|Caught: )?(?!(?:Error|Exception|Throwable)(?:$|: $))"
    r"(?:[A-Za-z_]\w{0,100}+(?:[.:\\/$]{1,2}+\w{1,100}+){1,20}+|[A-Z]\w{0,100}+)"
    r"(?:(?<=Error)|(?<=Exception)|(?<=Throwable))(?: \[\w{1,60}\])?(?:: |$| \([^\n]{1,300}\):$)"
)  # fmt: skip
_UNCAUGHT = re.compile(r"Uncaught (?:\(in promise\) )?(?:[\w.\\]{0,100}?)(?:Error|Exception): |Error \[\w{1,60}\]: ")
_JS_PLACE = re.compile(
    r"(?:node:[\w/-]{1,200}|(?:file://)?(?:/|[A-Z]:\\)\S{1,300}\.[cm]?[jt]sx?):\d{1,9}$"
)  # before an uncaught error
_ENDS = frozenset({"rror", "tion", "able"})
_RUBY = re.compile(r"[^\s:]{1,300}:\d{1,9}:in [`'][^'\n]{1,200}': [^\n]{0,400} \([A-Z][\w:]{1,100}\)$")
_RUBY_BUG = re.compile(r"[^\s:]{1,300}:\d{1,9}: \[BUG\] ")
_PERL = re.compile(  # messages of perldiag that end the program
    r"(?:Died|Can't |Cannot |Could not |Undefined subroutine|Illegal |Modification of a read|Not (?:an? )?[A-Z]{4,6} ref"
    r"|Global symbol"
    r"|Bareword |BEGIN failed|Compilation failed|Division by|syntax error|panic: )[^\n]{0,400}? at [^\s]{1,200}\.(?:p[lm]"
    r"|psgi|t|cgi) line \d{1,9}\.$"
)
_ENDED = re.compile(
    r"#<Thread:0x[^\n>]{1,200}> terminated with exception |Process [A-Z][\w:]{1,60}-[\d:]{1,20}:$"
)  # Ruby, Python
_OTHERS = re.compile(
    r"(?P<powershell>[A-Z][a-z]{1,15}-[A-Z]\w{1,40} : [A-Z])"
    r"|(?P<d>[\w.]{1,100}(?:Error|Exception)@[\w./\\-]{1,200}\(\d{1,9}\): )"
    r"|Unhandled [A-Z-]{3,60} in thread #<|[\w.-]{1,60}: Uncaught exception [\w.:-]{1,200}:$"  # SBCL, Haskell
    r"|(?P<prelude>[\w.-]{1,60}: Prelude\.\S{1,60}: )"
)
_OF_RAILS = re.compile(r"(?:ActiveRecord|ActionController|ActionView|ActiveModel|PG|Mysql2|Net)(?:::[A-Z]\w{1,60}){1,3}: ")
_NAMED = re.compile(
    r"(?:\[[A-Za-z][\w./@-]{0,40}\] ){1,3}[A-Z]\w{0,60}[a-z\d](?:Error|Exception): \S"
)  # behind names in brackets
_RICH = re.compile(r"╭─{1,80} Traceback \(most recent call last\) ")
_ELIXIR = re.compile(r"\*\* \((?:[A-Z][\w.]{0,100}|EXIT from [^\n]{1,60}|exit|throw|stop)\) ")
_SHELL = re.compile(
    r"[^\s:]{1,300}: line \d{1,6}: {1,8}\d{1,10} (?:Killed|Segmentation fault|Aborted|Bus error|Illegal instruction)\b"
)
_SANITIZER = re.compile(r"[\w./+-]{1,300}:\d{1,9}:\d{1,9}: runtime error: ")  # of undefined behaviour
_ASSERTION = re.compile(r"(?:[\w./-]{1,100}: )?[\w./+-]{1,300}:\d{1,9}: [^\n]{1,300}: Assertion [`'][^\n]{1,400}' failed\.")
_KERNEL = re.compile(
    r"\[\s{0,8}\d{1,12}\.\d{1,9}\] (?:(?:\w[\w./:-]{0,60}(?:\[\d{1,10}\])?): segfault at |(?=[A-Zo<pb]|BUG|general))(?:"
    r"(?P<oom>(?:Memory cgroup out of memory|Out of memory): Kill|\w{1,40} invoked oom-killer|oom-kill:)"
    r"|(?P<disk>(?:EXT[234]-fs|F2FS-fs|BTRFS:?|(?:blk_update_request|print_req_error): (?:\w{1,20} )?I/O) error\b"
    r"|Buffer I/O error on )"
    r"|(?P<panic>Kernel panic|BUG: |Oops: |general protection fault))?"
)
_HTTP_PANIC = re.compile(
    r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d(?:\.\d{1,6})? (?:[\w./-]{1,80}:\d{1,6}: )?(?:http|http2): panic serving "
)
_GO_PANIC = re.compile(r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d(?:\.\d{1,6})? (?:[\w./-]{1,80}:\d{1,6}: )?panic: ")
_TIMED_OUT = re.compile(  # AWS Lambda, mysqld, mongorestore
    r"\d{4}-\d\d-\d\dT[\d:.]{8,15}(?:Z (?:[0-9a-f-]{36} Task timed out after |(?P<signal>UTC - \w{2,20} got signal \d))"
    r"|[+-]\d{4}\t(?:Failed: |error \w{3,20}ing ))"
)
_SINATRA = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d - (?:[A-Z]\w{0,60}::){0,4}[A-Z]\w{0,60}Error - ")
_RECOVERY = re.compile(r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d \[Recovery\] [\d/ :-]{10,30} panic recovered:")  # Gin
_RANK = re.compile(r"\[rank\d{1,6}\]: ?")
PROCESS = re.compile(r"\((?:[\w:.]{1,60} )?pid=\d{1,10}(?:, ip=[\w.:]{1,60})?\) ")
"""What Ray and vLLM write before each line of a process."""


def read_crash(line: str) -> Recognised | None:
    """Read a crash's line. It is not `formed`: a traceback may belong to the error that was logged before it."""
    level = _level(line)
    return None if level is None else Recognised(level)


def _level(line: str) -> str | None:
    for beginning, level in _BY_KEY.get(line[:KEY_LENGTH], ()):
        if line.startswith(beginning) and (beginning not in _MUST_END or line[len(beginning) :] in ("", " (core dumped)", ".")):
            return level
    first = line[:1]
    if first == "t" or first == "T":
        if _THREAD.match(line, 0, HEAD_LENGTH):
            return "FATAL"
    elif first == "*":
        return "ERROR" if _ELIXIR.match(line, 0, HEAD_LENGTH) else None
    elif first == "[":
        return _level_in_brackets(line)
    elif first.isdigit():
        return _level_after_time(line)
    elif first == "(" and (process := PROCESS.match(line)):
        return _level(line[process.end() : process.end() + HEAD_LENGTH])
    elif first == "╭":
        return "ERROR" if _RICH.match(line, 0, HEAD_LENGTH) else None
    if len(line) < 30 and (whole := _WHOLE.get(line.rstrip())):
        return whole
    return _level_by_pattern(line)


def _level_in_brackets(line: str) -> str | None:
    if line[:5] == "[rank" and (rank := _RANK.match(line)) and line[rank.end() : rank.end() + 5] != "[rank":
        return _level(line[rank.end() : rank.end() + HEAD_LENGTH])
    if _JOB.match(line, 0, HEAD_LENGTH):
        return "FATAL"
    if line[1:2].isalpha() and _NAMED.match(line, 0, HEAD_LENGTH):
        return "ERROR"
    match = _KERNEL.match(line, 0, HEAD_LENGTH)
    if match is None:
        return None
    if match["panic"]:
        return "FATAL"
    return "ERROR" if match["oom"] or match["disk"] or "segfault at " in match[0] else None


def _level_after_time(line: str) -> str | None:
    if line[4:5] == "/":
        if line.find("panic", 0, HEAD_LENGTH) < 0:
            return None
        if _HTTP_PANIC.match(line, 0, HEAD_LENGTH) or _RECOVERY.match(line):
            return "ERROR"
        return "FATAL" if _GO_PANIC.match(line, 0, HEAD_LENGTH) else None
    if line[19:22] == " - " and _SINATRA.match(line, 0, HEAD_LENGTH):
        return "ERROR"
    if line[10:11] == "T" and (match := _TIMED_OUT.match(line, 0, HEAD_LENGTH)):
        return "FATAL" if match["signal"] else "ERROR"
    return None


def _level_by_pattern(line: str) -> str | None:
    head = line[:HEAD_LENGTH]
    if head[-1:].isdigit():
        if _JS_PLACE.match(head):
            return "FATAL"
        if head[:12] == "Deprecated: " and " on line " in head[-20:]:  # PHP
            return "WARN"
    if head[-1:] == "." and " line " in head[-20:] and _PERL.match(head):
        return "ERROR"
    if head[-1:] == ":" and (head[:8] == "Process " or head[:9] == "#<Thread:") and _ENDED.match(head):
        return "ERROR"
    if ": " not in head and head[-4:] not in _ENDS and head[-2:] != "):":
        return None
    if ("xception" in head or " : " in head or "@" in head or ": Prelude." in head or head[:9] == "Unhandled") and (
        match := _OTHERS.match(head)
    ):
        return "ERROR" if match.lastgroup else "FATAL"
    if "rror" in head or "xception" in head or "hrowable" in head:
        if _EXCEPTION.match(head) or _UNCAUGHT.match(head):
            return "ERROR"
        if head[-1:] == ")" and _RUBY.match(head):
            return "ERROR"
    if head[-1:] == ")" and ":in " in head and _RUBY.match(head):  # of a class with another name
        return "ERROR"
    if ": [BUG] " in head and _RUBY_BUG.match(head):
        return "FATAL"
    if " invoked oom-killer: " in head and _OOM_KILLER.match(head):
        return "ERROR"
    if "::" in head[:20] and _OF_RAILS.match(head):
        return "ERROR"
    if head[:3] == "lua" and _LUA.match(head):
        return "ERROR"
    if ": runtime error: " in head and _SANITIZER.match(head):
        return "ERROR"
    if ": line " in head and _SHELL.match(head):
        return "FATAL"
    if head[-1:] == "." and ": Assertion " in head and _ASSERTION.match(head):
        return "FATAL"
    return None
