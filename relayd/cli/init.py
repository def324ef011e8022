"""`relayd init`: a first relay.yaml."""

from __future__ import annotations

from importlib.resources import files

import click


@click.command()
@click.argument("file", default="relay.yaml")
def init(file: str) -> None:
    """Write a first relay.yaml, short and commented. A file that exists is left alone."""
    text = files("relayd.cli").joinpath("starter.yaml").read_text("utf-8")
    try:
        with open(file, "x", encoding="utf-8") as written:
            written.write(text)
    except FileExistsError:
        raise click.ClickException(f"{file} exists; name another file: relayd init FILE") from None
    except OSError as error:
        raise click.ClickException(f"{file} cannot be written: {error.strerror}") from None
    click.echo(f"{file} is written. Next: relayd check {file}, then: twistd -n relayd -c {file}")
