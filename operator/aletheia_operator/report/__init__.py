"""The report of a session, for people: one HTML file, or Markdown for a post-mortem and a chat."""

from aletheia_operator.report.html import html_report
from aletheia_operator.report.markdown import markdown_report
from aletheia_operator.report.reading import Files, NoFiles, PlainFiles
from aletheia_operator.report.session import LoadedDocument, Source

__all__ = ["Files", "LoadedDocument", "NoFiles", "PlainFiles", "Source", "html_report", "markdown_report"]
