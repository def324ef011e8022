"""Where a conversation with an upstream gets what it may not fetch itself: secrets, the time, random ids.

Secrets are read again at each dial, so that a renewed token needs no restart.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Generic, TypeVar
from uuid import uuid4

from relayd.core.feed.conversation import Conversation
from relayd.core.feed.dialect import Dialect
from relayd.core.feed.resume import Resume
from relayd.core.upstream_effects import DialImpossible, DialRequest

T = TypeVar("T")

# A token or a key; a larger file is the wrong file (guess).
MAX_SECRET_BYTES = 64 * 1024


class Talks(Generic[T]):
    """Makes the conversations of one upstream: `request` begins one at each dial, `converse` hands it over."""

    def __init__(
        self,
        dialect: Dialect,
        environ: Mapping[str, str],
        resolve: Callable[[Mapping[str, str]], tuple[T, ...]],
    ) -> None:
        self._dialect = dialect
        self._environ = environ
        self._resolve = resolve if dialect.unasked else None
        self._resume = Resume()
        self._next: Conversation[T] | None = None

    def request(self) -> DialRequest:
        """What the next connection is opened with. Raises DialImpossible, which names a secret that is missing."""
        self._next = Conversation(
            self._dialect,
            wall=time.time,
            uuid=lambda: str(uuid4()),
            secrets={name: self._secret(name) for name in self._dialect.secrets},
            resolve=self._resolve,
            resume=self._resume,
        )
        return self._next.dial_request()

    def converse(self) -> Conversation[T]:
        """The conversation of the connection that has just opened."""
        assert self._next is not None, "a connection opens after a dial"
        return self._next

    def _secret(self, name: str) -> str:
        kind, _, what = name.partition(".")
        if kind == "env":
            if what not in self._environ:
                raise DialImpossible(f"the environment variable {what} is not set")
            return self._environ[what]
        try:
            data = Path(what).read_bytes()[: MAX_SECRET_BYTES + 1]
            text = data.decode("utf-8").strip("\r\n")
        except OSError as error:
            raise DialImpossible(f"the file {what} cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise DialImpossible(f"the file {what} is not UTF-8 text") from None
        if len(data) > MAX_SECRET_BYTES:
            raise DialImpossible(f"the file {what} is larger than {MAX_SECRET_BYTES} bytes: is it a secret?")
        return text
