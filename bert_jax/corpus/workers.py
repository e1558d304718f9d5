"""Worker processes: build the shards of all bundles on the cores of this machine."""

import collections
import gc
import itertools
import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from bert_jax.corpus.build import BundleStats, Job, build_shards
from bert_jax.corpus.bundles import Bundle, Corpus
from bert_jax.corpus.cleaning import Findings
from bert_jax.errors import DataError


def count_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def build_with_workers(
    corpus: Corpus, job: Job, findings: Findings, num_workers: int
) -> Iterator[BundleStats]:
    """Build the shards of all bundles, in order, on up to `num_workers` cores.

    At most `num_workers` + 2 bundles are held at a time, which bounds memory. A small corpus is
    built in this process: starting others would take longer.

    Raises:
        DataError: a worker process was killed.
    """
    parts = range(len(corpus.parts))
    bundles = itertools.chain.from_iterable(corpus.bundles(part, findings) for part in parts)
    num_workers = min(num_workers, corpus.num_bytes // corpus.bundle_options.bundle_bytes)
    if num_workers <= 1:
        yield from (build_shards(bundle, job) for bundle in bundles)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(num_workers, context, _start_worker) as pool:
        try:
            yield from _build_in_order(pool.submit, bundles, job, num_workers + 1)
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
    gc.disable()  # workers create no cycles, and collecting them would take a tenth of the time


def _build_in_order(
    submit: Callable[..., Future[BundleStats]],
    bundles: Iterable[Bundle],
    job: Job,
    max_pending: int,
) -> Iterator[BundleStats]:
    """Hand bundles to the workers, and yield results in the order of the bundles."""
    pending: collections.deque[Future[BundleStats]] = collections.deque()
    for bundle in bundles:
        pending.append(submit(build_shards, bundle, job))
        if len(pending) > max_pending:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()
