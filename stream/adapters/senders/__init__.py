"""The senders that are known from the start, and those of a deployment."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from stream.adapters.mapping import Adapter, MappingError, read_adapter, read_file


def load_adapters(directory: Path | None = None) -> dict[str, Adapter]:
    """The adapters by sender; one of the directory takes the place of ours of the same name.

    Raises:
        MappingError: a file of the directory is no mapping, or two have the same sender.
    """
    known = {
        adapter.sender: adapter
        for entry in sorted(files(__package__).iterdir(), key=lambda entry: entry.name)
        if entry.name.endswith(".yml")
        for adapter in [read_adapter(entry.read_text(encoding="utf-8"), entry.name)]
    }
    own: dict[str, Adapter] = {}
    for path in sorted(directory.glob("*.y*ml")) if directory is not None else []:
        adapter = read_file(path)
        if adapter.sender in own:
            raise MappingError(f"{path}: sender: {adapter.sender!r} has another file in this directory")
        own[adapter.sender] = adapter
    return known | own
