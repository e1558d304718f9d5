"""Worker processes: build the shards of all bundles on the cores of this machine."""

import collections
import functools
import gc
import itertools
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.process import BaseProcess
from typing import Any

from bert_jax.corpus.build import BundleStats, Job, build_shards
from bert_jax.corpus.bundles import Bundle, Corpus
from bert_jax.errors import DataError
from bert_jax.reading.cleaning import Findings


def count_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def build_with_workers(
    corpus: Corpus, job: Job, findings: Findings, num_workers: int
) -> Generator[BundleStats, None, None]:
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
    others = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(num_workers, context, _start_worker)
    try:
        submit = functools.partial(_submit_without_interrupts, pool)
        yield from _build_in_order(submit, bundles, job, num_workers + 1)
    except BrokenProcessPool:
        raise DataError(
            "a worker process was killed",
            "workers that live until their bundle is done",
            "if memory ran out, pass fewer --workers or a smaller --bundle-mb",
        ) from None
    except BaseException:  # Ctrl-C, a bad file, a full disk: no worker's result is of use
        _kill_workers(pool, set(multiprocessing.active_children()) - others)
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _kill_workers(pool: ProcessPoolExecutor, workers: Iterable[BaseProcess]) -> None:
    """Kill workers, so that `pool.shutdown` does not wait for the rest of a result.

    A worker that is killed in the middle of its result leaves the pool's thread waiting for the
    other half as long as some process can write it; this process is the last one that can.
    """
    for worker in workers:
        worker.kill()
        worker.join()
    pool._result_queue._writer.close()  # type: ignore[attr-defined]


def _start_worker() -> None:
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # the cores are busy already
    gc.disable()  # workers create no cycles, and collecting them would take a tenth of the time
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End this process when its parent ends, however it ends: nothing else would."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _submit_without_interrupts(pool: ProcessPoolExecutor, *args: Any) -> Future[BundleStats]:
    """Submit a task; a worker that is started for it never sees Ctrl-C, which ends its parent."""
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return pool.submit(*args)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


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
