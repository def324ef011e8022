"""docs/reference/config.md, written from the model: every key with its type, its default and the reason for it.

`python -m relayd.config.reference` prints it.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from typing import Final

from relayd.config.later import LATER
from relayd.config.model import Block, Config
from relayd.config.problem import alternatives
from relayd.config.schema import blocks_of
from relayd.config.written import write_default

INTRODUCTION: Final = """\
# relay.yaml

<!-- Written by `python -m relayd.config.reference` from relayd/config/model: change the model, not this page. -->

Upstreams speak in **fields**, routes speak in **topics**. `etc/relay.yaml` is a sample with comments.
`relayd check FILE` tells every problem of a file in one run, each as
`file:line:column: path: what is wrong (got ..., expected ...); did you mean ...?`. `relayd schema` prints a JSON
Schema, so that an editor completes and checks the file while it is written.
"""

VALUES: Final = """\
## Values

| type | is | such as |
|-|-|-|
| duration | days, hours, minutes, seconds, milliseconds, falling; no bare number | `500ms` `30s` `1m30s` `89d` |
| size | bytes, or with `KiB` `MiB` `GiB` | `512` `64KiB` `8MiB` |
| rate | at most so many in any window of that length | `5/1s` `300/5m` |
| history | publications, age, size; the first bound that is met counts | `100/5m/1MiB` |
| path | where a value stands in a message: keys and positions with dots, `.` for the whole, a JSON Pointer | \
`data.0.symbol` `-1` `/a~1b` |
| paths | a path, or a list of which the first that exists counts | `[commit.collection, kind]` |
| at | paths of the feed name, or a table field -> paths | `ch` `{symbol: product_id}` |
| match | path -> value or list of values, `*` is a glob (so `"*"` = present); or the whole text of a frame | \
`{type: [ping, pong]}` `pong` |
| fields | field -> value or list of values, compared as text, `*` is a glob | `{channel: "depth*"}` |
| template | any JSON value whose texts and keys may hold placeholders | `{op: $verb, id: $id}` |
| rule | a list (exact values), a text (glob), `{regex: ...}` (full match, values up to 64 characters), or `any` | \
`[ticker, trade]` `"*-USD"` |
| claims | claim -> value or list of values; all claims must hold, one value of each. `"$field"` is the topic's own \
field, a claim that is a list holds each of its members, `a.b` is a claim within a claim | \
`{role: [operator, admin]}` `{sub: "$name"}` |
| algorithm | how a token is signed: `HS`, `RS`, `PS` or `ES` with `256`, `384` or `512`, or `EdDSA` | `ES256` |
| text, count, number, switch | text that is not empty; a whole number from 1; a number above 0; `true` or `false` | |

**Placeholders** stand inside an upstream only: `$name` or `${name}`; `${symbol.upper}` and `${symbol.lower}`;
`${env.X}`, `${env.X:-default}` and `${file.PATH}` (read anew at each dial; never in logs and errors); `${msg.path}` in
a `control` answer; `$$` is a dollar sign. Names are fields, what `save` and `set` define, and `id` (counts the messages
of a connection), `topic`, `topics`, `verb`, `bound`, `cursor`, `now`, `now_ms`, `uuid`. A value that is exactly one
placeholder keeps its type, `${id.text}` makes text of it, and `types` a number of a field. A variable that only a
variant without a route needs may be missing.

**What is refused**: unknown and duplicate keys, aliases, anchors, tags; plain words that YAML 1.1 and 1.2 read
differently (`on`, `no`, `y`, `0100`, `12:30`, dates: put them in quotes; `off` is accepted where a key can be switched
off); a number where text is meant; an empty value; more than 20 levels; a file over 1 MiB or not in UTF-8.
"""

_SCALARS: Final[Mapping[str, str]] = {
    "Algorithm": "algorithm",
    "Audience": "text, or a list of them",
    "AfterClose": "`stop`, `retry`, `wait`, `forget-cursor` or duration",
    "Allow": "rule",
    "At": "at",
    "Codes": "code or range",
    "Computed": "template or [signature](#signature)",
    "Count": "count",
    "Duration": "duration",
    "Endpoint": "endpoint",
    "Every": "duration, or a template that becomes one",
    "FeedNames": "list of names, or table name -> [row](#feed-name)",
    "Field_": "field",
    "For": "fields",
    "HistoryText": "history",
    "MarketHours": '`"09:00-15:30 Asia/Tokyo mon-fri"`',
    "Match": "match",
    "Mode": "`queue`, `conflate` or `lossless`",
    "Network": "address or network",
    "Proxy": "address, network or `unix`",
    "Origin": "origin",
    "Path": "path",
    "Paths": "paths",
    "Place": '`header`, `message`, `certificate`, `"cookie:NAME"` or `"query:NAME"`',
    "Pin": "switch or list of topics",
    "Positive": "number",
    "Prefix": "path",
    "RateText": "rate",
    "Size": "size",
    "Template": "template",
    "Text": "text",
    "Url": "URL",
    "Who": "`public`, `nobody` or claims",
    "bool": "switch",
    "str": "text",
}
_FORMS: Final[Mapping[str, str]] = {
    "Given": "{0}",
    "OrOff": "{0} or `off`",
    "Seq": "list of {0}",
    "Variants": "{0}, or a list",
    "Mapping": "table {0} -> {1}",
}
_TITLES: Final[Mapping[str, str]] = {"Config": "The file", "Hmac": "Signature", "Request": "Unsubscribe"}


def reference() -> str:
    """The page."""
    parts = [INTRODUCTION, *(_section(block) for block in blocks_of(Config)), VALUES, _later()]
    return "\n".join(parts)


def _section(block: type[Block]) -> str:
    lines = [f"## {_title(block.__name__)}", ""]
    lines += [_one_line(inspect.getdoc(block) or ""), "", "| key | type | default | |", "|-|-|-|-|"]
    for name, source in _annotations(block).items():
        info = block.model_fields[name]
        default = write_default(name, info)
        stated = "required" if info.is_required() else "" if default in (None, [], "") else f"`{_spelt(default)}`"
        kind = _kind(source)
        lines.append(f"| `{info.alias or name}` | {kind} | {stated} | {_one_line(info.description or '')} |")
    return "\n".join([*lines, ""])


def _annotations(block: type[Block]) -> dict[str, str]:
    """Field -> its annotation as the model spells it, those of the base block first."""
    found: dict[str, str] = {}
    for base in reversed(block.__mro__):
        if issubclass(base, Block) and base is not Block:
            found |= {name: text for name, text in inspect.get_annotations(base).items() if name in block.model_fields}
    return found


def _kind(annotation: str) -> str:
    """An annotation in words."""
    wrapper, bracket, rest = annotation.partition("[")
    if not bracket:
        title = _title(annotation).lower()
        return _SCALARS.get(annotation) or f"[{title}](#{title.replace(' ', '-')})"
    inner = _split(rest.removesuffix("]"))
    if wrapper == "Literal":
        return alternatives(one.replace("'", "`") for one in inner)
    return _FORMS[wrapper].format(*(_kind(one) for one in inner))


def _split(arguments: str) -> list[str]:
    """The arguments of a subscript, split at its own commas."""
    found, depth = [""], 0
    for character in arguments:
        depth += {"[": 1, "]": -1}.get(character, 0)
        if character == "," and depth == 0:
            found.append("")
        else:
            found[-1] += character
    return [one.strip() for one in found]


def _later() -> str:
    lines = ["## Not available yet", "", "These keys are refused until they work.", "", "| key | until then |", "|-|-|"]
    lines += [f"| `{'.'.join(later.path)}` | {later.until_then} |" for later in LATER]
    return "\n".join([*lines, ""])


def _title(name: str) -> str:
    return _TITLES.get(name) or re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).capitalize()


def _one_line(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _spelt(value: object) -> str:
    """A default in YAML's flow style."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return f"[{', '.join(_spelt(one) for one in value)}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {_spelt(one)}' for key, one in value.items())}}}"
    return str(value)


if __name__ == "__main__":
    print(reference(), end="")
