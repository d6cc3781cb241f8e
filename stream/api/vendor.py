"""The two libraries the live page is made with: fetched from npm by their pinned digests, once.

``make setup`` runs this module; the files end up beside the page, are served by ``cx serve`` and packed into the
wheel, so that nothing is fetched from elsewhere at run time. No node is needed.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import sys
import tarfile
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

HERE: Final = Path(__file__).parent
PINNED: Final = HERE / "vendor.json"
INTO: Final = HERE / "page" / "vendor"
REGISTRY: Final = "https://registry.npmjs.org"
#: Where another registry stands in for npm's, as npm itself reads it.
REGISTRY_VARIABLE: Final = "npm_config_registry"
_LARGEST: Final = 16 * 1024 * 1024
_TIMEOUT_S: Final = 60


class VendorError(RuntimeError):
    """A library could not be had; the text names it and what to do."""


def download(url: str) -> bytes:
    """The bytes at a URL of the npm registry, or of the registry that stands in for it."""
    registry = os.environ.get(REGISTRY_VARIABLE, REGISTRY).rstrip("/")
    request = urllib.request.Request(url.replace(REGISTRY, registry, 1))  # noqa: S310 - from vendor.json
    with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:  # noqa: S310
        found: bytes = answer.read(_LARGEST + 1)
    return found


def unpack(library: dict[str, Any], archive: bytes) -> dict[str, bytes]:
    """The wanted files of a library's archive, by the name they get here.

    Raises:
        VendorError: the archive is not the pinned one, or a file is not in it.
    """
    name = f"{library['name']} {library['version']}"
    algorithm, _, digest = library["integrity"].partition("-")
    found = base64.b64encode(hashlib.new(algorithm, archive).digest()).decode()
    if found != digest:
        raise VendorError(f"{name}: the archive is not the one that {PINNED.name} pins; it is left out")
    files = {}
    with tarfile.open(fileobj=io.BytesIO(archive)) as packed:
        for path, into in library["files"].items():
            member = packed.extractfile(path) if path in packed.getnames() else None
            if member is None:
                raise VendorError(f"{name}: {path} is not in the archive")
            files[into] = member.read()
    return files


def install(pinned: Path = PINNED, into: Path = INTO, fetch: Callable[[str], bytes] = download) -> list[str]:
    """Put every library that is not there yet in its place; returns the names of those fetched.

    Raises:
        VendorError: one could not be had.
    """
    fetched = []
    for library in json.loads(pinned.read_text()):
        mark = into / f".{library['name']}"
        wanted = json.dumps(library, sort_keys=True)
        there = all((into / name).is_file() for name in library["files"].values())
        if there and mark.is_file() and mark.read_text() == wanted:
            continue
        try:
            archive = fetch(library["url"])
        except OSError as error:
            raise VendorError(
                f"{library['name']} {library['version']}: {library['url']} could not be read "
                f"({type(error).__name__}); set {REGISTRY_VARIABLE} if another registry stands in for npm's"
            ) from None
        into.mkdir(parents=True, exist_ok=True)
        for name, content in unpack(library, archive).items():
            (into / name).write_bytes(content)
        mark.write_text(wanted)
        fetched.append(library["name"])
    return fetched


def main(arguments: Sequence[str] = ()) -> int:
    """``python -m stream.api.vendor [PINNED INTO]``: 0 when everything is there."""
    pinned, into = [Path(argument) for argument in arguments] or [PINNED, INTO]
    try:
        fetched = install(pinned, into)
    except VendorError as error:
        sys.stderr.write(f"!!! {error}\n")
        return 1
    if fetched:
        sys.stderr.write(f"fetched from npm: {', '.join(fetched)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
