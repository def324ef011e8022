"""`relayd demo`: relayd, a simulated exchange and a page, in one process and without a file."""

from __future__ import annotations

import click


@click.command()
@click.option("--port", default=8080, show_default=True, type=click.IntRange(0, 65535), help="Where browsers come in.")
@click.option("--admin-port", default=8081, show_default=True, type=click.IntRange(0, 65535), help="For operators.")
def demo(port: int, admin_port: int) -> None:
    """Run relayd with a simulated exchange and open markets: no file, no account, no outside world."""
    from relayd.demo.service import run

    run(port, admin_port)
