"""A run that ends by an exception while a save is under way, for tests of the scripts."""

import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from bert_jax.training import checkpoint


def interrupt_while_saving(script: ModuleType, config: Any, monkeypatch: pytest.MonkeyPatch) -> int:
    """Runs `script.main`, whose loop starts a slow save and is interrupted; the steps on disk."""
    hash_files = checkpoint.hash_files

    def slow(*args, **options):
        time.sleep(1)
        return hash_files(*args, **options)

    def fit(state, *args, parallel, checkpoints, **options):
        checkpoints.save(1, parallel.get_state(state), {"step": 1})
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, "hash_files", slow)
    monkeypatch.setattr(script, "fit", fit)
    with pytest.raises(KeyboardInterrupt):
        script.main(config)
    run = Path(config.runs_dir) / config.name
    return len(list((run / "checkpoints").glob("*.manifest.json")))
