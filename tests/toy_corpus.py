"""Toy corpora of a made-up grammar, with words that predict others."""

import random
from pathlib import Path

SUBJECTS = ["the cat", "a dog", "my friend", "the old king", "one bird", "the teacher"]
VERBS = ["sees", "likes", "finds", "follows", "calls"]
PLACES = {
    "sea": ["boat", "wave", "fish", "sand"],
    "town": ["street", "house", "market", "bridge"],
    "wood": ["tree", "leaf", "path", "river"],
}


def document(rng: random.Random) -> list[str]:
    """Return sentences about one place, so that each helps to predict the next."""
    place, things = rng.choice(list(PLACES.items()))
    return [
        f"{rng.choice(SUBJECTS)} {rng.choice(VERBS)} the {rng.choice(things)} near the {place} ."
        for _ in range(rng.randint(4, 12))
    ]


def write_corpus(path: Path, num_documents: int = 300, seed: int = 0) -> Path:
    """Write one sentence per line, with a blank line between documents."""
    rng = random.Random(seed)
    documents = ["\n".join(document(rng)) for _ in range(num_documents)]
    path.write_text("\n\n".join(documents) + "\n", encoding="utf-8")
    return path
