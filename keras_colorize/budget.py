"""A budget of memory that threads share."""

import ctypes
import threading

_LARGE = 100_000_000


class Budget:
    """Bytes that threads share; one that takes more than is free waits.

    Args:
        amount: of it all.
    """

    def __init__(self, amount: int) -> None:
        self._free = amount
        self._closed = False
        self._changed = threading.Condition()

    def take(self, amount: int) -> None:
        """Waits until there is that much, or the budget is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._free >= amount or self._closed)
            self._free -= amount

    def give(self, amount: int) -> None:
        """Gives back what was taken, and what glibc kept of it to the system."""
        if amount >= _LARGE:
            _trim()
        with self._changed:
            self._free += amount
            self._changed.notify_all()

    def close(self) -> None:
        """Ends all waits."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


def _trim() -> None:
    """Returns freed memory to the system: decoders free it in blocks that glibc keeps."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # Other C libraries have none.
    if trim is not None:
        trim(0)
