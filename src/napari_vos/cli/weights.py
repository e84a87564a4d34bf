"""`napari-vos weights`: which weights there are, and what a file holds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from napari_vos.cli.options import AsJson, report
from napari_vos.errors import StoreError, WeightsError

weights = typer.Typer(help="List, check and convert weights.")


@weights.command("list")
def list_weights(as_json: AsJson = False) -> None:
    """List the weights that come with the package."""
    from napari_vos.checkpoints import registered

    entries: list[dict[str, Any]] = [
        {
            "name": entry.name,
            "network": entry.network,
            "path": str(entry.path),
            "bytes": entry.path.stat().st_size,
            "card": dict(entry.card),
        }
        for entry in registered()
    ]
    lines = [f"{e['name']:16} {e['network']:10} {e['bytes'] / 1e6:6.1f} MB" for e in entries]
    report({"weights": entries}, "\n".join(lines) or "There are none.", as_json=as_json)


@weights.command("check")
def check_weights(
    files: Annotated[
        list[str] | None,
        typer.Argument(metavar="[WEIGHTS]...", help="Files or registered names; all if none."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say which network weights are for, and whether they fit it exactly."""
    from napari_vos.checkpoints import identify, registered, resolve

    names = files or [entry.name for entry in registered()]
    checked = []
    for name in names:
        path = resolve(name, name)
        found = identify(path)
        if not found.fits:
            raise WeightsError(
                f"'{path}' is for the network {found.network} and doesn't fit it: {found.misfit}. "
                "Choose weights of this network."
            )
        checked.append({"path": str(path), "network": found.network, "sha256": found.sha256})
    lines = [f"{c['path']}: fits {c['network']}, sha256 {c['sha256']}" for c in checked]
    report({"weights": checked}, "\n".join(lines) or "There are none.", as_json=as_json)


@weights.command("convert")
def convert_weights(
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="Weights of a known network.")],
    target: Annotated[Path, typer.Argument(metavar="TARGET", help="File to write: .safetensors.")],
    as_json: AsJson = False,
) -> None:
    """Write weights to safetensors, the same tensors without anything around them."""
    from napari_vos.checkpoints import convert
    from napari_vos.io.output import whole_output

    if target.suffix != ".safetensors":
        raise StoreError(f"Can't write '{target}': call it '{target.stem}.safetensors'.")
    with whole_output(target, overwrite=False) as temporary:
        found = convert(source, temporary)
    report(
        {"path": str(target), "network": found.network, "source_sha256": found.sha256},
        f"{target}: weights of {found.network}",
        as_json=as_json,
    )
