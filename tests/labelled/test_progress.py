"""Progress of predictions: rows, and the share of the input that was read."""

from bert_jax.labelled.progress import RowProgress
from bert_jax.progress import Progress


def test_rows_and_share_follow_the_chunks():
    fractions = iter([0.5, 1.0])
    progress = Progress("rows", unit="rows")
    rows = RowProgress(progress, lambda: next(fractions))
    shown = []
    for _ in range(2):
        show = rows.start_chunk(1000)
        for share in (0.5, 1.0):
            show(share)
            shown.append((progress.describe(10.0).partition(" rows")[0], progress.share))
    assert shown == [("500", 0.25), ("1,000", 0.5), ("1,500", 0.75), ("2,000", 1.0)]


def test_the_share_of_an_input_of_unknown_length_is_unknown():
    progress = Progress("rows", unit="rows")
    RowProgress(progress, lambda: None).start_chunk(100)(1.0)
    assert progress.share is None
    assert progress.describe(50.0) == "100 rows, 2.0 rows/s"
