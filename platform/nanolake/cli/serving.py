"""The command that answers others: a service over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nanolake.cli.app import app, examples
from nanolake.cli.opening import read_settings
from nanolake.cli.options import ConfigOption, RayOption, SetOption, WeightsOption


@app.command(
    epilog=examples(
        "nanolake serve my-lake",
        "nanolake serve --weights my-network.onnx --port 8080",
        "nanolake serve my-lake --replicas 4 --set max_crops=1024",
    )
)
def serve(
    lake: Annotated[
        Path | None,
        typer.Argument(
            metavar="LAKE",
            help="Lake whose champion answers. Default: the shipped network.",
            show_default=False,
        ),
    ] = None,
    weights: WeightsOption = None,
    host: Annotated[
        str | None,
        typer.Option(
            "--host",
            help="Address to listen on; default 127.0.0.1: this machine only. There is NO "
            "password: with another address, whoever reaches the port is answered.",
        ),
    ] = None,
    port: Annotated[int | None, typer.Option("--port", help="Port; default 8000.")] = None,
    replicas: Annotated[
        int | None,
        typer.Option("--replicas", min=1, help="Processes that answer, a core each; default 1."),
    ] = None,
    config: ConfigOption = None,
    values: SetOption = None,
    ray: RayOption = None,
) -> None:
    """Answer over HTTP: p, d and L_ratio of crops (POST /crops) and pictures (POST /micrograph).

    GET /model tells the network, the limits and the formats, GET /health whether it is up. There
    is no authentication and no encryption: keep it on this machine, or put a proxy that has both
    in front of it.
    """
    from nanolake.serve import ServeSettings
    from nanolake.serve.running import run_service

    named = {"weights": weights, "host": host, "port": port, "replicas": replicas}
    settings = read_settings(ServeSettings, config, values)
    given = {name: value for name, value in named.items() if value is not None}
    settings = ServeSettings.build({**settings.model_dump(), **given})
    run_service(settings, lake=lake, ray=ray, say=typer.echo)
