"""The whole road in a few minutes: text → vocabulary → rows → a tiny BERT → a classifier → labels.

Nothing is downloaded: the text is the language reference that CPython itself carries, and reviews
in English and Korean that this project wrote.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import bert_jax
import finetune
import predict
import prepare
import pretrain
from bert_jax.config import PrepareConfig
from bert_jax.data.rejects import Rejects
from bert_jax.data.tables import read_table
from bert_jax.errors import ConfigError, errors_for_people
from bert_jax.training.runlog import read_metrics
from configs.finetune import demo as reviews
from configs.pretrain import demo

FOLDER = Path("data")
SENTENCES = [
    "The [MASK] statement is used to define a function.",
    "If the attribute is not found, an [MASK] is raised.",
    "See section [MASK] for more information.",
]
NEW_REVIEWS = [
    "The food was delicious and the staff were friendly.",
    "A boring story, terrible actors, and a waste of an evening.",
    "직원분들이 친절하고 방도 깨끗해서 정말 좋았어요.",
    "배송도 늦고 품질도 별로라서 실망했습니다.",
]


def main() -> int:
    """Runs the demonstration; returns the exit code."""
    # --- Text: one file, a blank line between documents ---------------------------------------
    text = FOLDER / "demo.txt"
    FOLDER.mkdir(exist_ok=True)
    text.write_text(corpus(), encoding="utf-8")

    # --- Rows: uncased; accents are kept, because stripping them takes Hangul apart -----------
    config = PrepareConfig(
        inputs=(str(text),), output=str(FOLDER / "demo"), vocab_size=5000, lowercase=True,
        strip_accents=False, lengths=(32,), dupe_factor=4, eval_share=0.1,
    )  # fmt: skip
    report = prepare.main(config)

    # --- Pretraining: after an interruption, the same command goes on -------------------------
    code = go_on(pretrain.main, replace(demo(), name="demo"))
    if code:
        return code

    # --- What it has learned ------------------------------------------------------------------
    metrics = read_metrics(Path("runs/demo/metrics.jsonl"))
    train, held_out = (
        [record["mlm_loss"] for record in metrics if record["split"] == split]
        for split in ("train", "eval")
    )
    print(
        f"MLM loss: {train[0]:.2f} at first, {train[-1]:.2f} at the end, {held_out[-1]:.2f} on"
        f" held-out text; by word frequencies alone {report['unigram_loss']:.2f}"
    )
    model = bert_jax.load("runs/demo")
    for sentence in SENTENCES:
        guesses = ", ".join(f"{word} {p:.0%}" for word, p in model.fill_mask(sentence)[0])
        print(f"{sentence}\n    {guesses}")

    # --- Fine-tuning: are reviews positive or negative? ---------------------------------------
    code = go_on(finetune.main, reviews())
    if code:
        return code

    # --- Predictions for new reviews, as predict.py writes them -------------------------------
    model_dir = Path(reviews().runs_dir) / reviews().name / "model"
    new, said = FOLDER / "new_reviews.txt", FOLDER / "new_reviews.jsonl"
    new.write_text("".join(f"{review}\n" for review in NEW_REVIEWS), encoding="utf-8")
    predict.main(predict.PredictConfig(str(model_dir), str(new), output=str(said)))
    predictions = [json.loads(line) for line in said.read_text(encoding="utf-8").splitlines()]
    for p in predictions:
        print(f"{p['label']} {p['probability']:.0%}  {p['text']}")

    # --- The exported directory, opened again, says the same ----------------------------------
    classifier = bert_jax.load(model_dir)
    again = classifier.predict(NEW_REVIEWS)
    if [{"text": text, **p} for text, p in zip(NEW_REVIEWS, again, strict=True)] != predictions:
        print(f"{model_dir}, opened again, gives other predictions: this is a defect")
        return 1
    texts, labels = read_reviews(reviews().dev)
    guesses = [p["label"] for p in classifier.predict(texts)]
    right = sum(guess == label for guess, label in zip(guesses, labels, strict=True))
    majority = max(labels.count(label) for label in set(labels))
    print(
        f"{model_dir}, opened again, says the same; of {len(texts)} held-out reviews it has"
        f" {right / len(texts):.0%} right (always the same answer: {majority / len(texts):.0%})"
    )
    return 0


def go_on(script: Callable[[Any], int], config: Any) -> int:
    """Runs a script; a run that began on other text cannot go on, nor take another name."""
    try:
        return script(config)
    except ConfigError as error:
        raise ConfigError(
            str(error).splitlines()[0],
            "runs that began with this version of the demo",
            "rm -r runs/demo runs/demo_reviews, then run the demo again",
        ) from None


def corpus() -> str:
    """The language reference and the reviews; a paragraph is taken where it first occurs."""
    texts, _ = read_reviews(reviews().train)
    documents = [topics[name].split("\n\n") for name in sorted(topics)]
    documents += [texts[start : start + 8] for start in range(0, len(texts), 8)]
    seen, lines = set(), []
    for document in documents:
        for paragraph in document:
            line = " ".join(paragraph.split())
            if line not in seen:
                lines.append(line)
            seen.add(line)
        lines.append("")
    return "\n".join(lines)


def read_reviews(name: str) -> tuple[list[str], list[str]]:
    """Texts and labels of a table."""
    rows = [record.values for record in read_table(name, Rejects()).records]
    return [row["text"] for row in rows], [row["label"] for row in rows]


@errors_for_people
def command_line() -> int:
    """Runs `main`; returns the exit code."""
    return main()


if __name__ == "__main__":
    sys.exit(command_line())
