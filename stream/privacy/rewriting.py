"""Rewrites the logs without people who were erased: what stays is appended again, and what was before it goes.

Of a partition that names them, in this order, so that a process that ends anywhere can be followed by another:

1. A mark says where the log ends: all up to there has been worked on.
2. Two spacers make the broker begin a new file. What stays is appended behind them, each record with its own
   timestamp and the header ``cx-rewrite``. What others wrote meanwhile is told from copies by that header, and is
   copied as well, behind the rest.
3. A mark says where the copies begin and where each consumer group goes on.
4. The beginning of the log is moved to the copies, and the groups to their places.

Before 3 nothing is lost by beginning anew, for the originals are there; after it 4 can be done again.
"""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING, Final, NamedTuple

from schemas.erasure import RewriteMark, RewritePart
from stream import topics
from stream.privacy.concerns import Concerns
from stream.privacy.entries import Entry, Refused, Source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from stream.privacy.broker import Broker
    from stream.privacy.register import Register
    from stream.settings import Settings

    Watch = Callable[[str, int, int], None]  #: Told what is done, how much of it, of how much; 0: not known.

HEADER: Final = "cx-rewrite"
_ATTEMPTS: Final = 3
_STEP_MS: Final = (
    2  # a file is begun where timestamps differ by more than segment.ms, which is 1 for the time
)
#: For the time of the rewrite: nothing else is deleted meanwhile, so that sizes say what is gone.
KEPT: Final = {"retention.ms": "-1", "retention.bytes": "-1", "file.delete.delay.ms": "1000"}
_NEW_FILES: Final = {"segment.ms": "1"}
#: What Kafka puts around a record at most, headers and a batch of its own among it.
_MOST_ROOM: Final = 150
_DELETED: Final = (*topics.INPUTS, topics.ACTIONS, topics.ALERTS, topics.DEADLETTERS)


def unwatched(doing: str, done: int, total: int) -> None:
    """Nobody waits."""


class Look(NamedTuple):
    """What was found in a log."""

    source: Source
    end: int
    goes: int
    stays: int
    newest_ms: int


class Rewriting:
    """A rewrite of the logs.

    Args:
        broker: whose logs.
        settings: of the deployment.
        register: what is on ``cx.erasures``.
        say: told what is being done, in words for people.
        watch: told how far it is, all the time.
    """

    def __init__(
        self,
        broker: Broker,
        settings: Settings,
        register: Register,
        say: Callable[[str], None],
        watch: Watch = unwatched,
    ) -> None:
        self._broker = broker
        self._settings = settings
        self._register = register
        self._say = say
        self._watch = watch
        self.concerns = Concerns(register.erasures)

    @property
    def _mark(self) -> RewriteMark:
        mark = self._register.mark
        assert mark is not None  # noqa: S101 - ``begin`` comes first
        return mark

    # -- before anything is changed ------------------------------------------------------------------------

    def begin(self) -> bool:
        """Put the mark there, so that no worker starts, and make sure that none runs.

        Returns:
            Whether it has only begun: nothing was changed by then.

        Raises:
            Refused: workers run. The mark is taken away again, unless something was changed.
        """
        mark = self._register.mark
        fresh = mark is None or not mark.ends
        if mark is None:
            self._alone()  # first, for the mark makes workers stop
            run = secrets.token_hex(4)
            self._register.begin(RewriteMark(run=run, started_at=round(time.time() * 1000)))  # type: ignore[arg-type]
        try:
            self._alone()
        except Refused:
            if fresh:
                self._register.over()
            raise
        return fresh

    def _alone(self) -> None:
        members = self._broker.members(self._settings.app_id)
        if members:
            many = "workers run" if members != 1 else "a worker runs"
            raise Refused(
                f"{many} (group {self._settings.app_id}): stop workers and producers, then run it again. "
                "Without --rewrite it can be done while they run"
            )

    def look(self) -> list[Look]:
        """Go through all logs that name people, once.

        Raises:
            Refused: not all that is to be rewritten was worked on. Nothing has been changed.
        """
        self.concerns = Concerns(self._register.erasures)  # those that are known by now
        found = []
        spans = {source: self._broker.span(source) for source in self._broker.sources(topics.NAMING)}
        total, before = sum(end - begin for begin, end in spans.values()), 0
        for source, (begin, end) in spans.items():
            goes = stays = 0
            newest_ms = 0
            for entry in self._broker.read(source, begin, end):
                self._watch("looking through the logs", before + entry.offset - begin, total)
                newest_ms = max(newest_ms, entry.timestamp)
                if self.concerns.goes(source, entry):
                    goes += 1
                else:
                    stays += 1
            before += end - begin
            found.append(Look(source, end, goes, stays, newest_ms))
        return found

    def check_own(self) -> None:
        """Make sure, once, that all that may be rewritten was worked on, and note up to where.

        What comes while no worker may start has not been worked on, and is told apart by that.

        Raises:
            Refused: it was not.
        """
        mark = self._register.mark
        if mark is None or mark.ends:
            return
        sources = self._broker.sources(topics.NAMING)
        spans = {source: self._broker.span(source) for source in sources}
        places = self._broker.committed(self._settings.app_id, sources)
        for source, (begin, end) in spans.items():
            place = places.get(source)
            if place is None:
                if source.topic in topics.INPUTS and begin < end and self._has_state():
                    raise Refused(
                        f"{source}: the tables have state, and the group {self._settings.app_id} has no place in "
                        "it. Start the workers until all is worked on, stop them, and run it again"
                    )
            elif place != end:
                raise Refused(
                    f"{source}: {end - place} records are not worked on yet. Start the workers until none are "
                    "left, stop them, and run it again"
                )

        ends = {str(source): end for source, (_, end) in spans.items()}
        self._register.begin(mark.model_copy(update={"ends": ends}))

    def check_others(self, looks: Iterable[Look]) -> None:
        """Make sure that nobody's place in what is to be rewritten is lost.

        Raises:
            Refused: a group that has one is not empty.
        """
        todo = [look.source for look in looks if look.goes]
        for group in self._broker.groups() if todo else ():
            if group == self._settings.app_id:
                continue
            places = self._broker.committed(group, todo)
            if places and self._broker.members(group):
                raise Refused(
                    f"the consumer group {group} reads {min(places).topic}: its place would be lost. Stop it, and "
                    "run it again"
                )

    def to_clean(self, sources: Iterable[Source]) -> None:
        """Note which compacted topics have to be cleaned, before anything is deleted there."""
        names = dict.fromkeys([*self._mark.clean, *map(str, sources)])
        self._register.begin(self._mark.model_copy(update={"clean": list(names)}))

    def _has_state(self) -> bool:
        changelogs = [topics.changelog(self._settings.app_id, topics.CUSTOMERS_TABLE)]
        return any(begin < end for begin, end in map(self._broker.span, self._broker.sources(changelogs)))

    # -- rewriting -----------------------------------------------------------------------------------------

    def rewrite(self, looks: Iterable[Look]) -> None:
        """Rewrite the logs in which someone goes, and finish those that were begun before."""
        by_topic: dict[str, list[Look]] = {}
        for look in looks:
            if look.goes or look.source in self._register.parts:
                by_topic.setdefault(look.source.topic, []).append(look)
        for topic in _DELETED:  # actions before the alerts by which they are known
            if topic in by_topic:
                self._topic(topic, by_topic[topic])

    def lower(self, topic: str, values: Mapping[str, str]) -> None:
        """Set a topic's settings for the time of the rewrite, its own being kept in the mark."""
        mark = self._mark
        kept = dict(mark.configs.get(topic, {}))
        held = self._broker.configs([topic])[topic]
        for name in values.keys() - kept.keys():
            value, own = held[name]
            kept[name] = value if own else None
        self._register.begin(mark.model_copy(update={"configs": {**mark.configs, topic: kept}}))
        self._broker.configure(topic, values)

    def restore(self) -> None:
        """Put settings back as they were."""
        mark = self._register.mark
        for topic, kept in ({} if mark is None else mark.configs).items():
            if self._broker.sources([topic]):
                self._broker.configure(topic, kept)

    def _topic(self, topic: str, looks: list[Look]) -> None:
        self._say(f"{topic}: {sum(look.goes for look in looks)} records go, in {len(looks)} partitions")
        self.lower(topic, KEPT)
        register = self._register
        left = []
        for look in looks:
            part = register.parts.get(look.source)
            if part is None:
                end = self._mark.ends.get(str(look.source), look.end)
                register.part(look.source, RewritePart(state="copying", end=end))
                left.append(look)
            elif part.state == "copying":
                left.append(look)
        for _ in range(_ATTEMPTS):
            places = self._spaced(topic, left)
            left = [look for look in left if not self._copied(look.source, *places[look.source])]
            if not left:
                break
        else:
            raise Refused(
                f"{left[0].source}: someone writes to it all the time. Stop all producers and run it again: it "
                "goes on"
            )
        for look in looks:
            self._cut(look.source)

    def _spaced(self, topic: str, looks: list[Look]) -> dict[Source, tuple[int, int]]:
        """Let copies begin in files of their own; returns where, and how large each log was before."""
        if not looks:
            return {}
        found = {}
        self.lower(topic, _NEW_FILES)
        for look in looks:
            size = self._size(look.source)
            for number in (1, 2):  # the second makes sure, should the first have come before the setting
                spacer = Entry(0, look.newest_ms + number * _STEP_MS, None, None, self._header())
                place = self._broker.append_one(look.source, spacer)
            found[look.source] = (place + 1, size)
        own = {name: self._mark.configs[topic][name] for name in _NEW_FILES}
        self._broker.configure(topic, own)
        return found

    def _copied(self, source: Source, begin: int, size: int) -> bool:
        """Append what stays; False where others wrote in between, so that it has to be done again."""
        part = self._register.parts[source]
        groups = self._places(source)
        moves: dict[str, int] = {}

        def placed(offset: int, new: int) -> None:
            for group, place in groups.items():
                if group not in moves and offset >= place:
                    moves[group] = new

        count = self._broker.append(source, self._stays(source, part.end, begin), placed)
        after = begin + count
        if self._broker.span(source)[1] != after:
            return False
        targets = {group: moves.get(group, after) for group in groups}
        done = RewritePart(
            state="copied",
            end=part.end,
            begin=begin,
            moves=targets,
            after=after,
            old_bytes=size,
            new_bytes=max(self._size(source) - size, 0),
        )
        self._register.part(source, done)
        return True

    def _stays(self, source: Source, processed: int, end: int) -> Iterator[Entry]:
        """What stays of the originals, and after it what others have written since."""
        header = self._header()
        begin = self._broker.span(source)[0]
        oldest_ms = self._oldest_ms(source.topic)
        doing = f"copying {source}"
        for entry in self._broker.read(source, begin, end):
            if entry.offset >= processed and header[0] in entry.headers:
                continue  # a copy or a spacer of a run that was cut short
            self._watch(doing, entry.offset - begin, end - begin)
            if 0 <= entry.timestamp < oldest_ms or self.concerns.goes(source, entry):
                continue
            headers = [each for each in entry.headers if each[0] != HEADER]
            yield entry._replace(headers=[*headers, *header])

    def _cut(self, source: Source) -> None:
        part = self._register.parts[source]
        self._broker.delete_before(source, part.begin)
        for group, place in part.moves.items():
            if self._broker.committed(group, [source]).get(source, -1) < place:
                self._broker.commit(group, source, place)

    def _places(self, source: Source) -> dict[str, int]:
        found = {}
        for group in self._broker.groups():
            place = self._broker.committed(group, [source]).get(source)
            if place is not None:
                found[group] = place
        return found

    def _oldest_ms(self, topic: str) -> float:
        """What is older than this is past its retention, and would only live on in a new file."""
        own = self._mark.configs.get(topic, {}).get("retention.ms")
        if own is None or int(own) < 0:
            return 0
        return time.time() * 1000 - int(own)

    def _header(self) -> list[tuple[str, str | bytes | None]]:
        return [(HEADER, self._mark.run.encode())]

    def _size(self, source: Source) -> int:
        return max(self._broker.sizes([source.topic]).get(source, [0]))

    # -- until it is gone ----------------------------------------------------------------------------------

    def gone(self) -> bool:
        """Whether the brokers have removed the old files; their sizes say so."""
        parts = self._register.parts
        held = self._broker.sizes({source.topic for source in parts})
        return all(self._is_gone(source, part, held.get(source, [])) for source, part in parts.items())

    def _is_gone(self, source: Source, part: RewritePart, sizes: list[int]) -> bool:
        """Whether no replica is larger than the copies and what came later, even if that takes much room."""
        if not sizes or not part.old_bytes:
            return False
        later = room = 0
        for entry in self._broker.read(source, part.after, self._broker.span(source)[1]):
            later += _bytes(entry)
            room += _MOST_ROOM
        # Where the old files are smaller than what is uncertain, sizes tell nothing.
        return room < part.old_bytes and max(sizes) <= part.new_bytes + later + room


def _bytes(entry: Entry) -> int:
    """Of what a record says, without what Kafka puts around it."""
    headers = sum(len(name) + (len(value) if value is not None else 0) for name, value in entry.headers)
    return len(entry.key or b"") + len(entry.value or b"") + headers
