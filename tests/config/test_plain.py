"""Plain scalars: the same in YAML 1.1 and 1.2, or refused."""

from __future__ import annotations

import math
import re

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from relayd.config.plain import Ambiguous, TooLong, read_plain
from relayd.config.scalars import OFF

SAME = [
    ("", None), ("~", None), ("null", None), ("Null", None), ("NULL", None),
    ("true", True), ("True", True), ("TRUE", True), ("false", False), ("False", False), ("FALSE", False),
    ("0", 0), ("8080", 8080), ("-1", -1), ("+12", 12), ("0x1F", 31),
    ("1.5", 1.5), ("-0.5", -0.5), (".5", 0.5), ("5.", 5.0), ("1.5e+3", 1500.0), ("01.5", 1.5),
    (".inf", math.inf), ("-.Inf", -math.inf), ("+.INF", math.inf),
    ("same", "same"), ("tcp:8080", "tcp:8080"), ("1m30s", "1m30s"), ("5/1s", "5/1s"), ("64KiB", "64KiB"),
    ("4400-4499", "4400-4499"), ("data.0.symbol", "data.0.symbol"), ("1.0.0", "1.0.0"), ("127.0.0.1", "127.0.0.1"),
    ("+", "+"), (".", "."), ("..", ".."), ("1.2.3.4:5", "1.2.3.4:5"), ("nope", "nope"), ("Y-axis", "Y-axis"),
    ("10.0.0.0/8", "10.0.0.0/8"), ("2026-1", "2026-1"), ("0x", "0x"), ("1e", "1e"), ("$symbol", "$symbol"),
]  # fmt: skip

DIFFERENT = [
    ("on", "true", "text"), ("On", "true", "text"), ("ON", "true", "text"), ("yes", "true", "text"),
    ("Yes", "true", "text"), ("YES", "true", "text"), ("y", "true", "text"), ("Y", "true", "text"),
    ("no", "false", "text"), ("No", "false", "text"), ("NO", "false", "text"), ("n", "false", "text"),
    ("N", "false", "text"), ("Off", "false", "text"), ("OFF", "false", "text"), ("0100", "64", "100"),
    ("-017", "-15", "-17"), ("0_7", "7", "text"), ("08", "text", "8"), ("0o14", "text", "12"),
    ("0b101", "a number", "text"), ("1_000", "a number", "text"), ("1_000.5", "a number", "text"),
    ("-0x1F", "a number", "text"), ("0x1_F", "a number", "text"), ("1e3", "text", "a number"),
    ("1.5e3", "text", "a number"), ("1e+3", "text", "a number"), ("12:30", "a number to the base of 60", "text"),
    ("1:30.5", "a number to the base of 60", "text"), ("190:20:30", "a number to the base of 60", "text"),
    ("2026-01-31", "a date", "text"), ("2026-1-1", "a date", "text"), ("2026-01-31T12:00:00Z", "a date", "text"),
    ("2026-01-31 12:00:00.5 +1", "a date", "text"), ("<<", "a merge of tables", "a key"),
    ("=", "a default value", "text"), ("0" * 30 + "7", "a number", "a number"), ("-.5", "text", "a number"),
]  # fmt: skip


class SameTests:
    """What both read alike."""

    @pytest.mark.parametrize(("text", "value"), SAME)
    def test_value(self, text, value):
        """The value, of the right type."""
        found = read_plain(text)
        assert found == value
        assert type(found) is type(value)

    @pytest.mark.parametrize("text", [".nan", ".NaN", ".NAN"])
    def test_not_a_number(self, text):
        """NaN is a number of both."""
        assert math.isnan(read_plain(text))

    def test_off(self):
        """Kept apart, for a key that can be switched off."""
        assert read_plain("off") is OFF

    @pytest.mark.parametrize(("text", "value"), SAME)
    def test_pyyaml_agrees(self, text, value):
        """The widest-spread reader of YAML 1.1 reads the same."""
        assert yaml.safe_load(text) == value


class DifferentTests:
    """What they read differently."""

    @pytest.mark.parametrize(("text", "old", "new"), DIFFERENT)
    def test_refused(self, text, old, new):
        """Each reading is told."""
        with pytest.raises(Ambiguous) as caught:
            read_plain(text)
        assert (caught.value.old, caught.value.new) == (old, new)
        assert str(caught.value) == f"{old} in YAML 1.1 and {new} in YAML 1.2"

    def test_instead(self):
        """What to write in its place."""
        for text, instead in (
            ("on", 'true or "on"'),
            ("no", 'false or "no"'),
            ("<<", "the keys written out"),
            ("=", '"="'),
        ):
            with pytest.raises(Ambiguous) as caught:
                read_plain(text)
            assert caught.value.instead == instead
        with pytest.raises(Ambiguous) as caught:
            read_plain("0100")
        assert caught.value.instead == "quotes around it, or a number written plainly"

    @pytest.mark.parametrize("text", ["1" * 19, "0x" + "F" * 17])
    def test_too_long(self, text):
        """No reader keeps so many digits exactly."""
        with pytest.raises(TooLong):
            read_plain(text)


class PropertyTests:
    """Against the rules as the specifications write them."""

    @given(st.text("0123456789abcdefxonyeslu_.:+-~=<TZ ", max_size=12).map(str.strip))
    def test_like_pyyaml(self, text):
        """What is accepted is what PyYAML reads; what it takes for something else is refused."""
        kinds = {"tag:yaml.org,2002:str": str, "tag:yaml.org,2002:int": int, "tag:yaml.org,2002:float": float,
                 "tag:yaml.org,2002:bool": bool, "tag:yaml.org,2002:null": type(None)}  # fmt: skip
        tag = yaml.SafeLoader("").resolve(yaml.ScalarNode, text, (True, False))
        try:
            value = read_plain(text)
        except (Ambiguous, TooLong):
            return
        if value is not OFF:
            assert type(value) is kinds.get(tag)

    @given(st.from_regex(re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+"), fullmatch=True))
    def test_like_the_core_schema(self, text):
        """A whole number of YAML 1.2 is that number or refused."""
        base = 8 if text.startswith("0o") else 16 if text.startswith("0x") else 10
        try:
            value = read_plain(text)
        except (Ambiguous, TooLong):
            return
        assert value == int(text[2:] if base != 10 else text, base)
