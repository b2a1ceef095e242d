"""Random PromQL as people and attackers write it: odd spaces, comments, quotes, keywords as names."""

import random

METRICS = ("load", "up", "http_requests_total", "job:load:rate5m", "and", "sum", "offset", "by", "start", "infinite", "max")
LABELS = ("job", "instance", "namespace", "by", "on", "le", "__name__x")
VALUES = ("", "a", "other", "shop", ".+", 'quoted"', "single'", "back\\\\slash", "br{ace}", "# no comment", "é", ") or load{")
AGGREGATORS = ("sum", "avg", "count", "MAX", "group", "stddev")
RANGE_FUNCTIONS = ("rate", "increase", "max_over_time", "count_over_time", "absent_over_time", "deriv")
FUNCTIONS = ("abs", "ceil", "absent", "sort", "timestamp", "histogram_count")
OPERATORS = ("+", "-", "*", "/", "%", "^", "==", "!=", "<", ">=", "and", "or", "unless", "atan2", "AND")
DURATIONS = ("5m", "1h30m", "15s", "1d", "90s", "1ms")
NUMBERS = ("0", "1", "1.5", ".5", "1e3", "0x1F", "Inf", "NaN", "5e-3")


class Writer:
    """Writes random queries from a seed. `utf8`: also with names that only Prometheus 3 accepts."""

    def __init__(self, seed: int, utf8: bool = False) -> None:
        self.random = random.Random(seed)
        self.utf8 = utf8

    def query(self, depth: int = 4) -> str:
        return self.vector(depth)

    def vector(self, depth: int) -> str:
        if depth <= 0:
            return self.selector()
        make = self.random.choice(
            (
                self.selector,
                self.modified,
                self.call,
                self.range_call,
                self.aggregation,
                self.binary,
                self.bracketed,
                self.other,
            )
        )
        return make() if make in (self.selector, self.modified) else make(depth - 1)  # type: ignore[call-arg]

    def space(self, least: str = "") -> str:
        return self.random.choice((least, least, least or "", " ", "\n", "\t ", ' # } or "comment\n', " # it's\r\n")) or least

    def string(self, value: str) -> str:
        quote = self.random.choice("\"'`")
        if quote == "`" and "`" not in value:
            return f"`{value}`"
        quote = quote if quote != "`" else '"'
        text = value.replace("\\", "\\\\").replace(quote, "\\" + quote)
        if self.random.random() < 0.2:
            text = text.replace("a", "\\x61").replace("é", "\\xc3\\xa9").replace("o", "\\u006f").replace("l", "\\154")
        return f"{quote}{text}{quote}"

    def matchers(self) -> str:
        found = []
        for _ in range(self.random.randint(1, 3)):
            label = self.random.choice(LABELS)
            if self.utf8 and self.random.random() < 0.2:
                label = self.string(self.random.choice(("with space", "µ.dot", label)))
            operator = self.random.choice(("=", "!=", "=~", "!~"))
            value = self.random.choice(VALUES if "~" not in operator else ("a|b", ".+", "x.*", "[a-z]{1,2}", "\\\\d+"))
            found.append(f"{self.space()}{label}{self.space()}{operator}{self.space()}{self.string(value)}{self.space()}")
        found.append(f'job{self.random.choice(("=", "!="))}"x"')
        return "{" + ",".join(found) + self.random.choice(("", ",", " , ")) + "}"

    def selector(self) -> str:
        kind = self.random.random()
        name = self.random.choice(METRICS)
        if kind < 0.5:
            return name
        if kind < 0.8:
            return name + self.space() + self.matchers()
        return self.matchers()

    def modified(self) -> str:
        text = self.selector()
        for part in self.random.sample(("offset", "@"), self.random.randint(0, 2)):
            if part == "offset":
                text += f"{self.space(' ')} offset {self.random.choice(('', '-', '- '))}{self.random.choice(DURATIONS)}"
            else:
                text += f"{self.space(' ')} @ {self.random.choice(('1763000000', '-1', '0.5', 'start()', 'end ( )'))}"
        return text

    def matrix(self, depth: int) -> str:
        duration = self.random.choice(DURATIONS)
        if depth > 0 and self.random.random() < 0.4:
            step = self.random.choice(("", *DURATIONS))
            return f"({self.vector(depth - 1)})[{duration}{self.space()}:{self.space()}{step}]"
        return f"{self.selector()}{self.space()}[{self.space()}{duration}{self.space()}]"

    def call(self, depth: int) -> str:
        return f"{self.random.choice(FUNCTIONS)}{self.space()}({self.vector(depth)}{self.space()})"

    def range_call(self, depth: int) -> str:
        return f"{self.random.choice(RANGE_FUNCTIONS)}({self.space()}{self.matrix(depth)})"

    def grouping(self) -> str:
        labels = ",".join(self.random.sample(LABELS, self.random.randint(0, 2)))
        return f"{self.random.choice(('by', 'without', 'BY'))}{self.space()}({labels})"

    def aggregation(self, depth: int) -> str:
        name = self.random.choice(AGGREGATORS)
        inner = f"({self.vector(depth)})"
        if self.random.random() < 0.2:
            return f"count_values{self.space()}({self.string('shop')},{self.vector(depth)})"
        if self.random.random() < 0.2:
            return f"topk({self.random.choice(NUMBERS)},{self.vector(depth)}){self.random.choice(('', self.grouping()))}"
        return self.random.choice((name + inner, f"{name} {self.grouping()}{inner}", f"{name}{inner} {self.grouping()}"))

    def binary(self, depth: int) -> str:
        operator = self.random.choice(OPERATORS)
        modifier = ""
        if operator in ("==", "!=", "<", ">=") and self.random.random() < 0.5:
            modifier = " bool"
        if self.random.random() < 0.4:
            modifier += f" {self.random.choice(('on', 'ignoring'))}{self.space()}(job, instance)"
            if operator.lower() not in ("and", "or", "unless") and self.random.random() < 0.6:
                group = self.random.choice(("group_left", "group_right", "GROUP_LEFT"))
                modifier += f" {group}{self.random.choice(('', '()', '(le)'))}"
        return f"{self.vector(depth)}{self.space(' ')} {operator}{modifier} {self.vector(depth)}"

    def bracketed(self, depth: int) -> str:
        return f"({self.space()}{self.vector(depth)}{self.space()})"

    def other(self, depth: int) -> str:
        return self.random.choice(
            (
                f"-{self.vector(depth)}",
                f"{self.vector(depth)} * {self.random.choice(NUMBERS)}",
                f"vector({self.random.choice(NUMBERS)}) + {self.vector(depth)}",
                f"label_replace({self.vector(depth)}, {self.string('job')}, {self.string('$1')}, 'job', '(.*)')",
                f"histogram_quantile(0.9, {self.vector(depth)})",
                f"clamp({self.vector(depth)}, 0, scalar({self.vector(depth)}))",
            )
        )
