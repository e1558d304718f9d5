"""The three memory tasks by hand, their batches as functions of seed and step, their objective."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bert_jax.lineage.config import MemoryTaskConfig
from bert_jax.lineage.copying import (
    collate_sequences,
    copying_batches,
    draw_example,
    eval_batch,
    head_motion,
    make_copying_objective,
)

COPY = MemoryTaskConfig(width=3, max_size=4)
REPEAT = MemoryTaskConfig("repeat_copy", width=3, max_size=4, max_repeats=5)
RECALL = MemoryTaskConfig("associative_recall", width=3, min_size=2, max_size=4, item_length=2)
TASKS = [COPY, REPEAT, RECALL]


def draw(task, size, repeats=1, seed=0):
    return draw_example(np.random.default_rng(seed), task, size, repeats)


def test_copy_repeats_the_vectors_before_the_delimiter():
    inputs, targets, scored = draw(COPY, 3)
    vectors = inputs[:3, :3]
    assert set(np.unique(vectors)) == {0, 1}
    np.testing.assert_array_equal(inputs[:3, 3], 0)
    np.testing.assert_array_equal(inputs[3], [0, 0, 0, 1])
    np.testing.assert_array_equal(inputs[4:], np.zeros((3, 4)))
    np.testing.assert_array_equal(targets, np.concatenate([np.zeros((4, 3)), vectors]))
    np.testing.assert_array_equal(scored, [0, 0, 0, 0, 1, 1, 1])


def test_repeat_copy_gets_the_number_of_repetitions_and_ends_with_a_marker():
    inputs, targets, scored = draw(REPEAT, 2, 3)
    vectors = inputs[:2, :3]
    np.testing.assert_array_equal(inputs[2], [0, 0, 0, 1, 0])  # 3 is the mean of 1 to 5
    np.testing.assert_array_equal(inputs[3:], np.zeros((7, 5)))
    np.testing.assert_array_equal(targets[3:9, :3], np.concatenate([vectors] * 3))
    np.testing.assert_array_equal(targets[:, 3], [0] * 9 + [1])
    np.testing.assert_array_equal(targets[9, :3], 0)
    np.testing.assert_array_equal(scored, [0] * 3 + [1] * 7)


def test_the_number_of_repetitions_has_mean_0_and_variance_1():
    numbers = [draw(REPEAT, 2, repeats).inputs[2, 4] for repeats in range(1, 6)]
    assert np.diff(numbers).min() > 0
    np.testing.assert_allclose([np.mean(numbers), np.var(numbers)], [0, 1], atol=1e-6)


def test_associative_recall_asks_for_the_item_after_another():
    queries = set()
    for seed in range(20):
        inputs, targets, scored = draw(RECALL, 3, seed=seed)
        np.testing.assert_array_equal(inputs[[0, 3, 6], 3], 1)  # a delimiter before each item
        np.testing.assert_array_equal(inputs[[9, 12], 4], 1)  # the query between its marks
        assert inputs[:, 3:].sum() == 5
        items = inputs[:9].reshape(3, 3, 5)[:, 1:, :3]
        answer = targets[13:]
        assert any(
            np.array_equal(items[i], inputs[10:12, :3]) and np.array_equal(items[i + 1], answer)
            for i in range(2)
        )
        np.testing.assert_array_equal(inputs[13:], 0)
        np.testing.assert_array_equal(targets[:13], 0)
        np.testing.assert_array_equal(scored, [0] * 13 + [1] * 2)
        queries.add(int(np.argmax([(item == inputs[10:12, :3]).all() for item in items])))
    assert queries == {0, 1}


def test_padding_stands_behind_and_is_not_scored():
    short, long = draw(COPY, 1), draw(COPY, 3)
    batch = collate_sequences([short, long], 10)
    assert {name: x.shape for name, x in batch.items()} == {
        "inputs": (2, 10, 4), "targets": (2, 10, 3), "scored": (2, 10),
    }  # fmt: skip
    np.testing.assert_array_equal(batch["inputs"][0, :3], short.inputs)
    assert all((x[0, 3:] == 0).all() and (x[1, 7:] == 0).all() for x in batch.values())
    assert {x.dtype for x in batch.values()} == {np.dtype(np.float32)}


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_batches_are_functions_of_seed_and_step(task):
    def first(seed, start, num):
        return list(itertools.islice(copying_batches(task, 3, seed, start), num))

    whole, tail = first(0, 0, 6), first(0, 4, 2)
    for a, b in zip(whole[4:], tail, strict=True):
        for name in a:
            np.testing.assert_array_equal(a[name], b[name])
    shapes = {x["inputs"].shape for x in whole}
    assert len(shapes) == 1  # one compilation
    for other in (first(1, 0, 1)[0], whole[1]):
        assert not np.array_equal(whole[0]["inputs"], other["inputs"])


def test_all_sizes_and_repetitions_occur_in_training():
    lengths = set()
    for batch in itertools.islice(copying_batches(REPEAT, 8, 0, 0), 40):
        for inputs, scored in zip(batch["inputs"], batch["scored"], strict=True):
            size = int(inputs[:, 3].argmax())
            lengths.add((size, int(scored.sum() - 1) // size))
    assert lengths == {(size, repeats) for size in range(1, 5) for repeats in range(1, 6)}


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_evaluations_are_always_the_same_and_of_one_size(task):
    repeats = task.max_repeats
    first, again = (eval_batch(task, 4, repeats, 5) for _ in range(2))
    for name in first:
        np.testing.assert_array_equal(first[name], again[name])
    assert len({row.tobytes() for row in first["inputs"]}) == 5
    assert len(set(first["scored"].sum(axis=1).tolist())) == 1
    shorter = eval_batch(task, 3, repeats, 5)["inputs"]
    assert not np.array_equal(shorter[0, :3], first["inputs"][0, :3])
    chosen_by = {row.tobytes() for row in eval_batch(task, 4, repeats, 5, "dev")["inputs"]}
    assert not chosen_by & {row.tobytes() for row in first["inputs"]}


def test_the_objective_counts_scored_bits_only():
    objective = make_copying_objective(lambda params: lambda inputs: params["logits"])
    batch = collate_sequences([draw(COPY, 1), draw(COPY, 2)])
    sign = jnp.where(batch["targets"] > 0.5, 0.2, -0.2)
    logits = sign.at[0, 2, 0].multiply(-1).at[1, 3, 1].multiply(-1).at[1, 4, 2].multiply(-1)
    logits = logits.at[0, 3:].set(9.0).at[:, 0].set(9.0)  # not scored: padding and the input
    counts = objective.counts(batch)
    assert float(counts["bits"]) == 9  # 3 vectors of 3
    loss, metrics = objective.loss({"logits": logits}, batch, counts, None)
    expected = (6 * np.log1p(np.exp(-0.2)) + 3 * np.log1p(np.exp(0.2))) / 9
    assert float(loss) == pytest.approx(expected, rel=1e-5)
    values = {name: (float(total), float(count)) for name, (total, count) in metrics.items()}
    assert values["wrong_bits"] == (3, 2)
    assert values["bit_error"] == (3, 9)
    assert values["cross_entropy"] == pytest.approx((9 * expected, 9), rel=1e-5)


def test_shares_of_a_batch_add_up_to_the_whole():
    objective = make_copying_objective(lambda params: lambda inputs: inputs[..., :3] * params["w"])
    batch = eval_batch(COPY, 3, 1, 2) | {"scored": np.ones((2, 7), np.float32)}
    batch["scored"][0, :5] = 0  # uneven
    counts = objective.counts(batch)
    params = {"w": jnp.float32(0.7)}
    halves = [{name: x[i : i + 1] for name, x in batch.items()} for i in range(2)]
    whole, *parts = (objective.loss(params, x, counts, None) for x in (batch, *halves))
    assert float(parts[0][0] + parts[1][0]) == pytest.approx(float(whole[0]), rel=1e-6)
    summed = jax.tree.map(jnp.add, parts[0][1], parts[1][1])
    for name, pair in whole[1].items():
        np.testing.assert_allclose(summed[name], pair, rtol=1e-6)


def test_head_motion_by_hand():
    slots = np.eye(8)
    write = slots[[6, 7, 0, 1, 1, 1, 1, 1, 1]]  # 4 vectors, wrapping around
    read = slots[[3, 3, 3, 3, 3, 6, 7, 0, 1]]
    assert head_motion(write, read, 4) == (1.0, 1.0)
    early = slots[[3, 3, 3, 3, 3, 7, 0, 1, 2]]  # what it reads is seen at the next step
    assert head_motion(write, early, 4) == (1.0, 1.0)
    assert head_motion(write, slots[[3] * 5 + [0, 4, 4, 4]], 4) == (1.0, 0.0)
    assert head_motion(slots[[0, 1, 3, 4, 4, 4, 4, 4, 4]], read, 4)[0] == pytest.approx(2 / 3)
