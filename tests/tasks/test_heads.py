"""Every kind of task on a model of a few numbers: its loss, its gradients, and its padding."""

from typing import Any, NamedTuple

import jax
import numpy as np
import pytest
import scipy.special

import bert_jax
from bert_jax.labelled.batching import collate
from bert_jax.labelled.multilabel import MultiLabelExample
from bert_jax.labelled.squad import Answer, Question
from bert_jax.labelled.texts import TextExample
from bert_jax.models.architectures import WITH_LABELS, architecture
from bert_jax.models.functional import build
from bert_jax.nn.execution import DEFAULT_EXECUTION
from bert_jax.tasks.kinds import KINDS
from bert_jax.tasks.tagging import TagExample
from bert_jax.tasks.task import Task, forward, make_finetuning_objective
from tests.tasks.tiny import LABELS, TOKENIZER, make

EXAMPLES: dict[str, list[Any]] = {
    "classification": [
        TextExample("", "the cat sat", None, "good"),
        TextExample("", "a dog", "on mat .", "bad"),
    ],
    "multilabel": [
        MultiLabelExample("", "the cat sat", None, ("good", "long")),
        MultiLabelExample("", "a dog", "on mat .", ()),
    ],
    "regression": [
        TextExample("", "the cat sat", "a dog", "2.5"),
        TextExample("", "good film", "bad film", "-1"),
    ],
    "tagging": [
        TagExample("", ("the", "cats", "sat"), ("O", "B-PET", "O")),
        TagExample("", ("세종", "한글을"), ("B-PET", "I-PET")),
    ],
    "question_answering": [
        Question("", "who", "the cats sat", (Answer("cats", 4),)),
        Question("", "what ?", "a b c d", ()),
    ],
}


class Tiny(NamedTuple):
    """A task with its model; the jitted `run(params, batch)` returns (loss, outputs), gradient."""

    task: Task
    params: dict[str, Any]
    run: Any

    def batch(self, groups=([0], [1]), length=16):
        """Return the two examples of this kind, each in its own row, and an empty row."""
        texts = self.task.encode(EXAMPLES[self.task.kind], TOKENIZER, 12)
        return collate(texts, groups, 3, length, TOKENIZER.pad_id)


@pytest.fixture(scope="module", params=KINDS)
def tiny(request):
    model = make(request.param)
    task = KINDS[request.param].from_labels(model.labels)
    num_labels = len(model.labels) if model.architecture in WITH_LABELS else 0
    _, merge = build(model.config, architecture(model.architecture, num_labels))
    objective = make_finetuning_objective(task, merge, DEFAULT_EXECUTION)

    def loss(params, batch):
        total, _ = objective.loss(params, batch, objective.counts(batch), None)
        return total, forward(merge(params), batch, None, DEFAULT_EXECUTION)

    return Tiny(task, model.params, jax.jit(jax.value_and_grad(loss, has_aux=True)))


def plain_loss(task, batch, outputs):
    """Return the mean loss of the two rows, written out in NumPy."""
    terms = []
    for i in range(2):
        size = batch["lengths"][i].sum()
        if task.kind == "classification":
            terms.append(-scipy.special.log_softmax(outputs[i, 0])[batch["label"][i, 0]])
        elif task.kind == "multilabel":
            chances = scipy.special.expit(outputs[i, 0])
            terms += [*-np.log(np.where(batch["labels"][i, 0] == 1, chances, 1 - chances))]
        elif task.kind == "regression":
            terms.append((outputs[i, 0, 0] - batch["score"][i, 0]) ** 2)
        elif task.kind == "tagging":
            for scores, tag in zip(outputs[i, :size], batch["tag"][i], strict=False):
                if tag >= 0:
                    terms.append(-scipy.special.log_softmax(scores)[tag])
        else:
            start, end = scipy.special.log_softmax(outputs[i, :size], axis=0).T
            terms.append(-(start[batch["start"][i, 0]] + end[batch["end"][i, 0]]) / 2)
    return np.mean(terms)


def test_the_loss_is_the_mean_of_its_terms(tiny):
    batch = tiny.batch()
    (loss, outputs), _ = tiny.run(tiny.params, batch)
    expected = plain_loss(tiny.task, batch, np.asarray(outputs, np.float64))
    assert loss == pytest.approx(expected, rel=1e-5)


def test_texts_in_one_row_have_the_loss_and_the_gradient_of_texts_in_rows_of_their_own(tiny):
    (loss, _), gradient = tiny.run(tiny.params, tiny.batch())
    for groups in ([[0, 1]], [[], [1, 0]]):
        (same, _), same_gradient = tiny.run(tiny.params, tiny.batch(groups, 24))
        assert float(same) == pytest.approx(float(loss), rel=1e-5)
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), gradient, same_gradient
        )


def test_every_parameter_has_the_gradient_of_finite_differences(tiny):
    batch, step, rng = tiny.batch(), 5e-3, np.random.default_rng(0)
    _, gradient = tiny.run(tiny.params, batch)
    leaves, tree = jax.tree.flatten(tiny.params)
    for index, (path, slope) in enumerate(jax.tree_util.tree_leaves_with_path(gradient)):
        direction = rng.normal(size=slope.shape).astype(np.float32)
        direction /= np.linalg.norm(direction)

        def loss_at(distance, index=index, direction=direction):
            moved = [*leaves]
            moved[index] = moved[index] + np.float32(distance) * direction
            return float(tiny.run(jax.tree.unflatten(tree, moved), batch)[0][0])

        difference = (loss_at(step) - loss_at(-step)) / (2 * step)
        derivative = float((np.asarray(slope) * direction).sum())
        name = jax.tree_util.keystr(path)
        assert derivative == pytest.approx(difference, rel=1e-2, abs=2e-4), name


def test_the_gradient_reaches_all_that_is_used_and_nothing_else(tiny):
    batch = tiny.batch()
    _, gradient = jax.tree.map(np.asarray, tiny.run(tiny.params, batch))
    sizes = batch["lengths"].sum(axis=(1, 2))
    used = {int(t) for row, size in zip(batch["tokens"], sizes, strict=True) for t in row[:size]}
    embeddings, layers = gradient["bert"]["embeddings"], gradient["bert"]["layers"]
    assert set(np.flatnonzero(np.abs(embeddings["word"]).sum(1)).tolist()) == used
    positions = np.flatnonzero(np.abs(embeddings["position"]).sum(1))
    assert positions.tolist() == list(range(max(sizes)))
    largest = {
        jax.tree_util.keystr(path): np.abs(slope).reshape(len(slope), -1).max(1)  # of each layer
        for path, slope in jax.tree_util.tree_leaves_with_path((layers, gradient))
    }
    if (
        tiny.task.kind == "question_answering"
    ):  # what shifts all tokens changes no softmax over them
        for name in ("[1]['qa_outputs']['bias']", "[0]['feed_forward_norm']['bias']"):
            assert largest[name][-1] < 1e-6
            del largest[name]
    for name, slopes in largest.items():
        assert (slopes.min() if name.startswith("[0]") else slopes.max()) > 1e-3, name


def test_loss_and_gradient_ignore_padding(tiny):
    batch, changed = tiny.batch(), tiny.batch()
    is_padding = np.arange(16)[None] >= batch["lengths"].sum(axis=(1, 2))[:, None]
    changed["tokens"][is_padding] = TOKENIZER.cls_id
    for name in {"label", "labels", "score", "start", "end"} & set(batch):
        changed[name][2] = 1
    (loss, outputs), gradient = tiny.run(tiny.params, batch)
    (same, others), same_gradient = tiny.run(tiny.params, changed)
    assert float(loss) == pytest.approx(float(same), abs=1e-6)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), gradient, same_gradient)
    assert np.abs(outputs[2] - others[2]).max() > 1e-3  # the empty row did change


INPUTS = {
    "regression": [("cat", "dog"), ("good", "bad"), ("the cat sat on mat . " * 5, "a dog")],
    "tagging": ["the cats", "세종대왕이 한글을", "the cats sat on mat . " * 12],
    "question_answering": [
        {"question": "who ?", "context": "the cats sat"},
        {"question": "who", "context": "세종이 한글을"},
        {"question": "what", "context": "the dog sat on mat . " * 12},
    ],
}  # the last is long


@pytest.mark.parametrize("kind", INPUTS)
def test_a_prediction_does_not_depend_on_its_neighbours_or_its_bucket(kind):
    model = bert_jax.Model(make(kind))
    *short, _ = model.predict(INPUTS[kind])
    for given, together in zip(INPUTS[kind], short, strict=False):
        (alone,) = model.predict([given])
        assert alone.keys() == together.keys()
        for a, b in zip(jax.tree.leaves(alone), jax.tree.leaves(together), strict=True):
            assert a == (pytest.approx(b, abs=1e-5) if isinstance(b, float) else b)


def test_every_kind_is_tested():
    assert set(EXAMPLES) == set(KINDS) == set(LABELS)
    assert {*INPUTS, "classification", "multilabel"} == set(KINDS)
