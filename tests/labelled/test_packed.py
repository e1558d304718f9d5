from hypothesis import given, settings
from hypothesis import strategies as st

from bert_jax.labelled.batching import EncodedText, Packing, collate
from bert_jax.labelled.packed import apply_packed, count_outputs, packed_batches, split_outputs


def make(lengths):
    return [EncodedText([i + 1] * n, n, {"label": i}, i) for i, n in enumerate(lengths)]


def test_outputs_are_split_as_texts_were_joined():
    texts = make([3, 2, 4])
    groups = [[2, 0], [1]]
    batch = collate(texts, groups, 3, 16)
    tokens, sizes = batch["tokens"][..., None], count_outputs(texts, by_token=True)
    by_token = dict(split_outputs(groups, tokens, sizes))
    assert {i: x[:, 0].tolist() for i, x in by_token.items()} == {
        0: [1] * 3, 1: [2] * 2, 2: [3] * 4
    }  # fmt: skip
    sizes = count_outputs(texts, by_token=False)
    by_text = dict(split_outputs(groups, batch["label"][..., None], sizes))
    assert {i: x.tolist() for i, x in by_text.items()} == {0: [[0]], 1: [[1]], 2: [[2]]}


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 60), max_size=40), st.sampled_from([1, 4, 32]))
def test_outputs_come_back_in_the_order_of_the_texts(lengths, batch_size):
    texts, packing = make(lengths), Packing(60, 0)

    def echo(batch):
        return batch["tokens"][..., None]

    outputs = apply_packed(
        lambda batches: map(echo, batches), texts, count_outputs(texts, True), batch_size, packing
    )
    assert [output[:, 0].tolist() for output in outputs] == [text.tokens for text in texts]


def test_short_texts_share_a_row():
    sizes = [40, 90, 20, 4, 40, 60]
    texts = [EncodedText([i + 1] * n, n - n // 3, {"label": i}) for i, n in enumerate(sizes)]
    ((groups, batch),) = packed_batches(texts, 8, Packing(128, 0))
    assert groups == [[1, 3], [5, 2], [0, 4]]  # 94, 80 and 80 of 96 tokens
    assert batch["tokens"].shape == (4, 96)
    assert batch["tokens"][0].tolist() == [2] * 90 + [4] * 4 + [0] * 2
    assert batch["lengths"][1, :3].tolist() == [[40, 20], [14, 6], [0, 0]]
    assert batch["lengths"][:, 0].tolist() == [[60, 30], [40, 20], [27, 13], [0, 0]]
    assert batch["lengths"][:, 2:].sum() == 0
    ((groups, batch),) = packed_batches(make([2] * 9), 8, Packing(128, 0))
    assert groups == [[*range(8)], [8]]  # no more than eight in a row of 64
    assert batch["tokens"].shape == (2, 64)
    assert list(packed_batches([], 8, Packing(128, 0))) == []


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.integers(1, 100), min_size=1, max_size=90),
    st.sampled_from([1, 4, 32]),
    st.sampled_from([1, 2, 8]),
)
def test_every_text_is_packed_once(lengths, batch_size, multiple):
    texts, seen, shapes = make(lengths), [], {}
    for groups, batch in packed_batches(texts, batch_size, Packing(100, 0, multiple)):
        num_rows, length = batch["tokens"].shape
        assert num_rows % multiple == 0
        assert num_rows == multiple or num_rows * length <= 64 * batch_size + multiple * length
        shapes.setdefault(length, set()).add(num_rows)
        for indices, tokens, sizes in zip(
            groups, batch["tokens"], batch["lengths"].sum(-1), strict=False
        ):
            seen += indices
            assert [lengths[i] for i in indices] == sizes[: len(indices)].tolist()
            joined = [token for i in indices for token in texts[i].tokens]
            assert tokens[: len(joined)].tolist() == joined
    assert sorted(seen) == list(range(len(texts)))
    assert sum(len(sizes) for sizes in shapes.values()) <= len(shapes) + 1
