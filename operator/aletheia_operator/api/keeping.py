"""How a session is kept: sealed, uploaded, and for how long."""

from typing import Annotated, ClassVar, Self

from pydantic import Field, model_validator

from aletheia_operator.api.requests import DataSourceReference
from aletheia_operator.api.types import (
    Duration,
    Model,
    Name,
    require,
    rules,
)


class SecretKeyReference(Model):
    """One value of a Secret in the Investigation's namespace."""

    name: Name = Field(description="The Secret's name.")
    key: Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$")] = Field(
        "password", description="The key of its data."
    )


Recipient = Annotated[
    str,
    Field(
        max_length=2048,
        pattern=r"^(age1[02-9ac-hj-np-z]{58}|ssh-(ed25519|rsa) [A-Za-z0-9+/]{40,}={0,2}( [^\x00-\x1f]*)?)$",
    ),
]


class EncryptionSpec(Model):
    """Seals the session: evidence is encrypted (age format) before it touches the disk."""

    ONE_OF: ClassVar[str] = "name exactly one of recipients or passwordSecretRef"
    model_config = rules(("has(self.recipients) != has(self.passwordSecretRef)", ONE_OF))

    recipients: list[Recipient] | None = Field(
        None,
        min_length=1,
        max_length=20,
        description="Public keys, age (age1...) or SSH (ssh-ed25519, ssh-rsa): whoever has a private one opens the session."
        " The operator cannot.",
    )
    password_secret_ref: SecretKeyReference | None = Field(
        None,
        description="The password that opens the session, read once, at its start, with the rights of serviceAccountName.",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        require((self.recipients is None) != (self.password_secret_ref is None), self.ONE_OF)
        return self


class UploadSpec(Model):
    """Copies the session to object storage at its end. Where that fails the session stays, and the failure is a gap."""

    data_source_ref: DataSourceReference | None = Field(
        None, description="The DataSource of type s3. Default: the one of this type that is marked as default."
    )
    timeout: Duration = Field(
        "5m", description="So long after the end of the capture, or a restart of the operator, it is tried."
    )


class SessionSpec(Model):
    """How the evidence is kept."""

    encryption: EncryptionSpec | None = Field(None, description="Seals the session. Default: files are plain JSON.")
    upload: UploadSpec | None = Field(None, description="Copies the session to object storage. Default: it is not copied.")


class RetentionSpec(Model):
    """How long the evidence is kept. The annotation aletheia.dev/legal-hold holds it whatever is said here."""

    artifacts_seconds: Annotated[int, Field(ge=1, le=3153600000)] | None = Field(
        None, description="So long after the end of the capture the data is removed; the resource stays. Default: no limit."
    )
    keep: bool = Field(False, description="Leave the session in place when the resource is deleted.")
