"""URLs, queries, headers and HTTP requests with placeholders.

Every value is percent-encoded before `join` puts values together. A URL that is exactly one placeholder is taken as it
is. An unset value drops its query entry or header.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, urlencode

from relayd.core.feed.errors import Malformed, Refused, Unset
from relayd.core.feed.outcome import HttpRequest
from relayd.core.feed.template import (
    Node,
    Text,
    Values,
    as_text,
    compile_node,
    names_of,
    parse_text,
    render,
    to_json,
)

# What RFC 3986 lets stand in a query, less what parts its entries (`&=+;`): literals of the file are written with care.
_QUERY_LITERAL = "/:@!$'()*,?~"
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD")


@dataclass(frozen=True, slots=True)
class Url:
    """A URL with its query."""

    base: Text
    query: Mapping[str, Node]

    @property
    def names(self) -> frozenset[str]:
        """The placeholders' names."""
        return names_of(self.base) | names_of(tuple(self.query.values()))

    def render(self, values: Values, join: str | None = None) -> str:
        """The URL. A list (`$topics`) is joined in the base, and repeats its key in the query unless there is a `join`.

        Raises Unset for a value of the base, Refused for one that would change the path.
        """
        if self.base.only is not None:
            base = as_text(self.base.render(values))
        else:
            base = self.base.text(values, lambda value: _encode(value, join or ","))
        entries = [entry for key, node in self.query.items() for entry in _entries(key, node, values, join)]
        if not entries:
            return base
        return base + ("&" if "?" in base else "?") + "&".join(entries)


def _encode(value: object, join: str) -> str:
    if isinstance(value, list | tuple):
        return join.join(_encode(one, join) for one in value)
    text = as_text(value)
    if text in (".", ".."):
        raise Refused("a value of only dots would change the path of the upstream's URL")
    return quote(text, safe="", errors="replace")


def _entries(key: str, node: Node, values: Values, join: str | None) -> list[str]:
    try:
        if isinstance(node, Text):
            only = node.only
            if only is not None and join is None:
                value = only.value(values)
                each = value if isinstance(value, list | tuple) else (value,)
                return [f"{quote(key)}={quote(as_text(one), safe='', errors='replace')}" for one in each]
            text = "".join(
                quote(part, safe=_QUERY_LITERAL) if isinstance(part, str) else _query_value(part.value(values), join)
                for part in node.parts
            )
            return [f"{quote(key)}={text}"] if text or not node.parts else []
        if isinstance(node, tuple):
            return [entry for one in node for entry in _entries(key, one, values, join)]
        return [f"{quote(key)}={quote(as_text(render(node, values)), safe=_QUERY_LITERAL)}"]
    except Unset:
        return []


def _query_value(value: object, join: str | None) -> str:
    if isinstance(value, list | tuple):
        return (join or ",").join(_query_value(one, join) for one in value)
    return quote(as_text(value), safe="", errors="replace")


def parse_url(url: object, query: object = None) -> Url:
    """`url` and `query` from the file. Raises Malformed."""
    return Url(parse_text(url), _table(query, "query"))


def _table(value: object, what: str) -> Mapping[str, Node]:
    if value is None:
        return {}
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise Malformed(f"{what}: write name: value")
    return {key: compile_node(one) for key, one in value.items()}


def parse_headers(value: object) -> Mapping[str, Node]:
    """`headers` from the file. Raises Malformed."""
    return _table(value, "headers")


def render_headers(headers: Mapping[str, Node], values: Values) -> tuple[tuple[str, str], ...]:
    """The headers that have a value. Raises Refused for one that would end its line."""
    rendered = []
    for name, node in headers.items():
        try:
            text = as_text(render(node, values))
        except Unset:
            continue
        if any(char in text for char in "\r\n\0"):
            raise Refused(f"the value of the header {name} holds a line break")
        rendered.append((name, text))
    return tuple(rendered)


@dataclass(frozen=True, slots=True)
class Http:
    """One HTTP request with placeholders."""

    method: str
    url: Url
    headers: Mapping[str, Node]
    json: Node = None
    has_json: bool = False
    form: Mapping[str, Node] | None = None

    @property
    def names(self) -> frozenset[str]:
        """The placeholders' names."""
        nodes = (self.json, *self.headers.values(), *(self.form or {}).values())
        return self.url.names | names_of(nodes)

    def render(
        self, values: Values, url_values: Values | None = None, join: str | None = None, number: int = 0
    ) -> HttpRequest:
        """The request; `url_values` stand in the URL where they differ. Raises Unset, Refused."""
        body, content_type = b"", None
        if self.has_json:
            body, content_type = to_json(render(self.json, values)), "application/json"
        elif self.form is not None:
            pairs = {name: as_text(render(node, values)) for name, node in self.form.items()}
            body, content_type = urlencode(pairs, errors="replace").encode(), "application/x-www-form-urlencoded"
        headers = render_headers(self.headers, values)
        url = self.url.render(values if url_values is None else url_values, join)
        return HttpRequest(self.method, url, headers, body, content_type, number)


def parse_http(block: object) -> Http:
    """An `http` block from the file. Raises Malformed."""
    if not isinstance(block, Mapping) or "url" not in block:
        raise Malformed("http: write {method: GET, url: ...}")
    method = block.get("method", "GET")
    if method not in METHODS:
        raise Malformed(f"http.method: {method!r} is none of {', '.join(METHODS)}")
    if "json" in block and "form" in block:
        raise Malformed("http: a request has one body, json or form")
    form = _table(block["form"], "form") if "form" in block else None
    return Http(
        method=method,
        url=parse_url(block["url"], block.get("query")),
        headers=parse_headers(block.get("headers")),
        json=compile_node(block.get("json")),
        has_json="json" in block,
        form=form,
    )
