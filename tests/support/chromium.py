"""Debian's Chromium, driven by Playwright."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Page, sync_playwright

from tests.support import require


@contextmanager
def chromium(**context: Any) -> Iterator[Page]:
    """A page in a fresh, headless browser.

    Args:
        context: options of Playwright's browser context, such as `viewport` or `color_scheme`.
    """
    path = require.command("chromium", "chromium")
    with sync_playwright() as playwright:
        # As root, as in a container, Chromium runs only without its sandbox; it loads nothing but our own page.
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        try:
            yield browser.new_context(**context).new_page()
        finally:
            browser.close()
