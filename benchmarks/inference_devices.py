"""Inference with parameters on the devices, against an upload for every batch.

    python benchmarks/inference_devices.py --layers 4 --width 256
    JAX_NUM_CPU_DEVICES=8 python benchmarks/inference_devices.py --layers 4 --width 256

Measures a batch of short texts (a request of a few, on one device) and a long list of them (on all
devices), through `Inference.hidden`, with a model of random weights. The sides take turns: the
parameters as NumPy arrays, as a file is read; and where `bert_jax.load` puts them.
"""

import statistics
import time

import jax
import numpy as np
import tyro

from bert_jax.config import BertConfig
from bert_jax.inference import Inference
from bert_jax.interop.huggingface import PretrainedModel
from bert_jax.labelled.batching import EncodedText
from bert_jax.models.architectures import architecture
from bert_jax.models.functional import build
from bert_jax.tokenizer.rules import Casing
from bert_jax.tokenizer.tokenizer import Tokenizer

VOCAB = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a"]
BATCH = 4  # rows of 64 tokens


def main(layers: int = 4, width: int = 256, batches: int = 16, rounds: int = 20) -> None:
    """Time both sides, and print the medians.

    Args:
        layers: encoder layers.
        width: model width, a multiple of 64.
        batches: batches of one device in the long list.
        rounds: times that each side computes each list.
    """
    config = BertConfig(
        width, layers, width // 64, 4 * width, vocab_size=30522, attention_probs_dropout_prob=0.0
    )
    init, _ = build(config, architecture("BertModel"))
    params = jax.tree.map(np.array, jax.jit(init)(jax.random.key(0)))
    saved = PretrainedModel(config, "BertModel", params, Tokenizer(VOCAB, Casing(False)))
    uploads, placed = Inference(saved), Inference(saved)
    # What a program gets that holds the arrays of a file: NumPy arrays.
    uploads._on_one = uploads._on_all = (params, *uploads._on_one[1:])
    sides = {"uploaded for every batch": uploads, "put on the devices once": placed}
    print(f"{layers} layers of {width}, batches of {BATCH} x 64 tokens, on {jax.devices()}")
    for about, count in ((f"{BATCH} rows", BATCH), (f"{batches * BATCH} rows", batches * BATCH)):
        texts = [EncodedText([5] * 62, 62, {}) for _ in range(count)]
        seconds: dict[str, list[float]] = {name: [] for name in sides}
        for number in range(rounds + 1):
            for name, side in sides.items():
                start = time.perf_counter()
                side.hidden(texts, BATCH)
                if number:  # the first round compiles
                    seconds[name].append(time.perf_counter() - start)
        for name, values in seconds.items():
            median, best = 1000 * statistics.median(values), 1000 * min(values)
            print(f"  {about}, parameters {name:26s} {median:8.1f} ms (fastest {best:.1f})")


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)
