"""What is kept of a customer's other ids.

An id that was merged into another one keeps a mark: where it went, and what tells duplicates of its own records
apart. The id that stays keeps who came, and how many of their later records. See ``docs/identity.md``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from .state import Customer

#: Says that ``attributes.alias`` is another id of the same person; the only kind that producers send.
IDENTIFIED: Final = "identified"
#: Made by workers, and known as theirs by a header: to the id that goes, and from it with all that it had.
ALIASED: Final = "aliased"
JOINED: Final = "joined"
#: Attributes of these.
ALIAS: Final = "alias"
TO: Final = "to"

#: An alias: how many of its records came, of touchpoints and of replies, and whether its history did.
Alias = tuple[int, int, bool]
NEW: Final[Alias] = (0, 0, False)
#: An offset that is not known yet.
NOT_YET: Final = 2**62


class Ids(msgspec.Struct, array_like=True, gc=False):
    """Of one customer who has more than one id: some 10 bytes and the name for each other one."""

    #: The id that stays, where this one was merged into it.
    to: str | None = None
    #: Offsets of both topics up to which records were this id's own; those after them are passed on.
    since: tuple[int, int] = (NOT_YET, NOT_YET)
    #: How many were, of both topics.
    sent: tuple[int, int] = (0, 0)
    #: Ids that were merged into this one, those that came with them included.
    aliases: dict[str, Alias] = {}

    @property
    def gone(self) -> bool:
        """Whether this id was merged into another one, on both topics."""
        return self.to is not None and NOT_YET not in self.since


def merged_into(customer: Customer) -> str | None:
    """The id that stays, of one that was merged into it; None: this one stays."""
    ids = customer.known.ids
    return ids.to if ids is not None and ids.gone else None
