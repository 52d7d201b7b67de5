"""What a page or a style sheet loads by itself from another host: nothing should."""

import re
from html.parser import HTMLParser

ELSEWHERE = re.compile(r"\s*(https?:)?//")
_STYLED = re.compile(r"""(?:url\(|@import)\s*["']?((?:https?:)?//[^)"'\s]+)""")


def loaded(text: str, ending: str) -> list[str]:
    """The addresses on other hosts that a file with this ending loads.

    >>> loaded('<script src="https://cdn.example/x.js"></script><a href="https://e.org">', ".html")
    ['https://cdn.example/x.js']
    """
    if ending == ".css":
        return _STYLED.findall(text)
    page = _Page()
    page.feed(text)
    return page.found


class _Page(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = dict(attrs)
        asked = [said.get(name) or "" for name in ("src", "srcset", "data", "poster")]
        if tag == "link" and said.get("rel") not in ("canonical", "author", "license"):
            asked.append(said.get("href") or "")
        self.found += [address for address in asked if ELSEWHERE.match(address)]
        self.found += _STYLED.findall(said.get("style") or "")

    def handle_data(self, data: str) -> None:
        if self.lasttag == "style":
            self.found += _STYLED.findall(data)
