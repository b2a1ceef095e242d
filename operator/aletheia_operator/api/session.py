"""Models for encryption, upload and retention of a session."""

from typing import Annotated, ClassVar, Self

from pydantic import Field, model_validator

from aletheia_operator.api import weak_keys
from aletheia_operator.api.requests import DataSourceReference
from aletheia_operator.api.types import (
    Duration,
    Model,
    Name,
    require,
    rules,
)


class PasswordReference(Model):
    """One value of a Secret in the Investigation's namespace."""

    name: Name = Field(description="Name of the Secret.")
    key: Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$")] = Field(
        "password", description="Key in the Secret's data."
    )


Recipient = Annotated[
    str,
    Field(
        max_length=2048,
        pattern=r"^(age1[02-9ac-hj-np-z]{58}|ssh-(ed25519|rsa) [A-Za-z0-9+/]{40,}={0,2}( [^\x00-\x1f]*)?)$",
    ),
]


class EncryptionSpec(Model):
    """Encrypts artifacts in the age format before they are written to the volume."""

    ONE_OF: ClassVar[str] = "set exactly one of recipients or passwordSecretRef"
    model_config = rules(
        ("has(self.recipients) != has(self.passwordSecretRef)", ONE_OF),
        (f"!has(self.recipients) || {weak_keys.cel('self.recipients')}", weak_keys.MESSAGE),
    )

    recipients: list[Recipient] | None = Field(
        None,
        min_length=1,
        max_length=20,
        description="Public keys, age (age1...) or SSH (ssh-ed25519, ssh-rsa). Each matching private key opens the session;"
        " the operator cannot.",
    )
    password_secret_ref: PasswordReference | None = Field(
        None,
        description="Secret with the password that opens the session. Read once, when the capture starts, with the rights of"
        " serviceAccountName.",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        require((self.recipients is None) != (self.password_secret_ref is None), self.ONE_OF)
        require(all(map(weak_keys.protects, self.recipients or ())), weak_keys.MESSAGE)
        return self


class UploadSpec(Model):
    """Copies the session to object storage after the capture. A failed upload is a gap; the session stays on the volume."""

    data_source_ref: DataSourceReference | None = Field(
        None, description="DataSource of type s3 to upload to. Unset: the s3 DataSource that is marked as default."
    )
    timeout: Duration = Field(
        "5m",
        description="How long the upload is tried after the end of the capture, and again after a restart of the operator.",
    )


class SessionSpec(Model):
    """Encryption and upload of the session."""

    encryption: EncryptionSpec | None = Field(None, description="Encrypt the session. Unset: artifacts are plain JSON files.")
    upload: UploadSpec | None = Field(None, description="Copy the session to object storage. Unset: it is not copied.")


class RetentionSpec(Model):
    """How long the session is kept. The annotation aletheia.dev/legal-hold keeps it regardless of these fields."""

    artifacts_seconds: Annotated[int, Field(ge=1, le=3153600000)] | None = Field(
        None,
        description="Seconds after the end of the capture until the artifacts are removed. The resource stays."
        " Unset: no limit.",
    )
    keep: bool = Field(False, description="True: keep the session on the volume when the Investigation is deleted.")
