"""The programs of a translation run: built for devices, and compiled before it starts."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import jax
from jax import Array

from bert_jax.lineage.batch_decoding import Searcher, rows_together
from bert_jax.lineage.bitext_batches import (
    Batching,
    EncodedPair,
    planned_batches,
    translation_eval_batches,
)
from bert_jax.lineage.config import SearchConfig, TrainTranslatorConfig, TransformerConfig
from bert_jax.lineage.translation import build_translator, make_translation_objective
from bert_jax.nn.execution import DEFAULT_EXECUTION, Execution, choose_execution, device_platform
from bert_jax.training.ahead import Program, programs_of_batches
from bert_jax.training.optimizers import make_optimizer
from bert_jax.training.parallel import DataParallel
from bert_jax.training.step import TrainState, make_eval_step, make_state_init, make_train_step


class TranslationPrograms(NamedTuple):
    """Programs of a run on some devices; nothing is compiled yet."""

    train_step: Callable[[Any, Any], tuple[Any, Any]]
    """Sharded training step, `(state, batch) -> (state, metrics)`."""
    eval_step: Callable[[Any, Any], Any]
    """Sharded evaluation step, `(parameters, batch) -> metrics`."""
    searchers: Mapping[SearchConfig, Searcher]
    """Greedy search, for evaluations, and the run's search, for the best checkpoint."""
    greedy: SearchConfig
    """The first of them."""
    init_state: Callable[[Array, Array], TrainState]
    """From `make_state_init`: `(parameter key, dropout key) -> state`."""
    schedule: Callable[[int], Any]
    """Learning rate of each step, counted from 0."""
    batching: Batching
    """Size of training batches."""
    parallel: DataParallel
    """Devices."""


def build_programs(config: TrainTranslatorConfig, parallel: DataParallel) -> TranslationPrograms:
    """Build the programs of a run.

    Args:
        config: the run, with the size of its vocabulary.
        parallel: devices to run on, or to compile for.

    Raises:
        ConfigError: the devices cannot share a batch.
    """
    if config.batch_size is not None:
        parallel.check_batch_size(config.batch_size)
    init, merge = build_translator(config.model)
    objective = make_translation_objective(
        merge, config.label_smoothing, choose_translator_execution(config, parallel)
    )
    optimizer, schedule = make_optimizer(config.optimizer, config.loop.steps)
    greedy = replace(config.search, num_beams=1)
    max_positions = config.model.max_positions
    return TranslationPrograms(
        train_step=parallel.shard(make_train_step(objective, optimizer)),
        eval_step=parallel.shard(make_eval_step(objective), donate=False),
        searchers={
            search: Searcher(merge, search, max_positions, parallel)
            for search in {greedy, config.search}
        },
        greedy=greedy,
        init_state=make_state_init(init, optimizer, parallel.replicated),
        schedule=schedule,
        batching=Batching(
            config.batch_tokens, config.batch_size, parallel.num_devices, config.min_length
        ),
        parallel=parallel,
    )


def choose_translator_execution(config: TrainTranslatorConfig, parallel: DataParallel) -> Execution:
    """Choose dtypes and kernels; LSTMs always compute in float32."""
    if not isinstance(config.model, TransformerConfig):
        return DEFAULT_EXECUTION
    return choose_execution(
        config.attention,
        platform=device_platform(parallel.mesh.devices.flat[0]),
        dtype=config.dtype,
        dropout_rate=config.model.attention_probs_dropout_prob,
    )


def largest_programs(
    config: TrainTranslatorConfig,
    programs: TranslationPrograms,
    encoded: Mapping[str, Sequence[EncodedPair]],
) -> list[Program]:
    """Return the programs of a run's largest batches, to compile them before it starts.

    Args:
        config: the run.
        programs: its programs.
        encoded: pairs by split.
    """
    parallel, key = programs.parallel, jax.random.key(0)
    state = parallel.state_shapes(jax.eval_shape(programs.init_state, key, key))
    dev, reported = encoded["dev"], encoded.get("test", encoded["dev"])
    num_rows = rows_together(parallel.num_devices)
    held_out = [batch for _, batch in translation_eval_batches(dev, num_rows)]
    programs_of_run = programs_of_batches(
        "training step",
        programs.train_step,
        state,
        planned_batches(encoded["train"], programs.batching),
        parallel,
        remedy="pass a smaller --batch-tokens or --batch-size",
    ) + programs_of_batches(
        "evaluation",
        programs.eval_step,
        state.params,
        held_out,
        parallel,
        resident=state.opt_state,
        remedy="leave out the longest held-out pairs",
    )
    searched = {programs.greedy: dev[: config.eval_pairs]}
    searched[config.search] = [*searched.get(config.search, ()), *reported]
    for search, pairs in searched.items():
        searcher = programs.searchers[search]
        programs_of_run += programs_of_batches(
            "greedy search" if search.num_beams == 1 else f"search with {search.num_beams} beams",
            searcher.step,
            state.params,
            [batch for _, batch in searcher.batches([pair.source for pair in pairs])],
            parallel,
            resident=state.opt_state,
            remedy="pass a smaller --search.extra-tokens, or a smaller --search.num-beams",
        )
    return programs_of_run
