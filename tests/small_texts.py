"""Fixtures: small corpora and a small tokenizer."""

import random
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import tensorflow_datasets as tfds

from bert_jax.tokenizer.tokenizer import SPECIAL_TOKENS, Casing, Tokenizer

WORDS = tuple(
    re.findall(r"\S+", "the of and to in is was he for it with as his on be at by had or")
)
PIECES = tuple(
    re.findall(
        r"\S+", "un re able ing ed er est ly ness tion s t 1 12 2024 한국 어 가 나 café é ü İ ß"
    )
)


def small_vocab() -> list[str]:
    """Return special tokens, letters, marks and some words, at the start of a word and inside."""
    letters = [chr(code) for code in range(33, 127)]
    pieces = dict.fromkeys([*letters, *WORDS, *PIECES, "extraordinarilylongtoken"])
    return [*SPECIAL_TOKENS, *pieces, *(f"##{piece}" for piece in pieces if piece.isalnum())]


def make_text(num_documents: int, seed: int = 0, sentences: int = 12) -> str:
    """Return documents of made-up sentences: one per line, blank lines between documents."""
    rng = random.Random(seed)
    documents = []
    for number in range(num_documents):
        lines = []
        for _ in range(rng.randint(2, sentences)):
            words = rng.choices(WORDS, k=rng.randint(3, 14))
            lines.append(f"{' '.join(words)} number {number}.")
        documents.append("\n".join(lines))
    return "\n\n".join(documents) + "\n"


@pytest.fixture
def corpus(tmp_path: Path) -> Callable[..., str]:
    """Return a function that writes bytes or text to a file and returns its path."""

    def write(content: str | bytes, name: str = "corpus.txt") -> str:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(path)

    return write


@pytest.fixture(scope="session")
def text() -> Callable[..., str]:
    return make_text


@pytest.fixture(scope="session")
def vocab() -> list[str]:
    return small_vocab()


@pytest.fixture(scope="session", params=["cased", "uncased", "uncased, accents kept"])
def tokenizer(request, vocab) -> Tokenizer:
    casings = {
        "cased": Casing(),
        "uncased": Casing(lowercase=True),
        "uncased, accents kept": Casing(lowercase=True, strip_accents=False),
    }
    return Tokenizer(vocab, casings[request.param])


class TinyWiki(tfds.core.GeneratorBasedBuilder):
    """Two articles."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = tfds.features.FeaturesDict(
            {"title": tfds.features.Text(), "text": tfds.features.Text()}
        )
        return tfds.core.DatasetInfo(builder=self, features=features)

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(), "test": self._generate_examples()}

    def _generate_examples(self):
        yield 0, {"title": "가", "text": "첫 문장.\n\n둘째 문장."}
        yield 1, {"title": "b", "text": "Another article."}


@pytest.fixture
def tfds_folder(tmp_path) -> str:
    builder = TinyWiki(data_dir=str(tmp_path / "tfds"), file_format="array_record")
    builder.download_and_prepare()
    return str(tmp_path / "tfds")
