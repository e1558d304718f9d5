"""A run that ends by an exception while a save is in progress, for tests of the scripts."""

import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from bert_jax.training import checkpoint


def interrupt_while_saving(script: ModuleType, config: Any, monkeypatch: pytest.MonkeyPatch) -> int:
    """Interrupt `script.main` while its loop saves slowly; return the number of steps on disk."""
    hash_files = checkpoint.hash_files

    def slow(*args, **options):
        time.sleep(1)
        return hash_files(*args, **options)

    def fit(run, *args, **options):
        run.checkpoints.save(1, run.parallel.get_state(run.state), {"step": 1})
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, "hash_files", slow)
    monkeypatch.setattr(script, "fit", fit)
    with pytest.raises(KeyboardInterrupt):
        script.main(config)
    run = Path(config.runs_dir) / config.name
    return len(list((run / "checkpoints").glob("*.manifest.json")))
