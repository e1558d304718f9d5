from bert_jax.corpus.heldout import SPLITS, assign_split, hash_text


def assign(texts: list[str], eval_share: float, seed: int) -> list[str]:
    return [assign_split(hash_text(text.encode()), eval_share, seed) for text in texts]


def test_the_split_holds_out_its_share_and_depends_on_the_seed():
    texts = [f"document {i}" for i in range(2000)]
    splits = assign(texts, 0.3, seed=5)
    assert set(splits) == set(SPLITS)
    assert 0.27 < splits.count("eval") / len(splits) < 0.33
    assert splits != assign(texts, 0.3, seed=6)
    assert set(assign(texts, 0.0, seed=5)) == {"train"}


def test_the_split_never_changes():
    """Another split of the same text would move held-out documents into the training rows."""
    assert hash_text(b"document 0") == 1904991786024820578
    splits = assign([f"document {i}" for i in range(12)], 0.3, seed=5)
    assert [i for i, split in enumerate(splits) if split == "eval"] == [5, 8, 11]
