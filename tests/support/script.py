"""A script that keeps a page from everything else, for as long as the test wants."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Page

BEGINS_WITHIN_S = 20.0
ANSWER = b"HTTP/1.1 204 No Content\r\nAccess-Control-Allow-Origin: *\r\nConnection: close\r\n\r\n"


@contextmanager
def busy(page: Page) -> Iterator[None]:
    """Nothing else runs in the page inside this context.

    It waits for the answer of a request that is not asynchronous, as long as this takes: not for a time, which would
    begin and end too early or too late on a machine that is busy itself.

    Args:
        page: one whose content security policy is bypassed.
    """
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(BEGINS_WITHIN_S)
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        # The evaluation has to be answered before the script begins.
        page.evaluate(
            """url => void setTimeout(() => {
              const request = new XMLHttpRequest();
              request.open("GET", url, false);
              request.send();
            }, 0)""",
            url,
        )
        script, _ = server.accept()
        with script:
            script.settimeout(BEGINS_WITHIN_S)
            assert script.recv(65536).startswith(b"GET / ")
            yield
            script.sendall(ANSWER)
