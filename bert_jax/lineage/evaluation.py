"""Evaluation of translations: BLEU, the share of exact ones, and the files that a run writes."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bert_jax.errors import ConfigError
from bert_jax.lineage.bitext import Pair


class Bleu(NamedTuple):
    """Corpus BLEU (Papineni et al. 2002), as sacrebleu computes it."""

    score: float
    details: str
    signature: str


def corpus_bleu(translations: Sequence[str], references: Sequence[str], tokenize: str) -> Bleu:
    """Return the BLEU of a whole corpus with one reference for each translation.

    Args:
        translations: of the model.
        references: what they are compared with.
        tokenize: sacrebleu's tokenizer, such as "13a"; "none" for text that is tokenized already.

    Raises:
        ConfigError: sacrebleu is not installed.
    """
    try:
        from sacrebleu.metrics import BLEU
    except ImportError:
        raise ConfigError(
            "BLEU needs sacrebleu, which is not installed",
            "the package sacrebleu",
            'pip install "bert_jax[eval]", or pass --metric exact',
        ) from None
    bleu = BLEU(tokenize=tokenize, force=True)  # force: no warning about tokenized text
    score = bleu.corpus_score(list(translations), [list(references)])
    return Bleu(score.score, str(score), str(bleu.get_signature()))


def exact_share(translations: Sequence[str], references: Sequence[str]) -> float:
    """Return the share of translations that equal their reference, up to runs of spaces."""
    same = [a.split() == b.split() for a, b in zip(translations, references, strict=True)]
    return sum(same) / len(same)


def write_evaluation(
    run: Path, report: dict[str, Any], pairs: Sequence[Pair], translations: Sequence[str]
) -> None:
    """Write RUN/evaluation: report.json with the scores, translations.tsv with every translation.

    Args:
        run: the run's directory.
        report: the scores.
        pairs: sources and references.
        translations: one for each pair.
    """
    folder = run / "evaluation"
    folder.mkdir(exist_ok=True)
    (folder / "report.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    rows = [
        "\t".join((pair.source, pair.target, translation))
        for pair, translation in zip(pairs, translations, strict=True)
    ]
    (folder / "translations.tsv").write_text(
        "\n".join(["source\treference\ttranslation", *rows]) + "\n", encoding="utf-8"
    )
