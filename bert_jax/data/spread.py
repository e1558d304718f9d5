"""Bundles to shards on all cores of this machine."""

import collections
import gc
import itertools
import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from bert_jax.data.build import Built, Job, build_shards
from bert_jax.data.bundles import Bundle, Corpus
from bert_jax.data.cleaning import Findings
from bert_jax.errors import DataError


def num_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def build_locally(corpus: Corpus, job: Job, findings: Findings, workers: int) -> Iterator[Built]:
    """Builds the shards of all bundles, in order, on up to `workers` cores.

    At most `workers` + 2 bundles are held at a time, which bounds memory. A small corpus is
    built in this process: starting others would take longer.
    """
    parts = range(len(corpus.parts))
    bundles = itertools.chain.from_iterable(corpus.bundles(part, findings) for part in parts)
    workers = min(workers, corpus.num_bytes // corpus.cutting.bundle_bytes)
    if workers <= 1:
        yield from (build_shards(bundle, job) for bundle in bundles)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, _start_worker) as pool:
        try:
            yield from _in_order(pool.submit, bundles, job, workers + 1)
        except BrokenProcessPool:
            raise DataError(
                "a worker process was killed",
                "workers that live until their bundle is done",
                "if memory ran out, pass fewer --workers or a smaller --bundle-mb",
            ) from None
        finally:
            pool.shutdown(cancel_futures=True)


def _start_worker() -> None:
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # the cores are busy already
    gc.disable()  # nothing here makes cycles, and looking for them takes a tenth of the time


def _in_order(
    submit: Callable[..., Future[Built]], bundles: Iterable[Bundle], job: Job, ahead: int
) -> Iterator[Built]:
    waiting: collections.deque[Future[Built]] = collections.deque()
    for bundle in bundles:
        waiting.append(submit(build_shards, bundle, job))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
