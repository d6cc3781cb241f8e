"""The public face: documented names, and programs in the documentation that run as they stand."""

from __future__ import annotations

import asyncio
import inspect
import re
import textwrap
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from stream import engine
from stream.brokers import admin
from tests.engine.rig import Rig, recovery_of, running
from tests.waiting import eventually

if TYPE_CHECKING:
    from stream.engine import BatchApp

PAGE = Path(__file__).parents[2] / "docs" / "engine.md"


def program_of_the_package() -> str:
    """Cut the program out of the package's docstring."""
    said = inspect.getdoc(engine) or ""
    block = re.search(r"::\n\n((?:    .*\n|\n)+)", said)
    assert block is not None
    return textwrap.dedent(block[1])


def programs_of_the_page() -> list[str]:
    """Cut the programs out of the page, in order."""
    return re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def run(program: str, bootstrap: str, names: dict[str, Any] | None = None) -> dict[str, Any]:
    """Run a program against a broker; returns its names."""
    names = names if names is not None else {"__name__": "documented"}
    exec(program.replace("localhost:9092", bootstrap), names)  # noqa: S102 - our own documentation
    return names


def caught_up(app: BatchApp) -> bool:
    """Tell whether an app has done everything there is."""
    return all(app.caught_up("clicks", partition) for partition in (0, 1))


@pytest.mark.parametrize("name", engine.__all__)
def test_every_public_name_is_documented(name: str) -> None:
    """Each name of the public face says what it is, and so does each of its public methods."""
    thing = getattr(engine, name)
    if not inspect.isclass(thing):
        return  # the alias Entry has its comment
    assert inspect.getdoc(thing)
    for member, value in vars(thing).items():
        if not member.startswith("_") and (inspect.isfunction(value) or isinstance(value, property)):
            documented = inspect.getdoc(value) or thing.__name__ == "Record"
            assert documented, f"{name}.{member}"


def test_nothing_public_is_missing() -> None:
    """The names the page speaks of in code are those one can import."""
    public = set(engine.__all__)
    imported = set(re.findall(r"from stream\.engine import (.*)", PAGE.read_text(encoding="utf-8")))
    assert {name.strip() for line in imported for name in line.split(",")} <= public


@pytest.fixture
def elsewhere(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program as it stands keeps its data in the working folder."""
    monkeypatch.chdir(rig.folder)


@pytest.mark.usefixtures("elsewhere")
async def test_the_program_in_the_docstring(rig: Rig) -> None:
    """The program in the package's docstring counts its clicks, and goes on counting after a restart."""
    topics = ("clicks", "counts-counts-changelog")
    await admin.delete(rig.bootstrap, topics)
    await rig.topic(2, name=topics[0])
    await rig.topic(2, name=topics[1], compact=True)
    expected = {b"anna": 0, b"ben": 0, b"chris": 0}
    for _ in range(2):
        for at, key in enumerate(expected):
            expected[key] += rig.send("clicks", [(key, b"click")] * 100 * (at + 1))
        app: BatchApp = run(program_of_the_package(), rig.bootstrap)["app"]
        async with running(app):
            await eventually(partial(caught_up, app))
        found = {k: int(v) for now in (await rig.latest(topics[1])).values() for k, v in now.items()}
        assert found == expected


@pytest.mark.usefixtures("elsewhere")
async def test_the_programs_on_the_page(rig: Rig) -> None:
    """The page's programs run together: exact counts, milestones published once, an orderly end."""
    topics = ("clicks", "milestones", "clickcount-counts-changelog")
    await admin.delete(rig.bootstrap, topics)
    for name in topics:
        await rig.topic(2, name=name, compact=name.endswith("changelog"))
    keys = [b"anna", b"ben", b"chris"]
    rig.send("clicks", [(key, b"click") for key in keys for _ in range(250)])
    names: dict[str, Any] = {"__name__": "documented"}
    for program in programs_of_the_page():
        run(program, rig.bootstrap, names)
    app: BatchApp = names["app"]
    told = asyncio.Event()
    running_main = asyncio.create_task(names["main"](told))
    async with asyncio.timeout(30):
        await recovery_of(app).completed.wait()
        await eventually(partial(caught_up, app))
    state = names["state_of_the_worker"]()
    assert state["partitions"] == [0, 1]
    assert sum(state["behind"].values()) == state["in flight"] == 0
    assert sum(state["keys"].values()) == 3
    told.set()
    assert await asyncio.wait_for(running_main, 30) == 0
    counts = {k: v.split(b",")[1] for now in (await rig.latest(topics[2])).values() for k, v in now.items()}
    assert counts == dict.fromkeys(keys, b"250")
    published = [r.key for records in (await rig.read("milestones")).values() for r in records]
    assert sorted(published) == sorted(b"%s/%d" % (key, n) for key in keys for n in (100, 200))
