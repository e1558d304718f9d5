"""A trained translation model for use: `bert_jax.load_translator("runs/dates")`."""

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import jax.numpy as jnp
import jax.tree
import numpy as np

from bert_jax.config import SearchConfig, TranslateConfig, read_json
from bert_jax.data.bitext import read_lines, split_lines
from bert_jax.data.bitext_batches import end_source
from bert_jax.data.subwords import END, Subwords
from bert_jax.errors import ConfigError, DataError
from bert_jax.reports.heatmap import heat_map
from bert_jax.tasks.translation import alignments, build_translator, make_searcher
from bert_jax.training.parallel import DataParallel
from bert_jax.training.store import load_params

VOCABULARY = "vocabulary"


class Alignment(NamedTuple):
    """Which source tokens were read for each token of a translation."""

    source: list[str]
    target: list[str]
    weights: np.ndarray
    """[target, source]; each row adds up to 1 (to 0 without attention)."""


class Translator:
    """A translation model with its vocabulary.

    Args:
        config: the run's.
        vocabulary: the one it was trained with.
        params: of the model.
        parallel: devices to use; None takes one.
    """

    def __init__(
        self,
        config: TranslateConfig,
        vocabulary: Subwords,
        params: dict,
        parallel: DataParallel | None = None,
    ):
        self.config, self.vocabulary = config, vocabulary
        self._bind = build_translator(config.model)[1]
        self._parallel = parallel or DataParallel(num_devices=1)
        self._params = self._parallel.put_state(params)
        self._searchers: dict[SearchConfig, object] = {}

    def translate(
        self, texts: Sequence[str], search: SearchConfig | None = None, places: Sequence[str] = ()
    ) -> list[str]:
        """Translates texts; what becomes of one does not depend on the others.

        Args:
            texts: any number; an empty one stays empty.
            search: how to look for translations; None takes the run's own way.
            places: what to call each text in errors, for example file:line.

        Raises:
            DataError: a text is longer than the model's positions.
        """
        places = places or [f"text {n}" for n in range(1, len(texts) + 1)]
        encoded = self.vocabulary.encode(list(texts))
        self._check_lengths(encoded, places)
        some = [i for i, ids in enumerate(encoded) if ids]
        length = self.config.source_length
        found = self._search(search, [end_source(encoded[i], length) for i in some])
        translations = [""] * len(encoded)
        for i, ids in zip(some, found, strict=True):
            translations[i] = self.vocabulary.decode(ids)
        return translations

    def align(
        self,
        texts: Sequence[str],
        translations: Sequence[str] | None = None,
        search: SearchConfig | None = None,
    ) -> list[Alignment]:
        """Says which source tokens were read for each token of a translation.

        Args:
            texts: the sources.
            translations: of each; None translates first.
            search: how to look for them; None takes the run's own way.
        """
        encoded = self.vocabulary.encode(list(texts))
        self._check_lengths(encoded, [repr(text) for text in texts])
        sources = [end_source(ids, self.config.source_length) for ids in encoded]
        if translations is None:
            found = self._search(search, sources)
        else:
            found = self.vocabulary.encode(list(translations))
        targets = [[*ids, END] for ids in found]
        model = self._bind(jax.tree.map(jnp.asarray, self._parallel.get(self._params)))
        names = self.vocabulary.tokens
        return [
            Alignment(names(source), names(target), weights)
            for source, target, weights in zip(
                sources, targets, alignments(model, sources, targets), strict=True
            )
        ]

    def _search(self, search: SearchConfig | None, sources: list[list[int]]) -> list[list[int]]:
        search = search or self.config.search
        if search not in self._searchers:
            self._searchers[search] = make_searcher(
                self._bind, search, self.config.model.max_positions, self._parallel
            )
        return self._searchers[search](self._params, sources)  # type: ignore[operator]

    def _check_lengths(self, encoded: Sequence[list[int]], places: Sequence[str]) -> None:
        most = self.config.model.max_positions
        for ids, place in zip(encoded, places, strict=True):
            if len(ids) + 1 > most:
                raise DataError(
                    f"{place}: a sentence of {len(ids):,} tokens",
                    f"fewer than {most:,}, the model's positions",
                    "cut it into sentences",
                )


def load_translator(run: str | Path, which: str = "best") -> Translator:
    """Loads the best (or "newest") checkpoint of a run of translate.py.

    Raises:
        ConfigError: no such run, or its vocabulary is not the one that it was trained with.
        CheckpointError: no usable checkpoint.

    Example:
        >>> bert_jax.load_translator("runs/dates").translate(["september 27, 1994"])
        ['1994-09-27']
    """
    run = Path(run)
    if not (run / "config.json").is_file():
        raise ConfigError(
            f"{run} is no run of translate.py: it has no config.json",
            "a run's directory, such as runs/dates",
            "train first, with the same command",
        )
    config = read_json(TranslateConfig, run / "config.json")
    vocabulary = Subwords.load(run / VOCABULARY)
    params, _, identity = load_params(run, which)
    if identity.get("vocabulary") != vocabulary.sha256:
        raise ConfigError(
            f"{run / VOCABULARY} is not the vocabulary that this model was trained with: its hash"
            f" is {vocabulary.sha256[:12]}, the checkpoint's {identity.get('vocabulary', '')[:12]}",
            "the vocabulary of the same run",
            "restore it; translate.py wrote it when the run began",
        )
    size = json.loads(identity["model.vocab_size"])
    return Translator(
        replace(config, model=replace(config.model, vocab_size=size)), vocabulary, params
    )


# --- Files, and pictures --------------------------------------------------------------------------


def translate_file(
    translator: Translator, source: str, output: str | None, search: SearchConfig
) -> None:
    """Translates a file line by line; line n of the output belongs to line n."""
    if output is not None and not Path(output).parent.is_dir():
        where = f"{output}: there is no folder {Path(output).parent}"
        raise ConfigError(where, "a file in a folder that exists", "make it, or give another")
    lines = split_lines(sys.stdin.read()) if source == "-" else read_lines(source)
    places = [f"{source}:{n}" for n in range(1, len(lines) + 1)]
    warn_of_unknown(translator.vocabulary, lines, places)
    translations = translator.translate(lines, search, places)
    text = "\n".join(translations) + "\n"
    if output is None:
        sys.stdout.write(text)
    else:
        Path(output).write_text(text, encoding="utf-8")


def warn_of_unknown(vocabulary: Subwords, lines: Sequence[str], places: Sequence[str]) -> None:
    """Says where symbols stand that the model has never seen."""
    found = vocabulary.unknown(lines)
    for place in [place for place, symbols in zip(places, found, strict=True) if symbols][:1]:
        count = sum(map(bool, found))
        print(
            f"warning: {count:,} of {len(lines):,} lines have symbols outside the vocabulary, the"
            f" first at {place}: {' '.join(next(filter(None, found)))}",
            file=sys.stderr,
        )


def draw_alignment(translator: Translator, text: str, search: SearchConfig, path: Path) -> None:
    """Writes a heat map: the translation's tokens down, the source's across."""
    (found,) = translator.align([text], search=search)
    path.parent.mkdir(parents=True, exist_ok=True)
    title = f"{text} → {''.join(found.target[:-1]).replace('▁', ' ').strip()}"
    path.write_text(heat_map(found.weights, found.target, found.source, title), encoding="utf-8")
    print(f"{title}\ndrawn in {path}")
