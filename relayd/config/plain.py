"""Plain scalars: what an unquoted word is, if every YAML reader agrees, and a refusal if they do not.

YAML 1.1 (PyYAML, Ruby, Go's yaml.v2) and YAML 1.2 (its core schema: js-yaml, Go's yaml.v3, editors) read `no`, `0100`,
`12:30` or `2026-01-01` differently. A file that one tool shows as text and another as a number is a trap, so relayd
reads only what is the same in both. Sources: yaml.org/type (1.1), YAML 1.2.2 section 10.3.2.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from relayd.config.scalars import OFF, Off

Plain = str | int | float | bool | None | Off
"""What a plain scalar may be."""

#: More digits do not fit 64 bits, and JSON readers of browsers stop being exact at 2^53.
MAX_DIGITS: Final = 18

_NULL: Final = {"", "~", "null", "Null", "NULL"}
_TRUE: Final = {"true", "True", "TRUE"}
_FALSE: Final = {"false", "False", "FALSE"}
_TRUE_1_1: Final = {"y", "Y", "yes", "Yes", "YES", "on", "On", "ON"}
_FALSE_1_1: Final = {"n", "N", "no", "No", "NO", "off", "Off", "OFF"}

_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:(?:[Tt]|[ \t]+)[0-9]{1,2}:[0-9]{2}:[0-9]{2}.*)?", re.ASCII)
_INFINITE: Final = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_DECIMAL: Final = re.compile(r"[-+]?(?:0|[1-9][0-9]*)", re.ASCII)
_HEX: Final = re.compile(r"0x[0-9a-fA-F]+", re.ASCII)
# A sign before a point without a digit (`-.5`) is a number in 1.2 and, to PyYAML, text.
_FLOAT: Final = re.compile(r"(?:[-+]?[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][-+][0-9]+)?", re.ASCII)

# What only one of the two reads as a number, and how each reads it.
_OCTAL_1_1: Final = re.compile(r"[-+]?0[0-7_]+", re.ASCII)
_DECIMAL_1_2: Final = re.compile(r"[-+]?[0-9]+", re.ASCII)
_FLOAT_1_2: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", re.ASCII)
_ONLY_1_1: Final = re.compile(
    r"[-+]?0b[01_]+|[-+]?0x[0-9a-fA-F_]+|[-+]?(?:[0-9][0-9_]*(?:\.[0-9_]*)?|\.[0-9][0-9_]*)(?:[eE][-+][0-9]+)?",
    re.ASCII,
)
_BASE_60: Final = re.compile(r"[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?", re.ASCII)
_OCTAL_1_2: Final = re.compile(r"0o[0-7]+", re.ASCII)


class Ambiguous(ValueError):
    """A plain scalar that YAML 1.1 and 1.2 read differently; `.old` and `.new` say how, `.instead` what to write."""

    def __init__(self, old: str, new: str, instead: str) -> None:
        super().__init__(f"{old} in YAML 1.1 and {new} in YAML 1.2")
        self.old, self.new, self.instead = old, new, instead


class TooLong(ValueError):
    """A whole number of more digits than any reader keeps exactly."""


def read_plain(text: str) -> Plain:
    """The value of a plain scalar; `off` comes out as OFF, for a key that can be switched off.

    Raises Ambiguous where YAML 1.1 and 1.2 differ, TooLong for a number beyond 18 digits.
    """
    if text in _NULL:
        return None
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    if text == "off":
        return OFF
    _refuse_words(text)
    return _read_number(text) if text[0] in "0123456789+-." else text


def _refuse_words(text: str) -> None:
    if text in _TRUE_1_1:
        raise Ambiguous("true", "text", f'true or "{text}"')
    if text in _FALSE_1_1:
        raise Ambiguous("false", "text", f'false or "{text}"')
    if text == "<<":
        raise Ambiguous("a merge of tables", "a key", "the keys written out")
    if text == "=":
        raise Ambiguous("a default value", "text", '"="')


def _read_number(text: str) -> Plain:
    if _DECIMAL.fullmatch(text):
        if len(text) > MAX_DIGITS:
            raise TooLong(text)
        return int(text)
    if _HEX.fullmatch(text):
        if len(text) > MAX_DIGITS:
            raise TooLong(text)
        return int(text, 16)
    if _FLOAT.fullmatch(text):
        return float(text)
    if _INFINITE.fullmatch(text):
        return float(text.replace(".", ""))
    _refuse_numbers(text)
    return text


_KINDS: Final[tuple[tuple[re.Pattern[str], Callable[[str], str], Callable[[str], str]], ...]] = (
    (_DATE, lambda _: "a date", lambda _: "text"),
    (_BASE_60, lambda _: "a number to the base of 60", lambda _: "text"),
    (_OCTAL_1_2, lambda _: "text", lambda text: _digits(text[2:], 8)),
    (_OCTAL_1_1, lambda text: _digits(text, 8), lambda text: _digits(text, 10) if "_" not in text else "text"),
    (_DECIMAL_1_2, lambda _: "text", lambda text: _digits(text, 10)),
    (_FLOAT_1_2, lambda _: "text", lambda _: "a number"),
    (_ONLY_1_1, lambda _: "a number", lambda _: "text"),
)


def _refuse_numbers(text: str) -> None:
    for pattern, old, new in _KINDS:
        if pattern.fullmatch(text):
            raise Ambiguous(old(text), new(text), "quotes around it, or a number written plainly")


def _digits(text: str, base: int) -> str:
    return str(int(text.replace("_", "") or "0", base)) if len(text) <= MAX_DIGITS else "a number"
