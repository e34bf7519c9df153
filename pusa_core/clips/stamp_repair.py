"""Time stamps as files really have them, made into times that rise: restarts, repeats, jumps and missing ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Generic, TypeVar

Item = TypeVar("Item")

SURE_GAP = Fraction(10)
"""Seconds that a picture may stand without any doubt (FFmpeg's -dts_delta_threshold)."""
LONGEST_GAP = Fraction(600)
"""Seconds that a picture may stand in a file that does not say how long it is: screen recordings of a still screen."""
RESTARTING = ("mpegts", "mpeg", "mpegvideo", "vob")
"""Containers whose clock may start again at any place, which FFmpeg marks AVFMT_TS_DISCONT."""

MOST_TOGETHER = 8
"""Items that may wait for the next good stamp: with more, the stamps stand still and tell nothing."""


@dataclass(frozen=True)
class Stamped(Generic[Item]):
    """An item of a stream and when the file says it is shown."""

    time: Fraction | None  # seconds; None where the file does not say
    duration: Fraction  # seconds, 0 where the file does not say
    item: Item


@dataclass(frozen=True)
class Believable:
    """Which steps of a file's clock are pauses of the clip and which are faults of the file."""

    container: str  # FFmpeg's name of the format, alternatives with commas
    length: Fraction | None  # seconds from the first stamp on that the file says it lasts

    def pause(self, begin: Fraction, end: Fraction) -> bool:
        """Whether a picture may stand from `begin` to `end`, seconds from the first stamp on."""
        if end - begin <= SURE_GAP:
            return True
        if self.container in RESTARTING:
            return False
        if self.length is not None:
            return end <= self.length + 1
        return end - begin <= LONGEST_GAP


class Clock:
    """The rising time behind stamps that may start again; one for each stream of a file."""

    def __init__(self, believable: Believable):
        self.believable = believable
        self.offset = Fraction(0)  # seconds to add to the file's stamps in the current part
        self.offsets: list[Fraction] = [Fraction(0)]  # of each part so far
        self.first: Fraction | None = None
        self.last: Fraction | None = None  # the latest time given
        self.due = Fraction(0)  # when the next item is expected

    def breaks(self, time: Fraction) -> bool:
        """Whether a part of its own begins with the item of this time (offset included)."""
        if self.first is None or self.last is None:
            return False
        return time < self.last or not self.believable.pause(self.due - self.first, time - self.first)

    def restart(self, stamp: Fraction) -> None:
        """A part begins: its first stamp is due now."""
        self.offset = self.due - stamp
        self.offsets.append(self.offset)

    def pass_to(self, time: Fraction, duration: Fraction) -> None:
        """An item is shown at `time` for `duration` seconds."""
        self.first = time if self.first is None else self.first
        self.last = time
        self.due = time + duration


def rising(
    items: Iterable[Stamped[Item]], usual: Fraction, believable: Believable
) -> Iterator[Stamped[Item]]:
    """The items in their order with strictly rising times; none is lost.

    usual: seconds from one item to the next where the stamps do not tell. A clock that starts again, or jumps by what is no
    pause, goes on from where it was; a single stamp that stands out of its row, a repeated one and a missing one are spread
    evenly to the next good one.
    """
    clock = Clock(believable)
    together: list[Stamped[Item]] = []  # share the first one's time until the next good stamp
    for current, following in _with_next(items):
        time = None if current.time is None else current.time + clock.offset
        if time is not None and together and _is_stray(time, following, clock, usual):
            time = None
        if time is not None and clock.breaks(time):
            yield from _spread(together, clock.due, usual)
            clock.restart(current.time or Fraction(0))
            time, together = clock.due, []
        waits = (
            time == clock.last if time is not None else following is not None and following.time is not None
        )
        if together and waits and len(together) < MOST_TOGETHER:
            together.append(current)
            clock.due = max(clock.due, (clock.last or Fraction(0)) + len(together) * usual)
            continue
        time = clock.due if time is None or time == clock.last else time
        yield from _spread(together, time, usual)
        duration = current.duration
        if duration <= 0 or not believable.pause(Fraction(0), duration):
            duration = usual
        clock.pass_to(time, duration)
        together = [Stamped(time, duration, current.item)]
    yield from _spread(together, clock.due, usual)


def _is_stray(time: Fraction, following: Stamped[Item] | None, clock: Clock, usual: Fraction) -> bool:
    """Whether a stamp stands out of its row: the next one lies in the row again."""
    if clock.last is None or clock.last <= time <= clock.due + usual:
        return False
    if following is None:
        return time < clock.last
    if following.time is None:
        return False
    after = following.time + clock.offset
    return clock.last < after <= clock.due + 3 * usual and not clock.last < time < after


def _spread(together: list[Stamped[Item]], end: Fraction, usual: Fraction) -> Iterator[Stamped[Item]]:
    """Items that share the first one's time, one after the other until `end`."""
    if not together:
        return
    begin = together[0].time or Fraction(0)
    if len(together) == 1:
        yield together[0]
        return
    step = min(usual, (end - begin) / len(together)) if end > begin else usual
    for number, one in enumerate(together):
        yield Stamped(begin + number * step, step, one.item)


def _with_next(items: Iterable[Item]) -> Iterator[tuple[Item, Item | None]]:
    """Each item with the one after it, None after the last."""
    remaining = iter(items)
    for current in remaining:
        for following in remaining:
            yield current, following
            current = following
        yield current, None
