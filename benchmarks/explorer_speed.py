"""Time that the explorer's server takes for a keystroke: `python benchmarks/explorer_speed.py`.

A model of random weights, `mini` unless options say otherwise, with a vocabulary of 8,192, is
served as explore.py serves it. A sentence is typed, character by character; for each, every view
is asked what a page asks. A time is from the request to the end of the answer, over loopback. The
first is apart: it may wait for a program that is still being compiled. The time of all cores is
what an answer costs, also on a machine that others use.
"""

import http.client
import json
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import jax
import numpy as np
import tyro

from bert_jax.explorer.opening import Opened, make_views
from bert_jax.explorer.server import listen, make_application, make_server, prepare
from bert_jax.explorer.view import Json, View
from bert_jax.interop.huggingface import PretrainedModel
from bert_jax.models.architectures import architecture
from bert_jax.models.functional import build
from bert_jax.pretrained import Model
from bert_jax.tokenizer.rules import SPECIAL_TOKENS
from bert_jax.tokenizer.tokenizer import Tokenizer
from configs.pretrain import RUNS
from quiet import watch_host

VOCAB_SIZE = 8192
NUM_SYLLABLES = 2000
TOKEN = "token"


class Times(NamedTuple):
    """Times of a view, in milliseconds."""

    first: float
    later: list[float]
    cpu: float
    """Of all cores, for one request in the mean."""


def main(run: str = "mini", words: int = 12, rounds: int = 3, seed: int = 0) -> dict[str, Times]:
    """Print the median, and the time that 95 % of the answers take at most; return all times.

    Args:
        run: configuration of pretrain.py whose model is built.
        words: of the sentence; a word has 1 to 4 pieces.
        rounds: how often it is typed.
        seed: of the weights and of the sentence.
    """
    model = make_model(run, seed)
    opened = Opened(run, "", list(make_views("bert", model)))
    sentence = make_sentence(words, seed)
    print(f"{run}, {len(model.tokenizer.encode(sentence))} pieces, {jax.devices()[0].platform}")
    share_since = watch_host()
    prepare(opened)
    times = {}
    with listen(0) as listener:
        port = listener.getsockname()[1]
        application = make_application(opened, TOKEN, port)
        server = make_server(application)
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            for view in opened.views:
                times[view.name] = time_view(view, port, [sentence] * rounds)
                print(describe(view.name, times[view.name]))
        finally:
            server.should_exit = True
            thread.join()
    print(f"the host took {share_since():.0%} of the cores' time")
    return times


def make_model(run: str, seed: int) -> Model:
    """Return a model of random weights: syllables, alone and joined, and words of two of them."""
    alone = [chr(ord("가") + 5 * i) for i in range(NUM_SYLLABLES)]
    vocab = [*SPECIAL_TOKENS, *alone, *(f"##{syllable}" for syllable in alone)]
    vocab += [alone[i] + alone[i - far] for far in (1, 2, 3) for i in range(NUM_SYLLABLES)]
    vocab = vocab[:VOCAB_SIZE]
    config = replace(RUNS[run]().model, vocab_size=len(vocab))
    init, _ = build(config, architecture("BertForPreTraining", 0))
    params = init(jax.random.key(seed))
    return Model(PretrainedModel(config, "BertForPreTraining", params, Tokenizer(vocab)))


def make_sentence(num_words: int, seed: int) -> str:
    """Return a sentence of the model's syllables."""
    rng = np.random.default_rng(seed)
    syllables = [chr(ord("가") + 5 * i) for i in rng.integers(NUM_SYLLABLES, size=4 * num_words)]
    sizes = rng.integers(1, 5, size=num_words)
    return " ".join("".join(syllables[4 * i : 4 * i + n]) for i, n in enumerate(sizes))


def time_view(view: View, port: int, sentences: Sequence[str]) -> Times:
    """Type sentences into a view; of what a saved page would hold of each text, ask one thing."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    requests = []
    for sentence in sentences:
        for end in range(1, len(sentence) + 1):
            possible = view.to_save([sentence[:end]])
            requests.append(possible[len(possible) // 2])
    ask_one = partial(ask, connection, view.name, port)
    first = 1000 * timed(partial(ask_one, requests[0]))
    before = time.process_time()
    later = [1000 * timed(partial(ask_one, request)) for request in requests[1:]]
    cpu = 1000 * (time.process_time() - before) / len(later)
    connection.close()
    return Times(first, later, cpu)


def timed(run: Callable[[], object]) -> float:
    """Return the seconds that a call takes."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def ask(connection: http.client.HTTPConnection, view: str, port: int, request: Json) -> None:
    """Send a request, and read the whole answer."""
    headers = {"Content-Type": "application/json", "Cookie": f"explorer_{port}={TOKEN}"}
    connection.request("POST", f"/api/{view}", json.dumps(request), headers)
    response = connection.getresponse()
    body = response.read()
    if response.status != 200:
        raise SystemExit(f"{view}: {response.status} {body[:200]!r}")


def describe(name: str, times: Times) -> str:
    """Return a line on the times of a view."""
    median, high = statistics.median(times.later), float(np.quantile(times.later, 0.95))
    return (
        f"{name}: median {median:.1f} ms, 95 % under {high:.1f} ms, {len(times.later)} requests;"
        f" {times.cpu:.1f} ms of all cores; the first {times.first:.1f} ms"
    )


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)
