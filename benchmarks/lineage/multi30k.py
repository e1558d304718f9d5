"""English to German captions (Multi30k, test 2016): the Transformer, LSTMs with attention, GNMT.

    python -m benchmarks.lineage.multi30k                       # the Transformer, 3 seeds
    python -m benchmarks.lineage.multi30k --seeds 0             # 16 minutes
    python -m benchmarks.lineage.multi30k --only attention gnmt

BLEU is of tokenized, lower-cased text with one reference, whose length must be 12,103 words, to
compare with what others report for this test set: 41.0 for a Transformer of this size. A model that
ignored the source would score as well with the sources of other captions: it must not.
"""

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from benchmarks.lineage.dates import draw_pair
from benchmarks.lineage.trial import RUNS_DIR, judge, train
from benchmarks.lineage.verdicts import Verdict, print_verdicts
from bert_jax.labelled.rejects import Rejects
from bert_jax.lineage.bitext import Pair, read_bitext
from bert_jax.lineage.config import SearchConfig
from bert_jax.lineage.evaluation import corpus_bleu
from bert_jax.lineage.translator import Translator
from configs.train_translator import multi30k_attention, multi30k_gnmt, multi30k_tiny

REFERENCE_WORDS = 12_103
OTHERS = "sources of others"
CONFIGS = {
    "transformer": multi30k_tiny,
    "attention": multi30k_attention,
    "gnmt": multi30k_gnmt,
}
EXPECTED = {"transformer": ">= 27", "attention": ">= 28", "gnmt": ">= 10"}  # BLEU of every seed
BEAMS = {  # each model's own beam search, measured next to greedy search
    "transformer": SearchConfig(num_beams=5),
    "attention": SearchConfig(num_beams=5),
    "gnmt": SearchConfig(num_beams=5, length_penalty=0.2, coverage_penalty=0.2),
}


@dataclass(frozen=True)
class Options:
    """Data, models, seeds and figure."""

    data: str = "../shared/data/multi30k/tok"
    """Folder with train, val and test_2016_flickr, each as .lc.norm.tok.en and .de."""
    only: tuple[str, ...] = ("transformer",)
    """Models: transformer, attention, gnmt; each takes 23 to 30 minutes a seed on one core."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Runs of each model."""
    figure: str | None = None
    """File to draw an alignment of the first of these runs to."""


def main(options: Options) -> int:
    """Run the benchmark; return the exit code."""
    names = {"train": "train", "dev": "val", "test": "test_2016_flickr"}
    files: dict[str, Any] = {
        split: tuple(f"{options.data}/{name}.lc.norm.tok.{language}" for language in ("en", "de"))
        for split, name in names.items()
    }
    pairs = read_bitext(files["test"], Rejects())
    words = sum(len(pair.target.split()) for pair in pairs)
    verdicts = [Verdict("words of the reference", "= 12103", str(words), words == REFERENCE_WORDS)]
    for name in options.only:
        all_scores: dict[str, list[float]] = {}
        for seed in options.seeds:
            start = time.perf_counter()
            translator = train(CONFIGS[name](), f"multi30k-{name}-{seed}", seed=seed, **files)
            minutes = (time.perf_counter() - start) / 60
            print(f"{name}, seed {seed}: trained (or loaded) and tested in {minutes:.1f} minutes")
            for way, score in measure(translator, pairs, BEAMS[name]).items():
                all_scores.setdefault(way, []).append(score)
            if options.figure and (name, seed) == (options.only[0], options.seeds[0]):
                draw_pair(translator, pairs[0], Path(options.figure))
        verdicts += [
            judge(f"{name}, {way}: BLEU", scores, "<= 5" if way == OTHERS else EXPECTED[name])
            for way, scores in all_scores.items()
        ]
    print(f"runs in {RUNS_DIR}")
    return print_verdicts("Multi30k, English to German, test 2016", verdicts)


def measure(translator: Translator, pairs: list[Pair], beams: SearchConfig) -> dict[str, float]:
    """Return BLEU by greedy search, by beam search, and greedily with other captions' sources."""
    sources, references = [p.source for p in pairs], [p.target for p in pairs]
    others = sources[1:] + sources[:1]
    runs = {
        "greedy": (sources, SearchConfig()),
        f"{beams.num_beams} beams": (sources, beams),
        OTHERS: (others, SearchConfig()),
    }
    scores = {}
    for way, (texts, search) in runs.items():
        start = time.perf_counter()
        bleu = corpus_bleu(translator.translate(texts, search), references, "none")
        seconds = time.perf_counter() - start
        print(f"{way}, {seconds:.0f} s: {bleu.details}\n{bleu.signature}")
        scores[way] = bleu.score
    return scores


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Options, description=__doc__)))
