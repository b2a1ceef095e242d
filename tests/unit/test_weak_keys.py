"""Public keys without protection are refused in the spec, and also when a session is sealed."""

import pytest

from aletheia_operator.api import weak_keys
from aletheia_operator.session import age
from aletheia_operator.session.public_keys import require_protection
from tests.invalid_specs import WEAK_RECIPIENTS

POINTS = [weak_keys._SSH_ED25519 + point for point in weak_keys._POINTS]
RSA = "ssh-rsa AAAAB3NzaC1yc2EAAAA"


@pytest.mark.parametrize("recipient", [*weak_keys._AGE, *POINTS, *WEAK_RECIPIENTS.values()])
def test_what_is_listed_protects_nothing(recipient: str) -> None:
    """Each is refused, also with a comment behind it."""
    assert not weak_keys.protects(recipient)
    if recipient.startswith("ssh-"):
        assert not weak_keys.protects(f"{recipient} bob@shop")
    with pytest.raises(ValueError, match=r"order|exponent|damaged"):
        require_protection(recipient)


def test_the_list_has_every_encoding() -> None:
    """Seven encodings, each with and without the bit that is ignored or is a sign: of five values two have two forms."""
    assert len(set(weak_keys._AGE)) == len(set(POINTS)) == 14


@pytest.mark.parametrize(
    "recipient",
    [
        pytest.param(age.new_identity()[1], id="a new key of age"),
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGlQzoLO3cgnhcwvY8E6WJTpJsI0e0wXxgG4OoIHSQGc bob",
        f"{RSA}DAQABAAABAQC7 bob",
        f"{RSA}BAwAAAQEA",
        f"{RSA}BEQAAAQEA",
        f"{RSA}BAgAAAQEA",
    ],
)
def test_other_keys_are_taken(recipient: str) -> None:
    """An exponent of two is refused later, since the beginning of its text is the same as that of three."""
    assert weak_keys.protects(recipient)
