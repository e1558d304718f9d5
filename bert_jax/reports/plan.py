"""The plan of a pretraining run (`--dry-run`): parameters, memory, steps; nothing is allocated."""

import jax

from bert_jax.config import PretrainConfig, phase_spans, to_json
from bert_jax.corpus.prepared import PreparedData
from bert_jax.errors import DataError
from bert_jax.models.functional import build, count_parameters
from bert_jax.nn.execution import Execution
from bert_jax.training.flops import memory_estimate

ASSUMED_VOCAB_SIZE = 30_522


def describe_plan(config: PretrainConfig, execution: Execution) -> list[str]:
    """Describe what a run takes: its configuration, parameters, and each phase.

    Args:
        config: the run; where its data is not prepared yet, a vocabulary size is assumed.
        execution: dtypes and kernels, for the memory.
    """
    lines = []
    try:
        data = PreparedData(config.data)
        config = config.with_vocab_size(data.tokenizer.vocab_size)
    except DataError as error:
        data, size = None, config.model.vocab_size or ASSUMED_VOCAB_SIZE
        reason = error.args[0].splitlines()[0]
        lines.append(f"no data yet ({reason}): a vocabulary of {size:,} is assumed")
        config = config.with_vocab_size(size)
    shapes = jax.eval_shape(build(config.model)[0], jax.random.key(0))
    num_parameters, num_devices = count_parameters(shapes), jax.device_count()
    lines += [
        to_json(config),
        f"parameters          {num_parameters:,}",
        f"devices             {num_devices} x {jax.devices()[0].device_kind}",
    ]
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
        if data:
            num_rows = len(data.rows(phase.length, "train"))
            epochs = (span.stop - span.start) * phase.batch_size / num_rows
            lines += [
                f"  steps per epoch   {num_rows / phase.batch_size:,.1f} ({num_rows:,} rows)",
                f"  epochs            {epochs:,.1f}",
            ]
        lines.append(
            f"  memory per device {memory.total / 1e9:.2f} GB (parameters "
            f"{memory.parameters / 1e9:.2f}, optimizer {memory.optimizer / 1e9:.2f}, gradients "
            f"{memory.gradients / 1e9:.2f}, activations {memory.activations / 1e9:.2f})"
        )
    return lines
