"""`relayd config` and `relayd schema`: what the file means, and what any file may hold."""

from __future__ import annotations

import click

from relayd.cli.reading import read


@click.command()
@click.argument("file")
def config(file: str) -> None:
    """Print the effective configuration: presets and defaults filled in, secrets masked."""
    effective = read(file)

    from relayd.config.effective import as_yaml

    click.echo(as_yaml(effective), nl=False)


@click.command()
def schema() -> None:
    """Print the JSON Schema of relay.yaml, with which editors complete and check it."""
    import json

    from relayd.config.schema import json_schema

    click.echo(json.dumps(json_schema(), indent=2))
