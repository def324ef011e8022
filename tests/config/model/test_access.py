"""Who may: the `access` of a route."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from relayd.config.model.route import Access


class WhoTests:
    """Words, or claims."""

    @pytest.mark.parametrize(
        ("who", "read"),
        [
            ("public", "public"),
            ("nobody", "nobody"),
            ({"role": "x"}, {"role": ("x",)}),
            ({"role": ["x", 5, True, False]}, {"role": ("x", "5", "true", "false")}),
            ({"sub": "$name", "a.b": -1}, {"sub": ("$name",), "a.b": ("-1",)}),
        ],
    )
    def test_read(self, who, read):
        """Everything becomes text."""
        assert Access.model_validate({"subscribe": who}).subscribe == read

    @pytest.mark.parametrize(
        ("who", "what"),
        [
            ("everybody", "not who may"),
            (5, "not who may"),
            (["x"], "not who may"),
            ({}, "no claim"),
            ({"role": []}, "an empty list is nobody"),
            ({"role": ""}, "not the value of a claim"),
            ({"role": 1.5}, "not the value of a claim"),
            ({"role": None}, "not the value of a claim"),
            ({"role": ["x", {}]}, "not the value of a claim"),
        ],
    )
    def test_refused(self, who, what):
        """With what was expected."""
        with pytest.raises(ValidationError, match=what):
            Access.model_validate({"subscribe": who})

    def test_place(self):
        """Of the one value that is wrong."""
        with pytest.raises(ValidationError) as caught:
            Access.model_validate({"publish": {"role": ["x", 1.5], "sub": 2.5}})
        assert [error["loc"] for error in caught.value.errors()] == [("publish", "role", 1), ("publish", "sub")]
