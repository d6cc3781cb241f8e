"""What is waited for and how far it is: on a terminal's stderr, after two seconds of work, gone when it is done.

Whatever may take longer opens ``progress``; of several that are open, one within the other, the innermost is
shown. Where stderr is no terminal nothing is written, and stdout is never touched.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Seconds that a command has waited before it shows for what. Questions to people in between do not count.
AFTER_S = 2.0
_WIDTH: Final = 40
_CLOCK_FROM_S: Final = 1.0  # how long it will take is not guessed from less

_clock = time.monotonic


class Step:
    """Something that is waited for; telling how far it is costs next to nothing.

    Attributes:
        doing: what is done, in words.
        done: how much of it.
        total: of how much; None or 0: nobody knows.
    """

    def __init__(self, doing: str, total: int | None, display: _Display | None) -> None:
        self._display = display
        self.doing, self.done, self.total, self._began = doing, 0, total, _clock()

    def show(self, doing: str, done: int = 0, total: int | None = None) -> None:
        """This is done now, and so far it is."""
        self.done, self.total = done, total
        if doing != self.doing:
            self.doing, self._began = doing, _clock()
            if self._display is not None:
                self._display.redraw()
        self.at(done)

    def at(self, done: int) -> None:
        """So much is done."""
        self.done = done
        if self._display is not None and self._display.by_hand:
            self._display.look()

    def add(self, more: int = 1) -> None:
        """So much more is done."""
        self.at(self.done + more)

    def __rich__(self) -> Any:
        """A line: a bar and the time that is left, or a mark that moves and the time it has taken."""
        from rich.progress_bar import ProgressBar  # noqa: PLC0415 - only where somebody watches
        from rich.spinner import Spinner  # noqa: PLC0415
        from rich.table import Table  # noqa: PLC0415
        from rich.text import Text  # noqa: PLC0415

        taken, done, total = _clock() - self._began, self.done, self.total  # others change them
        line = Table.grid(padding=(0, 1))
        if total:
            done = min(done, total)
            left = f"{taken * (total - done) / done:.0f} s left" if done and taken > _CLOCK_FROM_S else ""
            bar = ProgressBar(total, done, width=_WIDTH)
            line.add_row(Text(self.doing), bar, Text(f"{100 * done // total}%"), Text(left))
        else:
            count = f": {done:,}" if done else ""
            line.add_row(Spinner("dots"), Text(f"{self.doing}{count}"), Text(f"{taken:.0f} s"))
        return line


class _Display:
    """The line on the terminal, and the steps that are open."""

    spent = 0.0  # of all displays of this process

    def __init__(self, *, by_hand: bool) -> None:
        self.by_hand = by_hand
        self.steps: list[Step] = []
        self._began = _clock()
        self._live: Any = None
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._watch: threading.Thread | None = None

    def open(self, step: Step) -> None:
        """This one is waited for from now on."""
        first = not self.steps
        self.steps.append(step)
        if not first:
            self.redraw()
        elif self.by_hand:
            pass  # shown when it is told how far it is
        elif _Display.spent >= AFTER_S:
            self.look()
        else:
            self._watch = threading.Thread(target=self._wait, name="cx-progress", daemon=True)
            self._watch.start()

    def _wait(self) -> None:
        if not self._over.wait(AFTER_S - _Display.spent):
            self.look(now=True)

    def redraw(self) -> None:
        """What is waited for has changed."""
        if self._live is not None:
            self._live.refresh()

    def look(self, *, now: bool = False) -> None:
        """Show it, if it is time."""
        if self._live is not None or not (now or _Display.spent + _clock() - self._began >= AFTER_S):
            return
        from rich.console import Console  # noqa: PLC0415 - only where somebody watches
        from rich.live import Live  # noqa: PLC0415

        with self._lock:
            if self._over.is_set():
                return
            live = Live(
                console=Console(stderr=True),
                get_renderable=self._line,
                refresh_per_second=8,
                transient=True,
                redirect_stdout=False,  # it would end up on stderr
            )
            live.start(refresh=True)
            self._live = live

    def _line(self) -> Step | str:
        return next(iter(self.steps[-1:]), "")

    def close(self) -> None:
        """Take it off the terminal."""
        self._over.set()
        with self._lock:
            if self._live is not None:
                self._live.stop()
        if self._watch is not None:
            self._watch.join()
        _Display.spent += _clock() - self._began


_open: list[_Display] = []


@contextlib.contextmanager
def progress(
    doing: str, total: int | None = None, *, forks: bool = False, hidden: bool = False
) -> Iterator[Step]:
    """Show what is waited for, for as long as it takes. Ask and answer nobody meanwhile.

    Args:
        doing: what is done, in words.
        total: of how much, for a bar; None: not known.
        forks: processes are forked meanwhile, so there must be no thread. It is shown when the step is first told
            how far it is, once it is time.
        hidden: nothing is shown: somebody types.
    """
    if hidden or not sys.stderr.isatty():
        yield Step(doing, total, None)
        return
    if not _open:
        _open.append(_Display(by_hand=forks))
        opened = True
    else:
        opened = False
    display = _open[-1]
    step = Step(doing, total, display)
    display.open(step)
    try:
        yield step
    finally:
        display.steps.remove(step)
        if opened:
            _open.remove(display)
            display.close()
