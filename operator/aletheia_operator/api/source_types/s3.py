"""Options of DataSources of type s3."""

from typing import Annotated

from pydantic import Field

from aletheia_operator.api.types import Model

PREFIX_PATTERN = r"^[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*$"


class S3Options(Model):
    """Options of type s3. A session is stored below `{prefix}/{namespace}/{session id}_{uid of the Investigation}/`."""

    bucket: Annotated[str, Field(min_length=3, max_length=63, pattern=r"^[a-z0-9][-a-z0-9.]*[a-z0-9]$")] = Field(
        description="Name of the bucket, which must exist."
    )
    prefix: Annotated[str, Field(min_length=1, max_length=200, pattern=PREFIX_PATTERN)] | None = Field(
        None, description="Prefix of all keys. Use a different one for each cluster that shares the bucket. Unset: none."
    )
    region: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][-A-Za-z0-9]*$")] = Field(
        "us-east-1", description="Region that requests are signed for."
    )
    path_style: bool = Field(
        True, description="True: the bucket is in the path of URLs. False: it is in the host name, before the endpoint's."
    )
    max_session_bytes: Annotated[int, Field(ge=1, le=5497558138880)] | None = Field(
        None, description="Largest session to upload, in bytes. Unset: any size."
    )
