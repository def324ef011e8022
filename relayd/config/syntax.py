"""What a YAML parser complains about, in the words of the person who has to mend it."""

from __future__ import annotations

from typing import Final

#: What the parser says -> what is wrong, and whether the place that matters is where the construct began.
_SAID: Final[tuple[tuple[str, str, str, bool], ...]] = (
    ("tab character", "", "a tab cannot indent: YAML indents with spaces", False),
    ("mapping values are not allowed", "", "a colon where no key can stand: check indentation and quotes", False),
    ("sequence entries are not allowed", "", "a `-` where no list can start: put it on a line of its own", False),
    ("unexpected end of stream", "quoted scalar", "this quote is not closed", True),
    ("unexpected document", "quoted scalar", "this quote is not closed", True),
    (
        "unknown escape character",
        "",
        "no escape of YAML stands behind the backslash: use single quotes, or \\\\",
        False,
    ),
    ("',' or ']'", "", "this list is not closed with `]`, or a comma is missing in it", True),
    ("',' or '}'", "", "this table is not closed with `}`, or a comma is missing in it", True),
    ("'-' indicator", "", "a line that does not belong to the list around it: check its indentation", False),
    ("expected key", "", "a key was expected here: check indentation and quotes", False),
    ("<block end>", "", "a line that does not belong here: check indentation and quotes", False),
    ("could not find expected ':'", "", "a line that is no `key: value`: check indentation and quotes", True),
    ("incompatible YAML document", "", "only %YAML 1.1 and 1.2 are known", False),
    ("nesting depth", "", "deeper than 20 levels", False),  # libyaml's own bound, 1000, where it has one
    ("node content", "", "a value is missing here", False),
    ("found unexpected ':'", "", "a colon without a value: write a space and the value after it", False),
    ("scanning an anchor", "", "a text that starts with `&` is an anchor: put it in quotes", False),
    ("scanning an alias", "", "a text that starts with `*` is an alias: put it in quotes", False),
)


def explain(problem: str, context: str, at: str) -> tuple[str, bool]:
    """What is wrong, and whether the place that matters is where the construct began, not where the parser gave up.

    `problem` and `context` are the parser's words, `at` is the character at which it gave up ("" at the end).
    """
    if "cannot start any token" in problem:
        if at == "\t":
            return "a tab cannot indent: YAML indents with spaces", False
        return f"a value cannot start with {at}: put it in quotes", False
    for said, within, meaning, at_start in _SAID:
        if (said in problem or said in context) and within in context:
            return meaning, at_start
    return f"this is not YAML: {problem or context}", False
