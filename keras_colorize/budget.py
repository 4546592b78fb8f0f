"""A budget that threads share: memory, mostly."""

import threading


class Budget:
    """An amount that threads share; one that takes more than is free waits.

    Args:
        amount: of it all, in any unit.
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
        """Gives back what was taken."""
        with self._changed:
            self._free += amount
            self._changed.notify_all()

    def close(self) -> None:
        """Ends all waits."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
