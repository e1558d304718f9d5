"""Progress lines: on a terminal, and seldom elsewhere."""

import pytest

from bert_jax.labelled.progress import Progress


@pytest.mark.parametrize("is_terminal", [True, False])
def test_progress_is_shown_on_a_terminal_and_seldom_elsewhere(monkeypatch, capsys, is_terminal):
    clock = [0.0]
    fractions = iter([0.5, 1.0])
    monkeypatch.setattr("sys.stderr.isatty", lambda: is_terminal)
    progress = Progress(lambda: next(fractions), lambda: clock[0])
    for _ in range(2):
        show = progress.start_chunk(1000)
        for share in (0.25, 0.5, 1.0):
            clock[0] += 2.0 * share
            show(share)
    progress.end()
    err = capsys.readouterr().err
    last = "2,000 rows in 7 s, 286 rows/s\n"
    if is_terminal:
        shown = err.split("\r\x1b[K")[1:]
        assert shown[0] == "1,000 rows, 286 rows/s, 50%, 0:04 left"
        assert shown[-2:] == ["2,000 rows, 286 rows/s, 100%, 0:00 left", last]
    else:
        assert err == last


def test_progress_is_logged_each_minute_without_a_terminal(capsys):
    clock = [0.0]
    progress = Progress(lambda: None, lambda: clock[0])
    for _ in range(5):
        show = progress.start_chunk(100)
        clock[0] += 31.0
        show(1.0)
    assert capsys.readouterr().err == "200 rows, 3.2 rows/s\n400 rows, 3.2 rows/s\n"
