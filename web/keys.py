"""Keys in the live view: single letters that ask something of the night, the heavy ones only when pressed twice."""

import os
import select
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

QUIT = "q"
TWICE_S = 3.0
"""A heavy key counts when it is pressed again so soon."""


@dataclass(frozen=True, slots=True)
class Key:
    """What a letter asks; ``heavy`` ones must be pressed twice, for they end something."""

    verb: str
    words: str
    heavy: bool = False


KEYS: Mapping[str, Key] = {
    "p": Key("pause", "pause"),
    "r": Key("resume", "go on"),
    "s": Key("skip-square", "skip square", heavy=True),
    "g": Key("skip-grid", "skip grid", heavy=True),
    "x": Key("stop", "stop and park", heavy=True),
}
"""What the letters ask; ``q`` leaves the view, and the night goes on."""


@dataclass(slots=True)
class Keyboard:
    """Turns letters into commands.

    Attributes
    ----------
    ask
        Called with the verb that was asked.
    said
        What to show about the last key; empty when there is nothing to say.
    """

    ask: Callable[[str], object]
    timer: Callable[[], float] = time.monotonic
    said: str = ""
    _waiting: str = field(default="", init=False)
    _until: float = field(default=0.0, init=False)

    def press(self, letter: str) -> bool:
        """Take one letter; answers whether the view is to be left."""
        now, key = self.timer(), KEYS.get(letter)
        again = letter == self._waiting and now <= self._until
        self._waiting = ""
        if letter == QUIT:
            return True
        if key is None:
            self.said = ""
        elif key.heavy and not again:
            self._waiting, self._until = letter, now + TWICE_S
            self.said = f"press {letter} again to {key.words}"
        else:
            self.ask(key.verb)
            self.said = f"asked: {key.words}, at the next boundary"
        return False


def legend() -> str:
    """Name the keys in one line."""
    return "  ".join([*(f"{letter} {key.words}" for letter, key in KEYS.items()), f"{QUIT} quit view"])


@contextmanager
def letters() -> Iterator[Callable[[float], str]]:
    """Read single letters from the terminal while the body runs.

    Yields a function that waits so many seconds and answers the letter pressed, or nothing. Where standard input is no
    terminal, or the system has no such mode, it only waits.
    """
    try:
        import termios
        import tty
    except ImportError:
        yield _only_wait
        return
    try:
        terminal = sys.stdin.fileno()
        before = termios.tcgetattr(terminal)
    except (OSError, ValueError, AttributeError, termios.error):
        yield _only_wait
        return

    def letter(seconds: float) -> str:
        ready, _, _ = select.select([terminal], [], [], seconds)
        return os.read(terminal, 1).decode(errors="replace").lower() if ready else ""

    try:
        # Letters come one by one; Ctrl-C still interrupts.
        tty.setcbreak(terminal)
        yield letter
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)


def _only_wait(seconds: float) -> str:
    time.sleep(seconds)
    return ""
