"""Demo of the whole way, in a few minutes: `python demo.py`.

Text → vocabulary → rows → a tiny BERT → a classifier → predictions. Nothing is downloaded: the text
is the language reference that ships with CPython, and English and Korean reviews written for this
project. The last part starts from an encoder that read more: examples/nsmc_encoder.
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
from bert_jax.errors import ConfigError, report_user_errors
from bert_jax.labelled.rejects import Rejects
from bert_jax.labelled.tables import read_table
from bert_jax.pretrained import Model
from bert_jax.training.runlog import read_metrics
from configs.finetune import demo as reviews
from configs.finetune import demo_korean as korean_reviews
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
    """Run the demo; return the exit code."""
    # --- Text: one file, a blank line between documents ---------------------------------------
    text = FOLDER / "demo.txt"
    FOLDER.mkdir(exist_ok=True)
    text.write_text(corpus(), encoding="utf-8")

    # --- Rows: uncased; accents are kept, because stripping them decomposes Hangul ------------
    config = PrepareConfig(
        inputs=(str(text),), output=str(FOLDER / "demo"), vocab_size=5000, lowercase=True,
        strip_accents=False, lengths=(32,), dupe_factor=4, eval_share=0.1,
    )  # fmt: skip
    report = prepare.main(config)

    # --- Pretraining: re-run the demo to resume it after an interruption ----------------------
    code = run_script(pretrain.main, replace(demo(), name="demo"))
    if code:
        return code

    # --- Loss, and predictions for masked words -----------------------------------------------
    metrics = read_metrics(Path("runs/demo/metrics.jsonl"))
    train, held_out = (
        [record["mlm_loss"] for record in metrics if record["split"] == split]
        for split in ("train", "eval")
    )
    print(
        f"MLM loss: {train[0]:.2f} at the start, {train[-1]:.2f} at the end; on held-out text"
        f" {held_out[-1]:.2f} (unigram model: {report['unigram_loss']:.2f})"
    )
    model = bert_jax.load("runs/demo")
    for sentence in SENTENCES:
        predictions = ", ".join(f"{word} {p:.0%}" for word, p in model.fill_mask(sentence)[0])
        print(f"{sentence}\n    {predictions}")

    # --- Fine-tuning: sentiment of reviews ----------------------------------------------------
    code = run_script(finetune.main, reviews())
    if code:
        return code

    # --- Predictions for new reviews, as predict.py writes them -------------------------------
    model_dir = Path(reviews().runs_dir) / reviews().name / "model"
    texts, output = FOLDER / "new_reviews.txt", FOLDER / "new_reviews.jsonl"
    texts.write_text("".join(f"{review}\n" for review in NEW_REVIEWS), encoding="utf-8")
    predict.main(predict.PredictConfig(str(model_dir), str(texts), output=str(output)))
    written = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
    for p in written:
        print(f"{p['label']} {p['probability']:.0%}  {p['text']}")

    # --- The exported directory, reloaded, predicts the same ----------------------------------
    classifier = bert_jax.load(model_dir)
    reloaded = classifier.predict(NEW_REVIEWS)
    if [{"text": text, **p} for text, p in zip(NEW_REVIEWS, reloaded, strict=True)] != written:
        print(f"{model_dir} reloaded: other predictions; this is a bug")
        return 1
    print(f"{model_dir} reloaded: same predictions; {accuracy(classifier, reviews().dev)}")

    # --- The Korean ones again, from an encoder that has read 650,000 film reviews ------------
    korean = korean_reviews()
    write_korean_lines(reviews().train, korean.train)
    write_korean_lines(reviews().dev, korean.dev)
    code = run_script(finetune.main, korean)
    if code:
        return code
    model_dir = Path(korean.runs_dir) / korean.name / "model"
    print(f"{model_dir} from {korean.encoder}: {accuracy(bert_jax.load(model_dir), korean.dev)}")
    return 0


def run_script(main: Callable[[Any], int], config: Any) -> int:
    """Run a script's `main`; for a checkpoint of another demo, tell how to remove its runs."""
    try:
        return main(config)
    except ConfigError as error:
        raise ConfigError(
            error.lines[0],
            "runs that were started by this version of the demo",
            "rm -r runs/demo runs/demo_reviews runs/demo_korean, then re-run the demo",
        ) from None


def corpus() -> str:
    """Return the language reference and the training reviews, without repeated paragraphs."""
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


def accuracy(classifier: Model, name: str) -> str:
    """Return a line on how many reviews of a table a classifier gets right."""
    texts, labels = read_reviews(name)
    predicted = [p["label"] for p in classifier.predict(texts)]
    num_correct = sum(p == label for p, label in zip(predicted, labels, strict=True))
    majority = max(labels.count(label) for label in set(labels))
    return (
        f"accuracy on {len(labels)} held-out reviews {num_correct / len(labels):.0%}"
        f" (majority class: {majority / len(labels):.0%})"
    )


def write_korean_lines(name: str, output: str) -> None:
    """Write the header of a table, and those of its lines that have Hangul."""
    header, *lines = Path(name).read_text(encoding="utf-8").splitlines()
    korean = [line for line in lines if any("가" <= character <= "힣" for character in line)]
    Path(output).write_text("\n".join([header, *korean, ""]), encoding="utf-8")


def read_reviews(name: str) -> tuple[list[str], list[str]]:
    """Return the texts and labels of a table."""
    rows = [record.values for record in read_table(name, Rejects()).records]
    return [row["text"] for row in rows], [row["label"] for row in rows]


@report_user_errors
def command_line() -> int:
    """Run `main`; return the exit code."""
    return main()


if __name__ == "__main__":
    sys.exit(command_line())
