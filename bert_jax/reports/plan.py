"""The plan of a pretraining run (`--dry-run`): parameters, memory, steps; nothing is allocated."""

from collections.abc import Mapping
from pathlib import Path

import jax

from bert_jax.config import PretrainConfig, decay_run, phase_spans, to_json
from bert_jax.corpus.prepared import PreparedData
from bert_jax.errors import DataError
from bert_jax.models.architectures import architecture
from bert_jax.models.functional import build, count_parameters
from bert_jax.nn.execution import Execution
from bert_jax.tasks.pretraining import data_identity, pretraining_architecture
from bert_jax.training.extension import open_extension
from bert_jax.training.flops import memory_estimate
from bert_jax.training.optimizers import warmup_warning

ASSUMED_VOCAB_SIZE = 30_522
MANY_EPOCHS, FEW_EPOCHS = 100, 0.1


def plan_warnings(
    config: PretrainConfig, num_rows: Mapping[int, int], held_out: bool = True
) -> list[str]:
    """Return warnings: of a warm-up that does not end, and of data read too often or too little.

    Args:
        config: the run.
        num_rows: training rows of each length; empty if they are not known.
        held_out: False if there are no held-out rows.
    """
    warnings = []
    if not held_out:
        warnings.append(
            "note: no held-out rows (prepare.py --eval-share 0): the run trains without "
            "evaluation, and its newest checkpoint counts as the best"
        )
    if warning := warmup_warning(config.optimizer, config.loop.steps):
        warnings.append(warning)
    if not num_rows:
        return warnings
    per_step = config.epochs_per_step(num_rows)
    epochs = config.loop.steps * per_step
    if epochs >= MANY_EPOCHS:
        warnings.append(
            f"warning: the run reads the prepared rows {epochs:,.0f} times and may memorize "
            f"them. Add text, or train for less: --epochs 40 is {max(1, round(40 / per_step)):,} "
            "steps"
        )
    elif epochs < FEW_EPOCHS:
        warnings.append(
            f"note: the run reads {epochs:.1%} of the prepared rows; --epochs 1 is "
            f"{max(1, round(1 / per_step)):,} steps"
        )
    return warnings


def describe_plan(config: PretrainConfig, execution: Execution, encoder_rows: int = 0) -> list[str]:
    """Describe what a run takes: its configuration, parameters, and each phase.

    Args:
        config: the run; where its data is not prepared yet, a vocabulary size is assumed.
        execution: dtypes and kernels, for the memory.
        encoder_rows: word embeddings of the model to start from.

    Raises:
        DataError: the data lacks a row length, or is not prepared and the run's length is in
            epochs.
    """
    lines: list[str] = []
    num_rows: dict[int, int] = {}
    try:
        data = PreparedData(config.data)
        config = config.with_vocab_size(data.tokenizer.vocab_size, encoder_rows)
    except DataError as error:
        if config.epochs is not None:
            raise
        data, size = None, config.model.vocab_size or encoder_rows or ASSUMED_VOCAB_SIZE
        reason = error.lines[0]
        lines.append(f"no data yet ({reason}): a vocabulary of {size:,} is assumed")
        config = config.with_vocab_size(size)
    nsp = config.nsp is not False
    if data:
        config = config.with_nsp(data.nsp)
        nsp = data.nsp and config.nsp is None
        data.require_lengths(phase.length for phase in config.phases)
        num_rows = {p.length: len(data.rows(p.length, "train")) for p in config.phases}
        config = decay_run(config.with_steps(num_rows))
        folder = Path(config.runs_dir) / config.name
        lines += open_extension(config, folder, data_identity(data, nsp)).describe()
    name = pretraining_architecture(nsp)
    shapes = jax.eval_shape(build(config.model, architecture(name))[0], jax.random.key(0))
    num_parameters, num_devices = count_parameters(shapes), jax.device_count()
    lines += [
        to_json(config),
        f"parameters          {num_parameters:,}",
        f"devices             {num_devices} x {jax.devices()[0].device_kind}",
    ]
    if num_rows:
        epochs = config.loop.steps * config.epochs_per_step(num_rows)
        lines.append(f"length              {config.loop.steps:,} steps, {epochs:,.2f} epochs")
    for span in phase_spans(config):
        phase = span.phase
        rows = max(1, phase.batch_size // num_devices // config.accumulation_steps)
        memory = memory_estimate(
            config.model, num_parameters, rows * phase.length, phase.length, execution
        )
        lines += [
            f"steps {span.start:,} to {span.stop:,} at length {phase.length}",
            f"  tokens per step   {phase.batch_size * phase.length:,}",
        ]
        if num_rows:
            rows_read = (span.stop - span.start) * phase.batch_size
            total = num_rows[phase.length]
            lines += [
                f"  steps per epoch   {total / phase.batch_size:,.1f} ({total:,} rows)",
                f"  epochs            {rows_read / total:,.2f}",
            ]
        lines.append(
            f"  memory per device {memory.total / 1e9:.2f} GB (parameters "
            f"{memory.parameters / 1e9:.2f}, optimizer {memory.optimizer / 1e9:.2f}, gradients "
            f"{memory.gradients / 1e9:.2f}, activations {memory.activations / 1e9:.2f})"
        )
    held_out = not data or all("eval" in data.splits(length) for length in num_rows)
    return lines + plan_warnings(config, num_rows, held_out)
