"""Tells expressions of programs from passwords of the same shape by their words: `$args[:password]`, but not `$tate[:ohio]`."""

from aletheia_operator.redact.names import kind_of
from aletheia_operator.redact.patterns import byte_words, compiled

_DOUBTFUL = r"\[(?::|\$\w+[+-]\d)|\[\d+\]\.|!\(|\(:|^\$[a-z_]+\d\w*\["
"""What passwords have too: `$a[$b+1]`, `$tate[:ohio]`, `$a[1].b`, `foo.bar!(x)`, `foo.bar(:sym)`, `$hunter2[0]`."""
_SOURCES = byte_words(
    """
    arg args argv arr array cfg conf config configuration ctx data dict env environ fields form input inputs item items list map
    matches opt option options opts param params parts prop props req request result results row rows session setting settings
    state store values var vars vault i j k n idx index pos
    concat decode decrypt fetch find format get include load lookup option parse read require try unwrap
    """
)
"""Words of variables and functions that programs get settings from, and of indexes."""


def is_doubtful(expression: bytes) -> bool:
    """Return whether passwords have the shape of an expression too, and no word in it names a secret or a source of one."""
    if compiled(_DOUBTFUL).search(expression) is None:
        return False
    for name in compiled(r"[A-Za-z_]\w*").finditer(expression):
        if kind_of(name.group().decode()) is not None:
            return False
        parts = compiled(r"[A-Z]?[a-z]+|[A-Z]+").finditer(name.group())
        if any(part.group().lower() in _SOURCES for part in parts):
            return False
    return True
