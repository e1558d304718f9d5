"""Progress of predictions, whose inputs are read chunk by chunk from a file of unknown length."""

from collections.abc import Callable

from bert_jax.progress import Progress


class RowProgress:
    """Progress in rows; the share that is done is that of the bytes of the input.

    Args:
        progress: where it is shown.
        fraction: how much of the input was read, from 0 to 1; None if unknown.
    """

    def __init__(self, progress: Progress, fraction: Callable[[], float | None]):
        self._progress, self._fraction = progress, fraction
        self._rows = 0
        self._read: float | None = 0.0

    def start_chunk(self, size: int) -> Callable[[float], None]:
        """Return a function that takes the share of a chunk, just read, that is done."""
        rows, before, after = self._rows, self._read, self._fraction()
        self._rows += size
        self._read = after

        def show(share: float) -> None:
            known = before is not None and after is not None
            done = before + share * (after - before) if known else None
            self._progress.update(rows + share * size, done)

        return show
