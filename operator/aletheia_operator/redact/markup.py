"""Recognises secrets in elements of XML, plists and HTML on one line, by the names of elements or in attributes."""

from aletheia_operator.redact import checks
from aletheia_operator.redact.contexts import ContextRule

RULES: tuple[ContextRule, ...] = (
    ("xml", r"""(?i)<(?:\w+:)?(?P<name>[\w.-]*(?:passw(?:or)?d(?:[-_]?\w{1,20})?|passphrase|secret|token|credentials?"""
            r"""|[\w.-]key"""
            r"""|authorization|pwd|pass|passcode|pat|psk|pin|otp|jwt))"""
            r"""(?:\s[^<>]*)?>(?:<!\[CDATA\[)?(?P<secret>[^<]+?)(?:\]\]>)?</""", checks.secret),
    ("xml-session", r"(?i)<(?:\w+:)?(?:session_?id|\w*ticket)(?:\s[^<>]*)?>(?P<secret>[^<]{16,})</", checks.random),
    ("xml-data", r"""(?i)(?:^|[^/\w:.-])[\w:.-]*(?:passw(?:or)?d|passphrase|secret|token|pwd)(?:\s[^<>]*)?>\s*"""
                 r"""<!\[CDATA\[(?P<secret>.+?)\]\]>""", checks.secret),
    ("xml-escaped", r"""(?i)(?:&lt;|\\+u003c)(?:\w+:)?(?P<name>[\w.-]*(?:passw(?:or)?d|passphrase|secret|token"""
                    r"""|api[-_.]?key|pwd))(?:&gt;|\\+u003e)(?P<secret>[^<>&\\]+)(?:&lt;|\\+u003c)""", checks.secret),
    ("plist", r"""(?i)(?:<(?:[\w-]+[:-])?(?:key|name)(?:\s[^<>]*)?>|<(?:entry|void)(?:\s[^<>]*)?>\s*<string>)"""
              r"""(?P<name>[\w .-]+)</[\w:-]+>\s*(?:<(?:[\w-]+[:-])?(?:string|value)(?:\s[^<>]*)?>\s*){1,2}"""
              r"""(?P<secret>[^<>]+)<""", checks.secret),
    ("entry", r"""(?i)<(?:entry|property|string|param|item|var|env|setting|arg|data|\w+:attribute)\s+(?:key|name"""
              r"""|id)=["'](?P<name>[\w.-]+)["'][^<>]*>(?:\s*<(?:\w+:attribute)?value[^<>]*>)?"""
              r"""(?P<secret>[^<>]+)<""", checks.secret),
    ("rsa-key-value", r"<(?:D|P|Q|DP|DQ|InverseQ)>(?P<secret>[A-Za-z0-9+/]{40,}={0,2})", checks.anything),
    ("sasl-element", r"""(?i)\bmechanism=["'][\w-]+["'][^<>]*>(?P<secret>[A-Za-z0-9+/]{8,}={0,2})<""", checks.anything),
    ("clear-text", r"""\bclear-?[tT]ext=["'](?P<secret>[^"']+)""", checks.anything),
)  # fmt: skip
