"""What a YAML parser complains about, in plain words."""

from __future__ import annotations

import pytest

from relayd.config.syntax import explain


class ExplainTests:
    """Each complaint of libyaml and of PyYAML's own parser."""

    @pytest.mark.parametrize(
        ("problem", "context", "at", "told"),
        [
            ("exceeded maximum nesting depth", "", "[", ("deeper than 20 levels", False)),
            (
                "found character that cannot start any token",
                "",
                "\t",
                ("a tab cannot indent: YAML indents with spaces", False),
            ),
            (
                "found character '@' that cannot start any token",
                "",
                "@",
                ("a value cannot start with @: put it in quotes", False),
            ),
            (
                "found unexpected end of stream",
                "while scanning a quoted scalar",
                "",
                ("this quote is not closed", True),
            ),
            (
                "found unexpected end of stream",
                "elsewhere",
                "",
                ("this is not YAML: found unexpected end of stream", False),
            ),
            ("", "while scanning an anchor", "", ("a text that starts with `&` is an anchor: put it in quotes", False)),
            ("", "something new", "", ("this is not YAML: something new", False)),
        ],
    )
    def test_words(self, problem, context, at, told):
        """What is wrong, and where it matters."""
        assert explain(problem, context, at) == told
