"""Weights & Biases: a run's metrics on a web page, beside the run's own files."""

import json
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bert_jax.config import to_json
from bert_jax.errors import UserError, one_line, warn
from bert_jax.filesystem import read_text, write_text
from bert_jax.training.rundir import redact

RUN_ID = "wandb_id.txt"
# Neither the console, the code, the command line, nor the machine is sent.
SETTINGS: dict[str, Any] = {
    "console": "off", "disable_git": True, "save_code": False, "x_disable_meta": True,
    "x_disable_stats": True,
}  # fmt: skip


class WandbTracker:
    """Metrics of one run, sent to a project of Weights & Biases.

    The key comes from `wandb login` or WANDB_API_KEY; wandb's other variables apply too, such as
    WANDB_MODE=offline. A failure is reported once, and never ends the training.

    Args:
        project: name of the project.
        config: the run's configuration, a dataclass.

    Raises:
        UserError: the [track] extra is not installed.
    """

    def __init__(self, project: str, config: Any):
        try:
            import wandb
        except ImportError:
            raise UserError(
                f"--wandb {project} needs wandb, which is not installed",
                "the [track] extra",
                'pip install "bert_jax[track]", or run without --wandb',
            ) from None
        self._wandb, self._project, self._config = wandb, project, config
        self._run: Any = None
        self._warned = False

    def start(self, folder: Path, step: int) -> None:
        """Begin the run of this directory at W&B, or continue it if it resumes at a step above 0.

        Its id is kept in the directory.
        """

        def start() -> None:
            path = folder / RUN_ID
            if step == 0 or not path.is_file():
                write_text(path, secrets.token_hex(8) + "\n")
            self._run = self._wandb.init(
                project=self._project,
                id=read_text(path).strip(),
                resume="allow",
                name="/".join(folder.absolute().parts[-2:]),
                config=json.loads(redact(to_json(self._config))),
                dir=str(folder),
                reinit="create_new",
                settings=self._wandb.Settings(**SETTINGS),
            )
            # W&B's own step only grows; a resumed run records some steps again.
            self._run.define_metric("*", step_metric="step")

        self._attempt(start)

    def record(self, split: str, step: int, values: Mapping[str, float]) -> None:
        """Send the metrics of a step; those that are NaN or infinite are shown as such."""
        if self._run is not None:
            named = {f"{split}/{name}": float(value) for name, value in values.items()}
            self._attempt(self._run.log, {"step": step, **named})

    def close(self, failed: bool = False) -> None:
        """Wait until everything is sent."""
        if self._run is not None:
            self._attempt(self._run.finish, int(failed))
            self._run = None

    def _attempt(self, work: Any, *args: Any) -> None:
        try:
            work(*args)
        except Exception as error:  # W&B's own errors have no common class
            if not self._warned:
                self._warned = True
                warn(f"Weights & Biases: {one_line(error)}; training continues without it")
