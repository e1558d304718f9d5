"""explore.py from the command line."""

import signal
import subprocess
import sys
import urllib.request
from http.cookiejar import CookieJar
from pathlib import Path

import pytest

import explore
from bert_jax.errors import ConfigError

ROOT = Path(__file__).parent.parent
ENCODER = str(ROOT / "examples/nsmc_encoder")


def test_the_first_line_is_the_address_and_ctrl_c_ends_it_well():
    command = [sys.executable, "explore.py", ENCODER, "--no-browser"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            address = process.stdout.readline().strip()
            assert address.startswith("http://127.0.0.1:")
            browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
            assert b"Fill the blank" in browser.open(address, timeout=60).read()
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 0
        finally:
            process.kill()


def test_the_page_opens_in_a_browser_only_where_there_is_a_screen(monkeypatch):
    opened = []
    monkeypatch.setattr("bert_jax.explorer.server.serve", lambda *args: opened.append(args[-1]))
    monkeypatch.setattr(sys, "platform", "linux")
    for variable in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(variable, raising=False)
    assert explore.main(explore.ExploreConfig(ENCODER)) == 0
    monkeypatch.setenv("DISPLAY", ":0")
    assert explore.main(explore.ExploreConfig(ENCODER)) == 0
    assert explore.main(explore.ExploreConfig(ENCODER, browser=False)) == 0
    assert opened == [False, True, False]


def test_a_page_is_saved(tmp_path, capsys):
    page = tmp_path / "page.html"
    config = explore.ExploreConfig(ENCODER, ("재미있는 영화",), save=str(page))
    assert explore.main(config) == 0
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert str(page) in capsys.readouterr().out


def test_the_curves_of_runs_are_saved_without_a_text(tmp_path):
    run = tmp_path / "runs" / "one"
    run.mkdir(parents=True)
    (run / "metrics.jsonl").write_text('{"step": 1, "split": "train", "loss": 2.5}\n')
    page = tmp_path / "page.html"
    assert explore.main(explore.ExploreConfig(str(run.parent), save=str(page))) == 0
    assert '"loss": [2.5]' in page.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("config", "wrong"),
    [
        (explore.ExploreConfig(ENCODER, ("a text",)), "without --save"),
        (explore.ExploreConfig(ENCODER, save="page.html"), "--save without a text"),
        (explore.ExploreConfig("no/such/model"), "no/such/model is not a model"),
        (explore.ExploreConfig(ENCODER, ("a",), save="gs://bucket/page.html"), "gs://bucket"),
    ],
)
def test_an_error_says_what_is_wrong(config, wrong):
    with pytest.raises(ConfigError, match=wrong):
        explore.main(config)


def test_without_the_extra_an_error_says_how_to_install_it(monkeypatch, capsys):
    monkeypatch.delitem(sys.modules, "bert_jax.explorer.server", raising=False)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    monkeypatch.setattr(sys, "argv", ["explore.py", ENCODER])
    assert explore.command_line() == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    assert 'pip install "bert_jax[page]"' in lines[2]
