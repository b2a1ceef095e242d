"""Finds public keys that protect nothing, also as a CEL rule. Other weak keys are refused when the session is sealed.

These are the points of small order of Curve25519 (RFC 7748, section 6.1) as age recipients, and of Ed25519 as SSH keys, in all
encodings, and RSA keys with an exponent of 0 or 1.
"""

_AGE = (
    "age1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq5cu47z",
    "age1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqzqqsuwj9m",
    "age1qyqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqj7vrya",
    "age1qyqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqzqqk67yly",
    "age1ur4h5lpmgxu2u9jku0a0r87ydtdqnr0tnsetrlvxvgz3vh6fhqqqzyt4v9",
    "age1ur4h5lpmgxu2u9jku0a0r87ydtdqnr0tnsetrlvxvgz3vh6fhzqqxqejhu",
    "age1t7wft09r2zxzfvwsk92eeql0tvzyghxytqwgapkcyf8dm5ylz9ts6wm9s8",
    "age1t7wft09r2zxzfvwsk92eeql0tvzyghxytqwgapkcyf8dm5ylz8ts72fzt7",
    "age1anlllllllllllllllllllllllllllllllllllllllllllllllals4n2t7m",
    "age1anllllllllllllllllllllllllllllllllllllllllllllllllls3hcv9z",
    "age1ahlllllllllllllllllllllllllllllllllllllllllllllllalsn46ayy",
    "age1ahlllllllllllllllllllllllllllllllllllllllllllllllllsh3g6la",
    "age1amlllllllllllllllllllllllllllllllllllllllllllllllalselrwrv",
    "age1amlllllllllllllllllllllllllllllllllllllllllllllllllsam3fc4",
)
_SSH_ED25519 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI"
_POINTS = (
    "AEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    "AEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAACA",
    "Oz///////////////////////////////////////9/",
    "Oz/////////////////////////////////////////",
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAACA",
    "O3///////////////////////////////////////9/",
    "O3/////////////////////////////////////////",
    "O7///////////////////////////////////////9/",
    "O7/////////////////////////////////////////",
    "McXanA9TdhPujwLdg0QZw8qIFP6LDnMxk7H/XeSrAN6",
    "McXanA9TdhPujwLdg0QZw8qIFP6LDnMxk7H/XeSrAP6",
    "CbolY/CsiewRcP0ifLvmPDV36wF08YzObE4AohtU/wF",
    "CbolY/CsiewRcP0ifLvmPDV36wF08YzObE4AohtU/yF",
)
_SSH_RSA_WITHOUT_EXPONENT = "ssh-rsa AAAAB3NzaC1yc2EAAAAA"
_SSH_RSA_EXPONENT_OF_ONE_BYTE = "ssh-rsa AAAAB3NzaC1yc2EAAAABA"
_OF_ZERO_OR_ONE = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdef"
"""Characters that may follow for an exponent of 0 or 1: their first two bits are the exponent's last."""
MESSAGE = "a recipient is a public key that protects nothing: anybody could open the session"


def protects(recipient: str) -> bool:
    """Return False for a public key if its private key is publicly known."""
    after_exponent = recipient.removeprefix(_SSH_RSA_EXPONENT_OF_ONE_BYTE)
    return not (
        recipient in _AGE
        or any(recipient.startswith(_SSH_ED25519 + point) for point in _POINTS)
        or recipient.startswith(_SSH_RSA_WITHOUT_EXPONENT)
        or (after_exponent != recipient and after_exponent[:1] in _OF_ZERO_OR_ONE)
    )


def cel(recipients: str) -> str:
    """Return the CEL rule that is true if all of these recipients protect. `recipients`: a CEL expression."""
    return (
        f"{recipients}.all(key, !(key in {list(_AGE)})"
        f" && !{list(_POINTS)}.exists(point, key.startsWith('{_SSH_ED25519}' + point))"
        f" && !key.startsWith('{_SSH_RSA_WITHOUT_EXPONENT}')"
        f" && !key.matches('^{_SSH_RSA_EXPONENT_OF_ONE_BYTE}[A-Za-f]'))"
    )
