"""A trained translation model for use: `load_translator("runs/dates")`."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import jax.numpy as jnp
import jax.tree
import numpy as np

from bert_jax.config import read_json
from bert_jax.drawing.heatmap import heat_map
from bert_jax.errors import ConfigError, DataError, warn
from bert_jax.lineage.batch_decoding import Searcher, align_pairs
from bert_jax.lineage.bitext import read_lines, split_lines
from bert_jax.lineage.bitext_batches import append_end
from bert_jax.lineage.config import SearchConfig, TrainTranslatorConfig
from bert_jax.lineage.subwords import END, Subwords
from bert_jax.lineage.translation import build_translator
from bert_jax.remote.addresses import as_path, local_path
from bert_jax.remote.reading import fetch
from bert_jax.training.checkpoint_arrays import load_params
from bert_jax.training.identity import require_saved_model
from bert_jax.training.parallel import DataParallel

VOCABULARY = "vocabulary"


class Alignment(NamedTuple):
    """Attention weights of a translation over its source."""

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
        parallel: devices to use; None: one.
        searchers: those that are compiled already.
    """

    def __init__(
        self,
        config: TrainTranslatorConfig,
        vocabulary: Subwords,
        params: dict,
        parallel: DataParallel | None = None,
        searchers: Mapping[SearchConfig, Searcher] = MappingProxyType({}),
    ):
        self.config, self.vocabulary = config, vocabulary
        self.merge = build_translator(config.model)[1]
        self._parallel = parallel or DataParallel(num_devices=1)
        self.params = self._parallel.put_state(params)
        self._searchers = dict(searchers)

    def translate(
        self, texts: Sequence[str], search: SearchConfig | None = None, places: Sequence[str] = ()
    ) -> list[str]:
        """Translate texts; the translation of one does not depend on the others.

        Args:
            texts: any number; an empty one stays empty.
            search: how translations are searched for; None: the run's own.
            places: what to call each text in errors, for example file:line.

        Raises:
            DataError: a text is longer than the model reads.
        """
        places = places or [f"text {n}" for n in range(1, len(texts) + 1)]
        encoded = self.vocabulary.encode(list(texts))
        self._check_lengths(encoded, places)
        not_empty = [i for i, ids in enumerate(encoded) if ids]
        length = self.config.source_length
        predicted = self._search(search, [append_end(encoded[i], length) for i in not_empty])
        translations = [""] * len(encoded)
        for i, ids in zip(not_empty, predicted, strict=True):
            translations[i] = self.vocabulary.decode(ids)
        return translations

    def align(
        self,
        texts: Sequence[str],
        translations: Sequence[str] | None = None,
        search: SearchConfig | None = None,
    ) -> list[Alignment]:
        """Return which source tokens each token of a translation attends to.

        Args:
            texts: the sources.
            translations: of each; None translates first.
            search: how they are searched for; None: the run's own.
        """
        encoded = self.vocabulary.encode(list(texts))
        self._check_lengths(encoded, [repr(text) for text in texts])
        sources = [append_end(ids, self.config.source_length) for ids in encoded]
        if translations is None:
            predicted = self._search(search, sources)
        else:
            predicted = self.vocabulary.encode(list(translations))
        targets = [[*ids, END] for ids in predicted]
        model = self.merge(jax.tree.map(jnp.asarray, self._parallel.get(self.params)))
        names = self.vocabulary.tokens
        return [
            Alignment(names(source), names(target), weights)
            for source, target, weights in zip(
                sources, targets, align_pairs(model, sources, targets), strict=True
            )
        ]

    def _search(self, search: SearchConfig | None, sources: list[list[int]]) -> list[list[int]]:
        search = search or self.config.search
        if search not in self._searchers:
            self._searchers[search] = Searcher(
                self.merge, search, self.config.model.max_positions, self._parallel
            )
        return self._searchers[search](self.params, sources)

    def _check_lengths(self, encoded: Sequence[list[int]], places: Sequence[str]) -> None:
        most = self.config.model.max_positions
        for ids, place in zip(encoded, places, strict=True):
            if len(ids) + 1 > most:
                raise DataError(
                    f"{place}: a sentence of {len(ids):,} tokens",
                    f"fewer than {most:,}: the longest text that the model reads, with its end",
                    "cut it into sentences",
                )


def load_translator(run: str | Path, which: str = "best") -> Translator:
    """Load the best (or "newest") checkpoint of a run of train_translator.py.

    Raises:
        ConfigError: no such run, or its vocabulary is not the one that it was trained with.
        CheckpointError: no usable checkpoint.

    Example:
        >>> load_translator("runs/dates").translate(["september 27, 1994"])
        ['1994-09-27']
    """
    run = fetch(as_path(run))
    if not (run / "config.json").is_file():
        raise ConfigError(
            f"{run} is no run of train_translator.py: it has no config.json",
            "a run's directory, such as runs/dates",
            "train first: python train_translator.py NAME",
        )
    config = read_json(TrainTranslatorConfig, run / "config.json")
    vocabulary = Subwords.load(run / VOCABULARY)
    params, _, identity = load_params(run, which)
    if identity.get("vocabulary") != vocabulary.sha256:
        raise ConfigError(
            f"{run / VOCABULARY} is not the vocabulary that this model was trained with: its hash"
            f" is {vocabulary.sha256[:12]}, the checkpoint's {identity.get('vocabulary', '')[:12]}",
            "the vocabulary of the same run",
            "restore it; train_translator.py wrote it when the run began",
        )
    config = replace(config, model=replace(config.model, vocab_size=vocabulary.size))
    require_saved_model(run / "config.json", config.model, identity)
    return Translator(config, vocabulary, params)


# --- Files, and pictures --------------------------------------------------------------------------


def translate_file(
    translator: Translator, source: str, output: str | None, search: SearchConfig
) -> None:
    """Translate a file line by line; line n of the output belongs to line n.

    Args:
        translator: the model.
        source: a text file, or "-" for standard input.
        output: file to write; None is standard output.
        search: how translations are searched for.
    """
    if output is not None and not local_path(output).parent.is_dir():
        raise ConfigError(
            f"{output}: there is no folder {Path(output).parent}",
            "a file in a folder that exists",
            "make the folder, or give another output",
        )
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
    """Warn on stderr where lines have symbols outside the vocabulary."""
    unknown = vocabulary.unknown(lines)
    affected = [(place, symbols) for place, symbols in zip(places, unknown, strict=True) if symbols]
    if affected:
        place, symbols = affected[0]
        warn(
            f"{len(affected):,} of {len(lines):,} lines have symbols outside the vocabulary, the"
            f" first at {place}: {' '.join(symbols)}"
        )


def draw_alignment(translator: Translator, text: str, search: SearchConfig, path: Path) -> str:
    """Write a heat map, target tokens down and source tokens across; return its title."""
    (alignment,) = translator.align([text], search=search)
    translation = "".join(alignment.target[:-1]).replace("▁", " ").strip()
    title = f"{text} → {translation}"
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = heat_map(alignment.weights, alignment.target, alignment.source, title)
    path.write_text(picture, encoding="utf-8")
    return title
