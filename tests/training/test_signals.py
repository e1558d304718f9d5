import json
import os
import signal
import threading
import time

import pytest

from bert_jax.training.signals import StopSignal
from tests.training import children


@pytest.mark.usefixtures("hangup_heard")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_becomes_a_request_and_old_handlers_come_back(number, capfd):
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with StopSignal() as stop:
        assert not stop.requested(1)
        os.kill(os.getpid(), number)
        assert stop.requested(2)
        assert stop.requested(3)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
    assert f"{number.name}: finishing this step" in capfd.readouterr().err


def test_the_second_ctrl_c_interrupts_at_once():
    with StopSignal() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.requested(1)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_a_closed_terminal_is_ignored_under_nohup(capfd):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with StopSignal() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not stop.requested(1)
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_it_needs_the_main_thread_and_says_so():
    errors = []

    def enter():
        try:
            with StopSignal():
                pass
        except RuntimeError as error:
            errors.append(str(error))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert errors == ["StopSignal needs the main thread: only it receives signals"]


STEPS = """
import json, sys, time
from pathlib import Path
import jax
from bert_jax.training.checkpoint import Checkpoints
from bert_jax.training.signals import StopSignal
checkpoints = Checkpoints(Path(sys.argv[-1]), {}, 2, log=lambda text: None)
state = {"w": jax.numpy.zeros(10)}
with StopSignal() as stop:
    print("started", flush=True)
    for step in range(1, 2000):
        time.sleep(0.01)
        if stop.requested(step):
            break
if jax.process_count() == 1:
    checkpoints.save(step, state, {}, block=True)
print(json.dumps(step), flush=True)
checkpoints.close()
sys.exit(75 if step < 1999 else 0)
"""


@pytest.mark.usefixtures("hangup_heard")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_saves_and_ends_one_process_within_seconds(tmp_path, number):
    child = children.start(STEPS, tmp_path)
    assert child.stdout.readline() == "started\n"
    time.sleep(0.2)
    child.send_signal(number)
    sent = time.monotonic()
    code, out, err = children.finish(child)
    assert code == 75, err
    assert time.monotonic() - sent < 15  # about 2 s on an idle machine
    step = json.loads(out)
    assert (tmp_path / f"{step}.manifest.json").exists()


@pytest.mark.usefixtures("hangup_heard")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_to_one_of_two_processes_stops_both_at_the_same_step(tmp_path, number):
    pair = children.start_pair(STEPS, tmp_path)
    for child in pair:
        while (line := child.stdout.readline()) != "started\n":
            assert line or child.poll() is None
    time.sleep(0.5)
    pair[1].send_signal(number)
    results = children.finish_pair(pair)
    assert [code for code, _, _ in results] == [75, 75], results
    steps = [json.loads(out.splitlines()[-1]) for _, out, _ in results]
    assert steps[0] == steps[1] < 1999
