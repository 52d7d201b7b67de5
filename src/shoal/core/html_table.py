"""Tables for notebooks: plain HTML in which no text of others is markup."""

from collections.abc import Iterable, Sequence
from html import escape


def html_table(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table with a heading, its cells escaped.

    >>> html_table(["a"], [["<b>"]])
    '<table><thead><tr><th>a</th></tr></thead><tbody><tr><td>&lt;b&gt;</td></tr></tbody></table>'
    """
    head = "".join(f"<th>{escape(cell)}</th>" for cell in heading)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
