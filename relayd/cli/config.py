"""`relayd config` and `relayd schema`: what the file means, and what any file may hold."""

from __future__ import annotations

import click

from relayd.cli.reading import read


@click.command()
@click.argument("file")
def config(file: str) -> None:
    """Print the effective configuration: defaults written out, secrets masked."""
    from relayd.config.dump import dump
    from relayd.config.effective import effective

    click.echo(dump(effective(read(file))), nl=False)


@click.command()
def schema() -> None:
    """Print the JSON Schema of relay.yaml, with which editors complete and check it."""
    import json

    from relayd.config import schema

    click.echo(json.dumps(schema.schema(), indent=2))
