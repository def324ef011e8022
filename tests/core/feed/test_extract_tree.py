"""The types that messages are decoded into."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec import UNSET, Raw

from relayd.core.feed.decode import JSON, MSGPACK
from relayd.core.feed.extract_tree import ABSENT, SLICE, SWITCH, VALUE, NotCompiled, Stage
from relayd.core.feed.path import parse_path


def stage(*wanted: tuple[str, Any], loose: bool = False) -> Any:
    """Reads these values (path, kind), in order, from JSON."""
    made = Stage(loose)
    gets = [made.want(parse_path(path), kind, is_key=True) for path, kind in wanted]
    decode = made.decoders()[JSON]
    return lambda text: [get(decode(text.encode())) for get in gets]


def plain(values: list[Any]) -> list[Any]:
    """Slices as bytes."""
    return [bytes(value) if isinstance(value, Raw) else value for value in values]


class StructTests:
    """Nothing but what is asked for."""

    def test_tables_and_arrays(self) -> None:
        """As deep as need be; what is not there is UNSET."""
        read = stage(("a.b", VALUE), ("a.c.1.d", VALUE), ("e", SLICE))
        assert plain(read('{"a":{"c":[0,{"d":"x"}],"b":7,"z":[]},"e": [1, 2],"y":{}}')) == [7, "x", b"[1, 2]"]
        assert read("{}") == [UNSET, UNSET, UNSET] and read('{"a":{"c":[0]}}') == [UNSET, UNSET, UNSET]
        assert stage(("0", VALUE), ("2.a", VALUE))('[1,[],{"a":null},4]') == [1, None]

    @pytest.mark.parametrize("key", ["é", "a b", "class", "0x", "_", "", "err-msg", "🙂"])
    def test_any_key(self, key: str) -> None:
        """Whatever a feed calls its things."""
        made = Stage(False)
        get = made.want(parse_path(f"/{key}"), VALUE)
        assert get(made.decoders()[JSON](msgspec.json.encode({key: 5}))) == 5

    def test_messagepack(self) -> None:
        """The same type."""
        made = Stage(False)
        get = made.want(parse_path("a.0"), VALUE)
        assert get(made.decoders()[MSGPACK](msgspec.msgpack.encode({"a": [9]}))) == 9

    @pytest.mark.parametrize("message", ['{"a":{}}', '{"a":true}', '{"a":1.5}', "[1]", "5", "x", '{"a":1'])
    def test_other_types_do_not_fit(self, message: str) -> None:
        """They go the general way."""
        with pytest.raises(msgspec.MsgspecError):
            stage(("a", VALUE))(message)

    def test_switches(self) -> None:
        """True is no number."""
        assert stage(("a", SWITCH))('{"a":true}') == [True]
        with pytest.raises(msgspec.MsgspecError):
            stage(("a", SWITCH))('{"a":1}')

    def test_a_slice_that_is_also_a_value(self) -> None:
        """Whether it is there can be told from the value."""
        for order in (("a", SLICE), ("a", VALUE)), (("a", VALUE), ("a", SLICE)):
            assert stage(*order)('{"a":"x"}') == ["x", "x"]

    def test_what_must_not_be_there(self) -> None:
        """Null is let through, and is not nothing. Where a value is asked for as well, it tells."""
        read = stage(("a", ABSENT), ("a", SLICE))
        assert read("{}") == [UNSET, UNSET] and read('{"a":null}') == [None, None]
        with pytest.raises(msgspec.MsgspecError):
            read('{"a":1}')
        assert stage(("a", SLICE), ("a", ABSENT))("{}") == [UNSET, UNSET]
        for order in (("a", ABSENT), ("a", VALUE)), (("a", VALUE), ("a", ABSENT)):
            assert stage(*order)('{"a":1}') == [1, 1]

    @pytest.mark.parametrize(
        "wanted",
        [
            [("a.-1", VALUE)],
            [("a.64", VALUE)],
            [(".", VALUE)],
            [("a", VALUE), ("a.b", VALUE)],
            [("a.b", VALUE), ("a.0", VALUE)],
            [("a", VALUE), ("a", SWITCH)],
            [('/a"b', VALUE)],
            [("/a\\b", VALUE)],
            [("/a\n", VALUE)],
        ],
    )
    def test_what_no_type_can_hold(self, wanted: list[tuple[str, Any]]) -> None:
        """It needs a more general way."""
        with pytest.raises(NotCompiled):
            stage(*wanted)

    def test_nothing_is_asked_for(self) -> None:
        """Then nothing is decoded."""
        assert Stage(False).decoders() == {} and Stage(False).key() is None


class LooseTests:
    """Decoded whole."""

    def test_any_path(self) -> None:
        """From the end, too."""
        read = stage(("-1", VALUE), ("0", VALUE), ("1.a.-1", VALUE), ("9", VALUE), loose=True)
        assert read('[1,{"a":["x"]},3]') == [3, 1, "x", UNSET]
        assert stage(("0", VALUE), loose=True)('{"0":"x"}') == ["x"]

    def test_what_is_no_key_is_only_there(self) -> None:
        """A table, an array, or a slice."""
        read = stage(("a", VALUE), ("b", SLICE), ("c", SWITCH), ("d", VALUE), loose=True)
        assert read('{"a":{},"b":5,"c":true,"d":null}') == [..., ..., True, None]

    @pytest.mark.parametrize(("kind", "value"), [(VALUE, "true"), (VALUE, "1.0"), (SWITCH, "1"), (SWITCH, "1.0")])
    def test_values_that_keys_would_confuse(self, kind: Any, value: str) -> None:
        """1, 1.0 and true are the same key to Python."""
        with pytest.raises(ValueError, match="no key"):
            stage(("a", kind), loose=True)(f'{{"a":{value}}}')


class KeyTests:
    """What is remembered."""

    def test_two_places_of_an_array(self) -> None:
        """At a glance where both are plain; else as closely as any key."""
        made = Stage(True)
        for path in ("0", "-1"):
            made.want(parse_path(path), VALUE, is_key=True)
        key = made.key()
        assert key is not None
        docs: list[Any] = [[17, "x", 4], [17], [17, []], [], {"0": 5}, [None, 1]]
        assert [key(doc) for doc in docs] == [(17, 4), (17, 17), (17, ...), (UNSET, UNSET), (5, UNSET), (None, 1)]
        with pytest.raises(ValueError, match="no key"):
            key([True, 1])

    @pytest.mark.parametrize("loose", [False, True])
    def test_keys(self, loose: bool) -> None:
        """One value or several, hashable."""
        made = Stage(loose)
        made.want(parse_path("a"), VALUE, is_key=True)
        made.want(parse_path("b"), VALUE)
        key = made.key()
        assert key is not None
        one = key(made.decoders()[JSON](b'{"a":1,"b":2}'))
        assert one in (1, (1,)) and hash(one)
        for path, expected in (("b", (1, 2)), ("c", (1, 2, UNSET))):
            made.want(parse_path(path), VALUE, is_key=True)
            key = made.key()
            assert key is not None
            several = key(made.decoders()[JSON](b'{"a":1,"b":2}'))
            assert several == expected and hash(several)
