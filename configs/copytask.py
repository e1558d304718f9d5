"""Runs of the Neural Turing Machine and of its LSTM baseline: `python copytask.py NAME`."""

from bert_jax.config import LoopConfig, OptimizerConfig
from bert_jax.lineage.config import AddressingConfig, CopyTaskConfig, MemoryTaskConfig, NTMConfig

# RMSProp with momentum and element-wise gradient clipping (Graves et al. 2014, section 4.6).
RMSPROP = OptimizerConfig(
    name="rmsprop",
    schedule="constant",
    learning_rate=1e-4,
    warmup_steps=0,
    b1=0.9,
    b2=0.95,
    eps=1e-8,
    weight_decay=0.0,
    clip_norm=None,
    clip_value=10.0,
)


def copy() -> CopyTaskConfig:
    """Copy up to 20 vectors of 8 bits, at the size of Graves et al. 2014, section 4.1.

    Seeds 0, 1, 2 converged at steps 3500, 3000 and 2500. Wrong bits at 20: 0, 0.86, 0.02; at 40:
    0, 6.49, 0.49; share of wrong bits at 60: 1.0 %, 49.9 %, 4.5 %. A run may diverge soon after it
    has converged, so results are those of the best checkpoint.
    """
    return CopyTaskConfig(
        task=MemoryTaskConfig(),
        model=NTMConfig(),
        optimizer=RMSPROP,
        loop=LoopConfig(steps=10_000, log_every=100, eval_every=500, checkpoint_every=500),
    )


def copy_feed_forward() -> CopyTaskConfig:
    """`copy` with a feed-forward controller, which has no state of its own."""
    return CopyTaskConfig(
        task=MemoryTaskConfig(),
        model=NTMConfig(controller="feed_forward"),
        optimizer=RMSPROP,
        loop=LoopConfig(steps=10_000, log_every=100, eval_every=500, checkpoint_every=500),
    )


def copy_content_only() -> CopyTaskConfig:
    """`copy` with content-based addressing only: without locations there is no order.

    Seeds 0, 1, 2: 145, 142 and 147 of 320 bits wrong at 40 (chance: 160); 61 at 20.
    """
    return CopyTaskConfig(
        task=MemoryTaskConfig(),
        model=NTMConfig(
            addressing=AddressingConfig(interpolation=False, shift=False, sharpening=False)
        ),
        optimizer=RMSPROP,
        loop=LoopConfig(steps=4000, log_every=100, eval_every=500, checkpoint_every=500),
    )


def copy_lstm() -> CopyTaskConfig:
    """`copy` with an LSTM of about equal size, without external memory, on many more sequences.

    71,688 parameters, 80,000 sequences, 3 to 5 minutes on one busy core. Seeds 0, 1, 2: 52.7, 51.8
    and 51.6 of 160 bits wrong at 20; chance level from 60 on.
    """
    return CopyTaskConfig(
        task=MemoryTaskConfig(),
        model=NTMConfig(kind="lstm", width=128),
        optimizer=OptimizerConfig(
            schedule="constant",
            learning_rate=1e-3,
            warmup_steps=0,
            eps=1e-8,
            weight_decay=0.0,
        ),
        loop=LoopConfig(steps=5000, log_every=100, eval_every=500, checkpoint_every=500),
        batch_size=16,
    )


def repeat_copy() -> CopyTaskConfig:
    """Copy up to 10 vectors up to 10 times, then emit an end marker (section 4.2). Not yet run."""
    return CopyTaskConfig(
        task=MemoryTaskConfig("repeat_copy", max_size=10, max_repeats=10),
        model=NTMConfig(),
        optimizer=RMSPROP,
        loop=LoopConfig(steps=20_000, log_every=100, eval_every=500, checkpoint_every=500),
        eval_sizes=(5, 10, 20),
        eval_repeats=(5, 10, 20),
        criterion_sizes=(15,),
    )


def repeat_copy_short() -> CopyTaskConfig:
    """`repeat_copy` with up to 5 vectors up to 5 times, in a quarter of the time.

    Seeds 0, 1, 2: 18.7 %, 26.5 % and 0.2 % of the bits wrong at 5 x 5 (chance: 43 %). It learns
    slowly, and does not generalise to longer sequences.
    """
    return CopyTaskConfig(
        task=MemoryTaskConfig("repeat_copy", max_size=5, max_repeats=5),
        model=NTMConfig(),
        optimizer=RMSPROP,
        loop=LoopConfig(steps=20_000, log_every=100, eval_every=500, checkpoint_every=500),
        eval_sizes=(5, 10),
        eval_repeats=(5, 10),
        criterion_sizes=(8, 10),
    )


def associative_recall() -> CopyTaskConfig:
    """Output the item that followed the queried one, among 2 to 6 (section 4.3).

    The feed-forward controller has no state of its own, so it has to use the memory, and learns far
    sooner. Seeds 0, 1, 2: 2.1, 0 and 0.5 % of the bits wrong at 6 items, 3.3, 0.9 and 0.1 % at 12;
    seed 0 was unstable throughout its 30,000 steps. Seven minutes on one core.
    """
    return CopyTaskConfig(
        task=MemoryTaskConfig("associative_recall", width=6, min_size=2, max_size=6),
        model=NTMConfig(controller="feed_forward"),
        optimizer=RMSPROP,
        loop=LoopConfig(steps=30_000, log_every=100, eval_every=500, checkpoint_every=500),
        eval_sizes=(2, 4, 6, 8, 10, 12, 15, 20),
        criterion_sizes=(9, 12),
    )


def associative_recall_lstm() -> CopyTaskConfig:
    """`associative_recall` with an LSTM controller, for comparison.

    Seed 0, 10,000 steps: 11 % of the bits wrong at 2 items, 36 % at 6.
    """
    return CopyTaskConfig(
        task=MemoryTaskConfig("associative_recall", width=6, min_size=2, max_size=6),
        model=NTMConfig(),
        optimizer=RMSPROP,
        loop=LoopConfig(steps=10_000, log_every=100, eval_every=500, checkpoint_every=500),
        eval_sizes=(2, 4, 6, 8, 10, 12, 15, 20),
        criterion_sizes=(9, 12),
    )


RUNS = {
    run.__name__: run
    for run in (
        copy,
        copy_feed_forward,
        copy_content_only,
        copy_lstm,
        repeat_copy,
        repeat_copy_short,
        associative_recall,
        associative_recall_lstm,
    )
}
