"""Checks of a text that a context has: whether it is a secret there, or a port, a path, a word."""

from base64 import b64decode

from aletheia_operator.redact.names import Kind, kind_of
from aletheia_operator.redact.patterns import byte_words, compiled
from aletheia_operator.redact.placeholders import is_placeholder
from aletheia_operator.redact.values import is_coded, is_name, is_random, is_secret

_FEATURES = byte_words(
    "encryption authentication protection policy policies recovery rotation synchronization sync aging expiration expiry"
    " complexity strength storage hashing manager login done caching auth"
)
_STATES = byte_words(
    """
    stale unused differs written warning unchanged opaque prompt prompts input output path column label length change changes
    done command commands requires require without less not because must needs
    """
)
"""Words after the name of a setting in messages and tables: `db_password stale`."""
_STATE = r"""^(?:[A-Za-z]{2,}(?:ed|ing)|[A-Za-z]+\(\d*\)|\([a-z]+\)|\d/\d|\W+)[.,;!]*$"""
"""Words and types in the same place: `resolved`, `varchar(255)`, `(string)`, `0/1`."""
_NAMES_OF_CODE = r"^(?:[A-Z][a-z]+|[a-z]+)(?:[A-Z][a-z]+)+$|^\d{4}-\d\d-\d\d"
"""Names of errors and variables, and dates: `Credentials(user,AccessDenied)`, `LoginCommand(email, rememberMe)`."""
_OF_FLAGS = byte_words(
    "is was are be must should may can cannot has requires required needs option options flag flags argument arguments and or"
    " to for with in on from means sets"
)
"""Words after a flag in a sentence about it: `sshpass -p is insecure`."""
_PORT = r"^(?:[\d.]*\.[\d.]*)?:?\d{1,5}(?::\d{1,5})?(?:/\w+)?$"


def anything(value: bytes) -> bool:
    """Return whether a value is neither empty nor a placeholder."""
    return bool(value) and not is_placeholder(value)


def of_account(value: bytes) -> bool:
    """Return whether a value may be the password of an account: also `secret`, which is a mask elsewhere."""
    return value == b"secret" or anything(value)


def password(value: bytes) -> bool:
    """Return whether a value may be a password."""
    return is_secret(Kind.PASSWORD, value, False)


def prosaic(value: bytes) -> bool:
    """Return whether a value may be a password, and is no word of a sentence about passwords."""
    return is_secret(Kind.PASSWORD, value, True)


def no_feature(value: bytes) -> bool:
    """Return whether a value may be a password, and names no feature or state: `enable password encryption`."""
    small = value.lower().rstrip(b".,;!")
    return prosaic(value) and small not in _FEATURES | _STATES and compiled(_STATE).search(value) is None


def no_prose(value: bytes) -> bool:
    """Return whether a value may be a password, and is no word of a sentence about a flag."""
    return anything(value) and value.lower() not in _OF_FLAGS


def echoed(value: bytes) -> bool:
    """Return whether a text that a shell prints may be a password, and is no report: `done`, `Starting the service`."""
    first, _, rest = value.partition(b" ")
    return (
        prosaic(value)
        and first.lower() not in _FEATURES
        and (not rest or compiled(_STATE).search(first) is None)
        and compiled(_STATE).search(value.rpartition(b" ")[2]) is None
    )


def no_argument(value: bytes) -> bool:
    """Return whether a value mixes letters and digits, and is no `name=value`: `vault login username=bob`."""
    return coded(value) and compiled(r"^[a-z_]+=").search(value) is None


def no_plain_word(value: bytes) -> bool:
    """Return whether a value may be a password, and has other characters than letters."""
    return prosaic(value) and not value.isalpha()


def no_time(value: bytes) -> bool:
    """Return whether a value may be a password, and is neither a part of a time nor a small number."""
    return prosaic(value) and compiled(r"^\d{1,2}(?::\d{2}\S*)?$").search(value) is None


def no_ids(value: bytes) -> bool:
    """Return whether a value may be a password, and no part of a URL."""
    return anything(value) and b"//" not in value


def no_port(value: bytes) -> bool:
    """Return whether a value may be a password, and no port, address or path."""
    return prosaic(value) and value[:1] != b"/" and b"://" not in value and compiled(_PORT).search(value) is None


def no_test(value: bytes) -> bool:
    """Return whether a value may be a password, and is not the name of a test or a mechanism."""
    return prosaic(value) and compiled(r"(?i)^test|/.*\.\w{1,4}$|^(?:plain|login|xoauth2|external)\\*$").search(value) is None


def no_address(value: bytes) -> bool:
    """Return whether a value may be a password, and is no MAC or IPv6 address."""
    return password(value) and compiled(r"(?i)^[0-9a-f]{2}(?::[0-9a-f]{2})*$").search(value) is None


def no_parameter(value: bytes) -> bool:
    """Return whether a value looks random, and is no name of a parameter."""
    return coded(value) and compiled(r"^[a-z_]+=$").search(value) is None


def no_number(value: bytes) -> bool:
    """Return whether a value may be a password, and is no number."""
    return password(value) and not value.isdigit()


def mixed(value: bytes) -> bool:
    """Return whether a value looks random, and has digits and letters."""
    return coded(value) and any(48 <= byte <= 57 for byte in value) and compiled("[A-Za-z]").search(value) is not None


def long(value: bytes) -> bool:
    """Return whether a value looks random, and has at least 16 characters."""
    return len(value) >= 16 and is_coded(value) and anything(value)


def secret(value: bytes) -> bool:
    """Return whether a value may be a token or a key."""
    return is_secret(Kind.SECRET, value, False)


def coded(value: bytes) -> bool:
    """Return whether a value mixes letters and digits unlike any word, and is no placeholder."""
    return is_coded(value) and anything(value)


def encoded(value: bytes) -> bool:
    """Return whether a value looks random, or is a text in base64, and no word of a protocol: `QUIT`."""
    return coded(value) or is_base64(value)


def is_base64(value: bytes) -> bool:
    """Return whether a value is a text in base64, and no placeholder."""
    try:
        return anything(value) and b64decode(value + b"=" * (-len(value) % 4), validate=True).decode().isprintable()
    except ValueError:
        return False


def random(value: bytes) -> bool:
    """Return whether a value looks like a random key, and is no name, UUID or address."""
    return is_random(value) and anything(value)


def three_classes(value: bytes) -> bool:
    """Return whether a value has digits, small and capital letters: it is neither hexadecimal nor a name."""
    return all(compiled(letters).search(value) is not None for letters in ("[0-9]", "[a-z]", "[A-Z]")) and random(value)


def mostly_coded(value: bytes) -> bool:
    """Return whether a value looks random, or mixes letters and other characters."""
    return coded(value) or (
        anything(value) and len(value) >= 8 and compiled(r"[A-Z].*[a-z].*[^A-Za-z]").search(value) is not None
    )


def no_word(value: bytes) -> bool:
    """Return whether a value may be a password, and is no word about secrets."""
    return password(value) and kind_of(value.decode("utf-8", "replace")) is None and not (value.isdigit() and len(value) < 6)


def special(value: bytes) -> bool:
    """Return whether a value mixes digits, small and capital letters and other characters, as passwords do."""
    return three_kinds(value) and compiled(r"[^\w/:]").search(value) is not None


def three_kinds(value: bytes) -> bool:
    """Return whether a value has digits, small and capital letters, and no placeholder."""
    return anything(value) and all(compiled(letters).search(value) is not None for letters in ("[0-9]", "[a-z]", "[A-Z]"))


def pair(value: bytes) -> bool:
    """Return whether a value looks random, or has capital letters inside, and is no port."""
    if not no_port(value) or compiled(_NAMES_OF_CODE).search(value) is not None:
        return False
    return coded(value) or (len(value) >= 8 and compiled(r"[a-z].*[A-Z]").search(value) is not None)


def stated_password(value: bytes) -> bool:
    """Return whether a value in a sentence is a password: it mixes digits, letters and, unless both cases are there, others."""
    return three_kinds(value) and stated(value)


def coded_no_cipher(value: bytes) -> bool:
    """Return whether a value looks random, and is not the name of a cipher: `aes-256-cbc`."""
    return (
        coded(value)
        and compiled(r"(?i)^(?:aes|des|rsa|ecdh|hmac|sha|chacha|camellia|aria)\d*(?:[_-][a-z]{0,8}\d{0,4}){1,4}$").search(value)
        is None
    )


def unbroken(value: bytes) -> bool:
    """Return whether a value has digits and letters, and a part without `-` and `_` that is longer than words and dates."""
    return mixed(value) and compiled(r"[A-Za-z0-9]{16,}").search(value) is not None


def coded_no_name(value: bytes) -> bool:
    """Return whether a value looks random, and is not the name of a Kubernetes object."""
    return coded(value) and not is_name(value)


def stated(value: bytes) -> bool:
    """Return whether a value may be a password that a sentence states: it looks random, and is no address, time or name."""
    return (
        no_time(value)
        and coded(value)
        and compiled(r"^[\d.:TZ/+-]+$|@[\w-]+\.|^\w+://").search(value) is None
        and not is_name(value)
    )
