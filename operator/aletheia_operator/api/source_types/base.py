"""Describes one type of DataSource."""

from dataclasses import dataclass

from aletheia_operator.api.types import Model


@dataclass(frozen=True)
class SourceType:
    """A type of DataSource. Its fetcher is `FETCHER` in the module or package `fetchers/{name}`."""

    name: str
    """Value of `spec.type` of a DataSource, and name of the sub-object with its options: lower-case letters and digits."""
    spec_field: str
    """Field of an Investigation that uses DataSources of this type."""
    category: str = ""
    """Category of its artifacts, if it is not `spec_field`."""
    options: type[Model] | None = None
    """Model of the sub-object `spec.{name}`. None: the type has no options."""
    query: str = ""
    """Describes `query` in an item of `spec.queries` of this type, for users. Empty: `spec.queries` does not take this type."""
    has_fetcher: bool = True
    """Whether DataSources of this type are queried for evidence."""

    @property
    def writes(self) -> str:
        """Return the category of its artifacts."""
        return self.category or self.spec_field

    @property
    def needs_options(self) -> bool:
        """Return whether a DataSource of this type is invalid without its sub-object."""
        return self.options is not None and any(field.is_required() for field in self.options.model_fields.values())
