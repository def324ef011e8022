"""What every block of relay.yaml has in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Block(BaseModel):
    """A table of the file: frozen, no unknown key, no value bent into another type.

    A key that is a Python word has an underscore behind its name (`for_`); a value with a unit carries it (`linger_s`).
    """

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", use_attribute_docstrings=True)
