"""The run that ends another one early: it decays the learning rate from one of its steps."""

import dataclasses

from bert_jax.config.pretraining import PretrainConfig, phase_at, phase_spans
from bert_jax.errors import ConfigError


def decay_run(config: PretrainConfig) -> PretrainConfig:
    """Return the run that `decay_from` asks for; without it, the run itself.

    It extends the run's checkpoint at that step, with the row length and batch size of the steps
    after it, at a rate that falls linearly from the peak to 0. So one run at a constant rate gives
    a finished model for each of many lengths (Hägele et al. 2024, section 3). A mask rate that
    changes goes on from its value at that step.

    Args:
        config: the run to end, with its number of steps.

    Raises:
        ConfigError: the run's rate is not at its peak at that step.
    """
    step = config.decay_from
    if step is None:
        return config
    optimizer, first, last = config.optimizer, config.optimizer.warmup_steps, config.loop.steps
    if optimizer.schedule not in ("wsd", "constant") or optimizer.name == "original":
        raise ConfigError(
            f"--decay-from {step}, but the learning rate of {config.name} falls all the time",
            "a run whose rate stays at its peak",
            "train a run with --optimizer.schedule wsd, and --keep-every to keep its checkpoints",
        )
    if optimizer.schedule == "wsd":
        last = optimizer.decay_start(last)
    if not first <= step <= last:
        raise ConfigError(
            f"--decay-from {step}, but the rate of {config.name} is at its peak from step "
            f"{first:,} to {last:,} alone",
            "a step between these",
            "pass the step of a checkpoint of that part of the run",
        )
    share = optimizer.decay_share
    steps = config.decay_steps or max(1, round(step * share / (1 - share)))
    phase = phase_at(phase_spans(config), min(step + 1, config.loop.steps))
    rate = config.masking.at(step, config.loop.steps).rate
    return dataclasses.replace(
        config,
        name=f"{config.name}-{step}+{steps}",
        extend_from=f"{config.runs_dir}/{config.name}/checkpoints/{step}",
        optimizer=dataclasses.replace(optimizer, schedule="linear", warmup_steps=0),
        loop=dataclasses.replace(config.loop, steps=steps),
        phases=(dataclasses.replace(phase, share=1.0),),
        masking=dataclasses.replace(config.masking, rate=rate),
        encoder=None,
        epochs=None,
        decay_from=None,
        decay_steps=None,
    )
