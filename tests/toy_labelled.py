"""Small labelled data sets for tests, in the words of the toy corpus."""

import json
import random
from pathlib import Path

from tests.toy_corpus import PLACES, SUBJECTS, VERBS, document

KINDS = ("classification", "regression", "tagging", "question_answering")


def write_labelled(kind: str, path: Path, count: int, seed: int = 0) -> str:
    """Write labelled data for a kind of task; labels follow from the words."""
    rng = random.Random(seed)
    places = list(PLACES)
    if kind == "classification":
        rows = [(document(rng)[0], rng.choice("ab")) for _ in range(count)]
        rows = [(t, next(p for p in places if f"the {p} " in t)) for t, _ in rows]
        text = "text\tlabel\n" + "".join(f"{t}\t{label}\n" for t, label in rows)
    elif kind == "multilabel":
        lines = []
        for _ in range(count):
            words = [rng.choice(PLACES[place]) for place in places if rng.random() < 0.5]
            labels = [place for place in places if set(words) & set(PLACES[place])]
            text = f"he {rng.choice(VERBS)} the {' '.join(words) or 'end'}"
            lines.append(json.dumps({"text": text, "labels": labels}) + "\n")
        text = "".join(lines)
        path = path.with_suffix(".jsonl")
    elif kind == "regression":
        lines = []
        for _ in range(count):
            first, second = rng.choice(PLACES["sea"]), rng.choice(PLACES["sea"])
            verb, other = rng.choice(VERBS), rng.choice(VERBS)
            score = 2.0 * (first == second) + (verb == other)
            lines.append(f"he {verb} the {first}\the {other} the {second}\t{score}\n")
        text = "sentence1\tsentence2\tscore\n" + "".join(lines)
    elif kind == "tagging":
        blocks = []
        for _ in range(count):
            words = document(rng)[0].split()
            subjects = {subject.split()[-1] for subject in SUBJECTS}
            tags = [
                "B-PLACE" if word in PLACES else "B-WHO" if word in subjects else "O"
                for word in words
            ]
            blocks.append("\n".join(f"{w}\t{t}" for w, t in zip(words, tags, strict=True)))
        text = "\n\n".join(blocks) + "\n"
    else:
        qas = []
        for _ in range(count):
            context = " ".join(document(rng)[:2])
            place = next(p for p in places if f"the {p} " in context)
            answer = {"text": place, "answer_start": context.index(f"the {place} ") + 4}
            qas.append({"context": context, "qas": [{"question": "near the", "answers": [answer]}]})
        text = json.dumps({"data": [{"paragraphs": qas}]})
    path.write_text(text, encoding="utf-8")
    return str(path)
