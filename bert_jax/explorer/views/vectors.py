"""Vectors: a word in several sentences, its senses as clusters, and its nearest words."""

import functools
from collections.abc import Iterator, Sequence
from typing import Any

from bert_jax.errors import DataError
from bert_jax.explorer.explaining import LENGTHS, choose_language
from bert_jax.explorer.view import Json, View, lengths_to_prepare, text_of
from bert_jax.inspection.neighbors import (
    Occurrence,
    Sentence,
    expected_instead,
    find_occurrences,
    nearest,
    nearest_in_vocabulary,
    occurrence,
    principal_plane,
    read_sentences,
    two_clusters,
    vectors_of,
)
from bert_jax.pretrained import Model

MAX_SENTENCES = 32
MAX_CHARS = 400  # of a sentence
MAX_POINTS = 48
NUM_NEIGHBORS = 8
EXAMPLES = {
    "en": {
        "bank": (
            "He put his money in the bank.",
            "The bank gave her a loan for the house.",
            "I have to go to the bank and pay the rent.",
            "They sat on the bank of the river.",
            "The boat lay on the muddy bank of the stream.",
            "We walked along the bank and watched the water.",
        ),
        "really": (
            "It was really bad.",
            "A really boring film.",
            "The ending was really terrible.",
            "It was really good.",
            "A really wonderful film.",
            "The ending was really great.",
        ),
    },
    "ko": {
        "보고": (
            "극장에서 보고 왔는데 정말 재밌었다.",
            "어제 영화를 보고 울었다.",
            "친구랑 같이 보고 왔어요.",
            "다시 보고 싶은 영화.",
            "한번 더 보고 싶다.",
            "속편도 보고 싶어요.",
        ),
        "말": (
            "말을 타고 달린다.",
            "말이 달리는 장면.",
            "말을 타는 장면이 멋지다.",
            "할 말이 없다.",
            "무슨 말인지 모르겠다.",
            "더 이상 말이 필요없다.",
        ),
        "배": (
            "배가 고파서 밥을 먹었다.",
            "배가 아파서 병원에 갔다.",
            "배 속에서 소리가 난다.",
            "배를 타고 바다로 나갔다.",
            "배가 바다 위에 떠 있다.",
            "배를 타고 섬에 갔다.",
        ),
        "진짜": (
            "진짜 재미없다.",
            "진짜 최악이다.",
            "진짜 시간 아깝다.",
            "진짜 재밌다.",
            "진짜 최고다.",
            "진짜 감동적이다.",
        ),
    },
}
LANGUAGES = {
    name: " ".join(text for texts in words.values() for text in texts)
    for name, words in EXAMPLES.items()
}


def vectors_view(model: Model) -> View:
    """Return the view; every BERT has vectors."""
    tokenizer, num_layers = model.tokenizer, model.config.num_hidden_layers
    read = functools.lru_cache(maxsize=1)(lambda texts: read_sentences(model, texts))

    def answer(request: Json) -> Json:
        texts, notices = read_lines(request)
        layer = read_number(request, "layer", num_layers)
        word, _ = text_of(request, "word")
        sentences = read(tuple(texts))
        found = find_occurrences(sentences, word)
        if len(found) > MAX_POINTS:
            found = found[:MAX_POINTS]
            notices.append(f"The word occurs more than {MAX_POINTS} times; the first are shown.")
        return {
            "sentences": [
                {"text": s.text, "words": [[word.start, word.end] for word in s.words]}
                for s in sentences
            ],
            "found": describe_senses(sentences, found, layer) if found else None,
            "chosen": describe_neighbors(model, sentences, request, layer),
            "notice": " ".join(notices) or None,
        }

    def to_save(texts: Sequence[str]) -> list[Json]:
        """Show the words of all texts, layer by layer; the first word that they share is sought."""
        text = "\n".join(text.replace("\t", " ") for text in texts)
        word = shared_word(texts)
        return [
            {"text": text, "word": word, "layer": layer, "chosen": None}
            for layer in range(num_layers + 1)
            if texts
        ]

    examples = EXAMPLES[choose_language(tokenizer, LANGUAGES)]
    # What a classifier makes of a word shows in the words that stand with praise and with blame.
    words = [*examples] if "mlm" in model.params else [*examples][::-1]
    about = {
        "num_layers": num_layers,
        "examples": [{"word": word, "text": "\n".join(examples[word])} for word in words],
        "has_head": "mlm" in model.params,
        "max_sentences": MAX_SENTENCES,
    }

    def prepare() -> Iterator[None]:
        longest = model.config.max_position_embeddings
        for length in lengths_to_prepare(longest, LENGTHS):  # a text comes alone from other views
            read_sentences(model, ["a " * (length - 2)])
            yield
        for example in about["examples"]:
            read_sentences(model, example["text"].split("\n"))
            yield

    return View(
        "vectors",
        "Vectors",
        about,
        answer,
        to_save,
        prepare,
    )


def read_lines(request: Json) -> tuple[list[str], list[str]]:
    """Return the sentences of a request, one a line, and notices about what was cut."""
    text, notice = text_of(request)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    notices = [notice] if notice else []
    if len(lines) > MAX_SENTENCES:
        notices.append(f"Only the first {MAX_SENTENCES} sentences are read.")
    if any(len(line) > MAX_CHARS for line in lines[:MAX_SENTENCES]):
        notices.append(f"Sentences are cut after {MAX_CHARS} characters.")
    return [line[:MAX_CHARS] for line in lines[:MAX_SENTENCES]], notices


def read_number(request: Json, name: str, largest: int) -> int:
    """Return a number of a request, from 0 on.

    Raises:
        DataError: it is none, or too large.
    """
    value = request.get(name)
    if type(value) is not int or not 0 <= value <= largest:
        raise DataError(f"{name} = {str(value)[:40]!r}", f"0 to {largest}", "reload the page")
    return value


def describe_senses(sentences: Sequence[Sentence], found: Sequence[Occurrence], layer: int) -> Json:
    """Return where a word occurs, its vectors on a plane and in clusters, and their cosines."""
    vectors = vectors_of(sentences, found, layer)
    points, shares = principal_plane(vectors)
    clusters = two_clusters(vectors)
    cosines = (vectors @ vectors.T).round(3).tolist()
    return {
        "occurrences": [
            {
                "sentence": one.sentence,
                "start": one.start,
                "end": one.end,
                "x": float(x),
                "y": float(y),
                "cluster": int(cluster),
            }
            for one, (x, y), cluster in zip(found, points, clusters.labels, strict=True)
        ],
        "cosines": cosines,
        "shares": shares.tolist(),
        "within": clusters.within,
        "between": clusters.between,
    }


def describe_neighbors(
    model: Model, sentences: Sequence[Sentence], request: Json, layer: int
) -> Json | None:
    """Return the nearest words to the word that is chosen, [sentence, word]; None if none is."""
    chosen = request.get("chosen")
    if chosen is None:
        return None
    sentence, number = read_choice(chosen, sentences)
    words = [
        (index, position, word)
        for index, one in enumerate(sentences)
        for position, word in enumerate(one.words)
        if any(map(str.isalnum, word.text)) or (index, position) == (sentence, number)
    ]
    vectors = vectors_of(sentences, [occurrence(index, word) for index, _, word in words], layer)
    own = [pair[:2] for pair in words].index((sentence, number))
    in_sentences = [
        {"sentence": words[i][0], "start": words[i][2].start, "end": words[i][2].end, "value": c}
        for i, c in nearest(vectors[own], vectors, NUM_NEIGHBORS + 1)
        if i != own
    ]
    word = sentences[sentence].words[number]
    tokens = sentences[sentence].encoded.tokens[word.first : word.stop]
    expected = None
    if "mlm" in model.params and len(tokens) == 1:
        vector = sentences[sentence].states[-1, word.first]
        expected = expected_instead(model, vector, tokens[0], NUM_NEIGHBORS)
    return {
        "sentence": sentence,
        "start": word.start,
        "end": word.end,
        "pieces": model.tokenizer.pieces(tokens),
        "in_sentences": in_sentences[:NUM_NEIGHBORS],
        "in_vocabulary": nearest_in_vocabulary(model, tokens, NUM_NEIGHBORS),
        "expected": expected,
    }


def read_choice(chosen: Any, sentences: Sequence[Sentence]) -> tuple[int, int]:
    """Return the sentence and the word that are chosen.

    Raises:
        DataError: there is no such word.
    """
    is_pair = isinstance(chosen, list) and [type(x) for x in chosen] == [int, int]
    if not is_pair or not (
        0 <= chosen[0] < len(sentences) and 0 <= chosen[1] < len(sentences[chosen[0]].words)
    ):
        raise DataError(f"chosen = {str(chosen)[:40]}", "[sentence, word]", "choose another word")
    return chosen[0], chosen[1]


def shared_word(texts: Sequence[str]) -> str:
    """Return the longest word that most texts have; that of the first text, where none repeats."""
    words = [word for text in texts for word in set(text.split())]
    return max(words, key=lambda word: (words.count(word), len(word)), default="")
