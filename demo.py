"""The whole road in a few minutes: text → vocabulary → rows → a tiny BERT → filled masks.

The text is the language reference that CPython itself carries, so nothing is downloaded.
"""

import sys
from dataclasses import replace
from pathlib import Path
from pydoc_data.topics import topics

import bert_jax
import prepare
import pretrain
from bert_jax.config import PrepareConfig
from bert_jax.training.runlog import read_metrics
from configs.pretrain import demo

FOLDER = Path("data")
SENTENCES = [
    "The [MASK] statement is used to define a function.",
    "If the attribute is not found, an [MASK] is raised.",
    "See section [MASK] for more information.",
]


def main() -> int:
    """Runs the demonstration; returns the exit code."""
    # --- Text: one file, a blank line between documents ---------------------------------------
    text = FOLDER / "demo.txt"
    FOLDER.mkdir(exist_ok=True)
    documents = [topics[name] for name in sorted(topics)]
    lines = [" ".join(line.split()) for doc in documents for line in [*doc.split("\n\n"), ""]]
    text.write_text("\n".join(lines), encoding="utf-8")

    # --- Rows -------------------------------------------------------------------------------------
    config = PrepareConfig(
        inputs=(str(text),), output=str(FOLDER / "demo"), vocab_size=4000, lowercase=True,
        lengths=(128,), eval_share=0.05,
    )  # fmt: skip
    prepare.main(config)

    # --- Pretraining: after an interruption, the same command goes on ----------------------------
    code = pretrain.main(replace(demo(), name="demo"))
    if code:
        return code

    # --- What it has learned ---------------------------------------------------------------------
    metrics = read_metrics(Path("runs/demo/metrics.jsonl"))
    for split in ("train", "eval"):
        losses = [record["mlm_loss"] for record in metrics if record["split"] == split]
        print(f"{split:5} MLM loss: {losses[0]:.2f} at first, {losses[-1]:.2f} at the end")
    model = bert_jax.load("runs/demo")
    for sentence in SENTENCES:
        guesses = ", ".join(f"{word} {p:.0%}" for word, p in model.fill_mask(sentence)[0])
        print(f"{sentence}\n    {guesses}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
