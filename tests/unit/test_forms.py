"""What log lines state about themselves, by their form. All lines were written for this project."""

import orjson
import pytest

from aletheia_operator.logs.forms import MAX_PARSED, Recognised, recognise

LEVELS = [
    ('{"level":"info","ts":1700000000.1,"caller":"a.go:1","msg":"ERROR is only a word here"}', "INFO"),
    ('{"name":"api","hostname":"h","pid":1,"level":50,"msg":"boom","time":"2026-01-01T00:00:00Z","v":0}', "ERROR"),
    ('{"level":30,"time":1700000000000,"pid":1,"hostname":"h","msg":"listening"}', "INFO"),
    ('{"version":"1.1","host":"h","short_message":"m","level":3}', "ERROR"),
    ('{"t":{"$date":"2026-01-01T00:00:00.000+00:00"},"s":"W","c":"NETWORK","id":1,"ctx":"conn1","msg":"slow"}', "WARN"),
    ('{"time":"2026-01-01T00:00:00Z","level":"ERROR","msg":"failed","err":"x"}', "ERROR"),
    ('{"severity":"CRITICAL","message":"m"}', "FATAL"),
    ('{"@timestamp":"2026-01-01T00:00:00Z","log.level":"WARN","message":"m"}', "WARN"),
    ('{"@timestamp":"2026-01-01T00:00:00Z","log":{"level":"debug"},"message":"m"}', "DEBUG"),
    ('{"@t":"2026-01-01T00:00:00Z","@mt":"Hello {Name}","Name":"x"}', "INFO"),
    ('{"@t":"2026-01-01T00:00:00Z","@mt":"Hello","@l":"Fatal"}', "FATAL"),
    ('{"SeverityNumber":17,"Body":"m"}', "ERROR"),
    ('{"PRIORITY":"4","MESSAGE":"m"}', "WARN"),
    ('{"text":"m","record":{"level":{"name":"WARNING","no":30}}}', "WARN"),
    ('{"msg":"no level, though an ERROR is named"}', None),
    ('["ERROR"]', None),
    ('{"broken": "level":"error"', None),
    ('time="2026-01-01T00:00:00Z" level=warning msg="level=error" component=x', "WARN"),
    ("ts=2026-01-01T00:00:00Z lvl=dbug caller=a.go:1 msg=hello", "DEBUG"),
    ("time=2026-01-01T00:00:00.000Z level=ERROR msg=failed err=x", "ERROR"),
    ("2026-01-01T00:00:00Z level=info msg=hello", "INFO"),
    ("I0102 15:04:05.678901       1 server.go:42] ERROR in a message", "INFO"),
    ("E0102 15:04:05.678901       1 server.go:42] boom", "ERROR"),
    ("W20260102 15:04:05.678901 99 file.cc:7] careful", "WARN"),
    ("F260102 15:04:05.678901 12 kv/store.go:9  [n1] gone", "FATAL"),
    ("2026-01-01 00:00:00,123 INFO [main] org.example.App: started, no ERROR", "INFO"),
    ("2026-01-01 00:00:00,123 - WARN  [Thread[main,5,x]/127.0.0.1:2181:Follower@89] - slow", "WARN"),
    ("2026-01-01 00:00:00.123  INFO 1 --- [           main] o.e.App                 : Started", "INFO"),
    ("2026-01-01T00:00:00.123Z  WARN 1 --- [app] [nio-80-exec-1] o.e.App : slow", "WARN"),
    ("2026-01-01 00:00:00,123 - app - ERROR - boom", "ERROR"),
    ("WARNING:root:careful", "WARN"),
    ("ERROR:app.request:Internal Server Error: /x", "ERROR"),
    ("INFO:     Application startup complete.", "INFO"),
    ("[2026-01-01 00:00:00 +0000] [7] [INFO] Starting gunicorn", "INFO"),
    ("[2026-01-01 00:00:00,123: WARNING/MainProcess] retry", "WARN"),
    ("[2026-01-01 00:00:00,123] {taskinstance.py:1} ERROR - failed", "ERROR"),
    ("2026-01-01 00:00:00.123 | SUCCESS  | app.main:run:10 - done", "INFO"),
    ("2026-01-01 00:00:00.1234|ERROR|App.Startup|boom", "ERROR"),
    ("2026-01-01 00:00:00.123 +00:00 [INF] hello", "INFO"),
    ("[12:00:00 ERR] boom", "ERROR"),
    ("fail: App.Startup[0]", "ERROR"),
    ("info: App.Startup[0]", "INFO"),
    ("crit: App.Startup[0]", "FATAL"),
    ("2026-01-01T00:00:00.123Z\tinfo\tcontroller/main.go:1\tstarted\t{\"error\": \"none\"}", "INFO"),
    ("2026-01-01T00:00:00.123Z\tERROR\tsetup\tboom", "ERROR"),
    ("2026-01-01T00:00:00.123Z [WARN]  agent: slow: error=x", "WARN"),
    ("2026/01/01 00:00:00 INFO started count=3", "INFO"),
    ("2026/01/01 00:00:00 [error] 31#31: *1 open() failed, client: 10.0.0.1", "ERROR"),
    ("[Thu Jan 01 00:00:00.123456 2026] [core:error] [pid 1:tid 2] [client 10.0.0.1:5] AH00001: x", "ERROR"),
    ("[Thu Jan 01 00:00:00 2026] [notice] caught SIGTERM, error state", "INFO"),
    ("2026-01-01 00:00:00.123 UTC [1] LOG:  database system is ready", "INFO"),
    ('2026-01-01 00:00:00.123 UTC [44] app@db ERROR:  relation "x" does not exist', "ERROR"),
    ("2026-01-01 00:00:00.123 UTC [44] FATAL:  password authentication failed", "FATAL"),
    ("1:M 01 Jan 2026 00:00:00.123 * Ready to accept connections", "INFO"),
    ("1:M 01 Jan 2026 00:00:00.123 # WARNING overcommit_memory", "WARN"),
    ("2026-01-01T00:00:00.123+0000 E NETWORK  [conn1] boom", "ERROR"),
    ("[2026-01-01 00:00:00.123][1][warning][main] [source/server/server.cc:1] slow", "WARN"),
    ("2026-01-01T00:00:00.123456Z 0 [Warning] [MY-010068] [Server] CA certificate", "WARN"),
    ("2026-01-01  0:00:00 0 [Note] mysqld: ready", "INFO"),
    ("2026-01-01 00:00:00.123456+00:00 [error] <0.9.0> boom", "ERROR"),
    ("[2026-01-01T00:00:00,123][INFO ][o.e.n.Node               ] [node-1] started", "INFO"),
    ("[2026-01-01 00:00:00,123] INFO [Log partition=x] done (kafka.log.Log)", "INFO"),
    ("INFO  [main] 2026-01-01 00:00:00,123 StorageService.java:1 - up", "INFO"),
    ("INFO  [2026-01-01 00:00:00,123] org.example.App: up", "INFO"),
    ("01-Jan-2026 00:00:00.123 SEVERE [main] org.example.App.start boom", "ERROR"),
    ("SEVERE: boom", "ERROR"),
    ("12:00:00,123 ERROR [org.example] (main) boom", "ERROR"),
    ("I, [2026-01-01T00:00:00.123456 #1]  INFO -- : hello", "INFO"),
    ("[2026-01-01T00:00:00Z WARN  app::net] slow", "WARN"),
    ("\x1b[2m2026-01-01T00:00:00.123456Z\x1b[0m \x1b[32m INFO\x1b[0m app: hello", "INFO"),
    ("\x1b[36mINFO\x1b[0m[0000] hello                                        key=value", "INFO"),
    ("[ERROR] plugin/errors: 2 example.org. A: read udp", "ERROR"),
    ("[NOTICE] 001/000000 (1) : New worker forked", "INFO"),
    ("2026-01-01 00:00:00 +0000 [warn]: slow flush", "WARN"),
    ("[2026/01/01 00:00:00] [ info] [engine] started", "INFO"),
    ('[2026/01/01 00:00:00.123 +00:00] [ERROR] [server.go:1] ["boom"] [err=x]', "ERROR"),
    ("2026.01.01 00:00:00.123456 [ 1 ] {} <Error> Application: boom", "ERROR"),
    ("[01-Jan-2026 00:00:00] NOTICE: fpm is running, pid 1", "INFO"),
    ("[2026-01-01 00:00:00] production.ERROR: boom {}", "ERROR"),
    ("[Nest] 1  - 01/01/2026, 12:00:00 AM     LOG [NestFactory] Starting", "INFO"),
    ("[Nest] 1  - 01/01/2026, 12:00:00 AM   ERROR [Handler] boom", "ERROR"),
    ("12:00:00.123 [info] hello", "INFO"),
    ("[I 260101 00:00:00 web:1] 200 GET /", "INFO"),
    ("01-02 15:04:05.678  1702  2395 D Display: ERROR is a word", "DEBUG"),
    ("01-02 15:04:05.678  1702  2395 E Display: boom", "ERROR"),
    ("01-02 15:04:05.678  1702 14638 V Alarm/x: tick", "TRACE"),
    ("D/Display( 123): hello", "DEBUG"),
    ("2026-01-01 00:00:00, Info                  CBS    Loaded, no error", "INFO"),
    ("2026-01-01 00:00:00, Error                 CSI    boom", "ERROR"),
    ("- 1767225600 2026.01.01 R02-M1 2026-01-01-00.00.00.123456 R02-M1 RAS KERNEL INFO error corrected", "INFO"),
    ("APPREAD 1767225600 2026.01.01 R02-M1 2026-01-01-00.00.00.123456 R02-M1 RAS APP FATAL boom", "FATAL"),
    ("- 1767225600 2026.01.01 NULL 2026-01-01-00.00.00.123456 NULL RAS BGLMASTER FAILURE boom", "ERROR"),
    ("api.log.1.2026-01-01_00:00:00 2026-01-01 00:00:00.123 25746 INFO app.wsgi [req-1 a b - - -] GET", "INFO"),
    ("<11>Jan  2 15:04:05 host app[7]: boom", "ERROR"),
    ("<165>1 2026-01-01T00:00:00Z host app 7 ID47 [x@1 a=\"]\"] hello", "INFO"),
    ("<4>[   12.345678] usb 1-1: slow", "WARN"),
    ("Jan  2 15:04:05 host kubelet[7]: E0102 15:04:05.678901       7 kubelet.go:1] boom", "ERROR"),
    ("Jan  2 15:04:05 host sshd(pam_unix)[7]: authentication failure; error in it", None),
    ("Jan  2 15:04:05 host kernel: audit: ERROR is not the level", None),
    ('10.0.0.1 - - [01/Jan/2026:00:00:00 +0000] "GET /error HTTP/1.1" 500 12 "-" "ERROR"', None),
    ('[2026-01-01T00:00:00.123Z] "GET /ERROR HTTP/1.1" 503 - "-"', None),
    ("20260101-22:15:29:606|Step_LSC|30002312|onStandStepChanged ERROR", None),
    ("134681 node-246 unix.hw state_change.unavailable 1767225600 1 Component State: ERROR", None),
    ("2026-01-01 00:00:00 received ERROR frames from peer", None),
    ("2026/01/01 00:00:00 error connecting to x", None),
    ("3 ERROR frames were dropped", None),
    ("handled an ERROR without harm", None),
    ("the level=error flag was set by no one", None),
    ("INFORMATIVE text", None),
    ("", None),
    ("   ", None),
]  # fmt: skip


@pytest.mark.parametrize(("line", "level"), LEVELS)
def test_the_level_stands_in_its_own_place(line: str, level: str | None) -> None:
    """A level is found at its position in the form, and nowhere else."""
    assert recognise(line).level == level


@pytest.mark.parametrize(("line", "level"), [(line, level) for line, level in LEVELS if line.strip()])
def test_a_line_too_long_to_be_parsed_has_its_level_or_none(line: str, level: str | None) -> None:
    """It never has another level, and a line with a level does not continue another."""
    found = recognise(f"{line} {'x' * MAX_PARSED}")
    assert found.level in (level, None)
    assert found.formed or found.level is None


@pytest.mark.parametrize("head", ["level=warning msg=hello", "ts=1 level=warn", "2026-01-01T00:00:00Z level=warn"])
def test_pairs_at_the_head_of_a_long_line_are_read(head: str) -> None:
    """The level alone: a message of that length is not taken apart."""
    assert recognise(f"{head} a={'x' * MAX_PARSED}") == Recognised("WARN", formed=True)


SIX = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"]
SCALES = [
    pytest.param(
        "SeverityNumber", "", dict(zip(range(1, 25), [level for level in SIX for _ in range(4)], strict=True)), id="OTel"
    ),
    pytest.param("severityLevel", "", dict(enumerate(["TRACE", *SIX[2:]])), id="Application Insights"),
    pytest.param("levelno", "", dict(zip(range(10, 60, 10), SIX[1:], strict=True)), id="Python"),
    pytest.param("log_level", '"source":"s","data":{}', {0: "DEBUG", 1: "INFO", 2: "ERROR", 3: "FATAL"}, id="lager"),
    pytest.param("level", '"reqId":"r","app":"a"', dict(enumerate(SIX[1:])), id="Nextcloud"),
    pytest.param(
        "level", '"host":"h"', dict(enumerate(["FATAL"] * 3 + ["ERROR", "WARN", "INFO", "INFO", "DEBUG"])), id="syslog"
    ),
    pytest.param(
        "severity",
        '"logging":1',
        dict(zip(range(100, 900, 100), ["DEBUG", "INFO", "INFO", "WARN", "ERROR", "FATAL", "FATAL", "FATAL"], strict=True)),
        id="Google",
    ),
    pytest.param("level", '"channel":"c"', dict(zip(range(100, 700, 100), [*SIX[1:], "FATAL"], strict=True)), id="Monolog"),
    pytest.param("level", '"v":0', dict(zip(range(10, 70, 10), SIX, strict=True)), id="bunyan, pino"),
    pytest.param("level", '"count":7', {}, id="not of a log"),
]


@pytest.mark.parametrize(("key", "others", "scale"), SCALES)
def test_numbers_are_levels_of_their_librarys_scale(key: str, others: str, scale: dict[int, str]) -> None:
    """From the lowest to the highest; a number beyond either end is no level."""
    *_, second, top = scale or (30, 40)
    ends = [min(scale, default=second) - 1, 2 * top - second]
    for number in [*scale, *ends]:
        line = f'{{"{key}":{number}' + (f",{others}}}" if others else "}")
        assert recognise(line).level == scale.get(number), line


@pytest.mark.parametrize(
    ("tags", "level"),
    [('["error"]', "ERROR"), ('["a","b",7,"warning"]', "WARN"), ('["a","b","c","d","error"]', None), ("[]", None)],
)
def test_a_level_among_tags(tags: str, level: str | None) -> None:
    """Kibana's level is among the first four."""
    assert recognise(f'{{"type":"log","tags":{tags},"message":"m"}}').level == level


PARTS = [
    (
        "2026-01-01 00:00:00.123456 E | etcdserver: gone",
        "gone",
        {"time": "2026-01-01 00:00:00.123456", "logger": "etcdserver"},
    ),
    (
        "2026-01-01T00:00:00.123+0000 W  CONTROL  [initandlisten] open",
        "open",
        {"time": "2026-01-01T00:00:00.123+0000", "logger": "CONTROL", "thread": "initandlisten"},
    ),
    ("E (1234) wifi: gone", "gone", {"time": "1234", "logger": "wifi"}),
    ("2026-01-01 00:00:00 UTC | TRACE | INFO | (a.go:1) | on", "on", {"time": "2026-01-01 00:00:00", "source": "a.go:1"}),
    ("2026-01-01 00:00:00,072:ERROR:app.db:gone", "gone", {"time": "2026-01-01 00:00:00,072", "logger": "app.db"}),
    ('2026-01-01T00:00:00Z {"level":"error","msg":"gone","code":7}', "gone", {"code": 7}),
    ('{"level":"error","value":NaN,"msg":"half a \\ud83d"}', "half a \ufffd", {"value": None}),
    ("<3>gone", "gone", None),
    ("Traceback (most recent call last):", None, None),
    ('{"level":"info","msg":"hello","user":7}', "hello", {"user": 7}),
    ('level=info msg="a \\"b\\"" user=7', 'a "b"', {"user": "7"}),
    (
        'I0102 15:04:05.678901       1 server.go:42] "Pod started" pod="a/b" count=3',
        "Pod started",
        {"time": "0102 15:04:05.678901", "pid": "1", "source": "server.go:42", "pod": "a/b", "count": "3"},
    ),
    (
        "2026-01-01 00:00:00,123 INFO [main] org.example.App: started",
        "started",
        {"time": "2026-01-01 00:00:00,123", "thread": "main", "logger": "org.example.App"},
    ),
    (
        "2026-01-01 00:00:00.123  INFO 1 --- [           main] o.e.App                 : Started",
        "Started",
        {"time": "2026-01-01 00:00:00.123", "pid": "1", "thread": "main", "logger": "o.e.App"},
    ),
    (
        "<11>Jan  2 15:04:05 host app[7]: boom",
        "boom",
        {"time": "Jan  2 15:04:05", "host": "host", "program": "app", "pid": "7"},
    ),
    (
        '10.0.0.1 - bob [01/Jan/2026:00:00:00 +0000] "GET /x HTTP/1.1" 200 12 "-" "curl"',
        "GET /x HTTP/1.1",
        {
            "client": "10.0.0.1", "user": "bob", "time": "01/Jan/2026:00:00:00 +0000", "method": "GET", "path": "/x",
            "protocol": "HTTP/1.1", "status": 200, "bytes": 12, "user_agent": "curl",
        },
    ),
]  # fmt: skip


@pytest.mark.parametrize(("line", "message", "fields"), PARTS)
def test_message_and_fields_are_told_apart(line: str, message: str, fields: dict[str, object]) -> None:
    """What belongs to the message is in the message, and the rest in fields by the form's names."""
    found = recognise(line)
    read = orjson.loads(orjson.dumps(found.fields))
    assert (found.message, read) == (message, fields)


@pytest.mark.parametrize("head", ["<14>Jan  2 15:04:05 host app[7]: ", "2026-01-02T15:04:05.678901+00:00 host app[7]: ", "<6>"])
@pytest.mark.parametrize("line", [line for line, _ in LEVELS if line.strip() and not line.startswith(("<", "Jan "))])
def test_a_syslog_head_hides_nothing_of_the_line_behind_it(line: str, head: str) -> None:
    """A program that logs to syslog has the message, fields and level that it has alone; a priority is no level."""
    alone, behind = recognise(line), recognise(head + line)
    assert behind.message == (line if alone.message is None else alone.message)
    assert behind.level == (alone.level or ("INFO" if head.startswith("<") else None))
    assert orjson.loads(orjson.dumps(behind.fields or {})).items() >= orjson.loads(orjson.dumps(alone.fields or {})).items()
    assert behind.formed


@pytest.mark.parametrize(
    "line",
    [
        "[" * 60_000,
        "1 " * 30_000,
        "a.b " * 15_000,
        '{"a":' * 10_000,
        'a="' * 20_000,
        "RAS " * 15_000,
        "<1>" * 20_000,
        "x" * (MAX_PARSED + 1),
    ],
)
def test_hostile_lines_take_no_more_time_than_others(line: str) -> None:
    """Lines that exploit regular expressions are recognised as no form."""
    assert recognise(line).level is None
