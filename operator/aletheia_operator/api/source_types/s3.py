"""Options of DataSources of type s3."""

from typing import Annotated

from pydantic import Field

from aletheia_operator.api.types import Model

PREFIX_PATTERN = r"^[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*$"


class S3Options(Model):
    """S3 alone: where sessions go, `{prefix}/{namespace}/{session id}_{uid of the Investigation}/`."""

    bucket: Annotated[str, Field(min_length=3, max_length=63, pattern=r"^[a-z0-9][-a-z0-9.]*[a-z0-9]$")] = Field(
        description="The bucket, which must exist."
    )
    prefix: Annotated[str, Field(min_length=1, max_length=200, pattern=PREFIX_PATTERN)] | None = Field(
        None, description="Keys begin with it; give each cluster that shares the bucket its own. Default: none."
    )
    region: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][-A-Za-z0-9]*$")] = Field(
        "us-east-1", description="The region that requests are signed for."
    )
    path_style: bool = Field(
        True, description="Whether the bucket stands in the path of a URL; false: in the host's name, before the endpoint's."
    )
    max_session_bytes: Annotated[int, Field(ge=1, le=5497558138880)] | None = Field(
        None, description="Largest session in bytes that is taken. Default: any."
    )
