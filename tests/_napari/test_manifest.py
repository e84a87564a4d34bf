from __future__ import annotations

from fnmatch import fnmatch
from importlib.metadata import entry_points
from pathlib import Path

from npe2 import PluginManifest

import napari_vos
from napari_vos import device
from napari_vos.widgets import machine


def manifest() -> PluginManifest:
    return PluginManifest.from_file(Path(napari_vos.__file__).with_name("napari.yaml"))


def test_every_command_can_be_imported() -> None:
    found = manifest()
    found.validate_imports()
    assert found.name == "napari-vos"
    [entry] = entry_points(group="napari.manifest", name="napari-vos")
    assert entry.value == "napari_vos:napari.yaml"


def test_files_are_left_to_other_readers() -> None:
    reader = manifest().contributions.readers[0]
    assert reader.accepts_directories
    for name in ("movie.tif", "movie.zarr", "session.json"):
        assert not any(fnmatch(name, pattern) for pattern in reader.filename_patterns)


def test_form_and_preferences_offer_what_there_is() -> None:
    properties = manifest().contributions.configurations["propagation"].properties
    assert machine.DEVICES == device.DEVICES == tuple(properties["device"].enum)
    assert machine.PRECISIONS == device.PRECISIONS == tuple(properties["precision"].enum)
