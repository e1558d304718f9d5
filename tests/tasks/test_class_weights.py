"""Class weights: by hand, as scikit-learn's, and the same on every number of devices."""

from dataclasses import replace

import jax
import numpy as np
import pytest

from bert_jax.config import FinetuneConfig, OptimizerConfig
from bert_jax.errors import ConfigError
from bert_jax.labelled.batching import collate
from bert_jax.labelled.texts import TextExample
from bert_jax.models.architectures import architecture
from bert_jax.models.functional import build
from bert_jax.nn.execution import DEFAULT_EXECUTION
from bert_jax.tasks.class_weights import class_weights
from bert_jax.tasks.classification import Classification
from bert_jax.tasks.task import make_finetuning_objective
from bert_jax.training.optimizers import make_optimizer
from bert_jax.training.parallel import DataParallel
from bert_jax.training.step import init_state, make_train_step
from tests.extras import need
from tests.tasks.tiny import CONFIG, LABELS, TOKENIZER, make

SEEN = ["a"] * 6 + ["b"] * 3 + ["c"]


def test_given_weights_are_those_of_the_classes_and_1_for_the_others():
    assert class_weights((), ("a", "b"), SEEN) == ()
    assert class_weights(("b=2.5",), ("a", "b"), SEEN) == (1.0, 2.5)
    assert class_weights(("a=b=3", "a=0.5"), ("a", "a=b"), SEEN) == (0.5, 3.0)


def test_balanced_weights_are_those_of_scikit_learn():
    weights = class_weights(("balanced",), ("a", "b", "c"), [*SEEN, "other"])
    assert weights == pytest.approx((10 / (3 * 6), 10 / (3 * 3), 10 / (3 * 1)))
    compute = need("sklearn.utils.class_weight").compute_class_weight
    assert weights == pytest.approx(compute("balanced", classes=np.array(list("abc")), y=SEEN))
    assert class_weights(("balanced",), ("a", "d"), SEEN) == (0.5, 0.5)  # "d" does not occur


@pytest.mark.parametrize("given", ["d=1", "a", "a=x", "a=-1", "a=0", "a=nan", "a=inf", "balanced"])
def test_other_weights_are_refused(given):
    with pytest.raises(ConfigError, match=r"class_weights: '.*(.|\n)*a=1 b=2") as caught:
        class_weights((given, "b=2"), ("a", "b"), SEEN)
    assert str(caught.value).count("\n") == 2


def test_they_are_for_classification_alone():
    with pytest.raises(ConfigError, match=r"class_weights = \('balanced',\) is invalid"):
        FinetuneConfig("regression", "", "", "", class_weights=("balanced",))


# Fifteen texts, uneven over the rows of eight devices.
TEXTS = ["the cat sat", "a dog", "good film", "bad film .", "on the mat", "what ?", "a b c"]
GROUPS = [[0, 1, 2, 3], [4], [], [5, 6], [7], [8, 9, 10], [], [11, 12, 13, 14]]
WEIGHTS = (0.25, 4.0, 1.5)


def batch():
    task = Classification(LABELS["classification"])
    examples = [
        TextExample("", TEXTS[i % 7], None, task.labels[(i * i + i // 3) % 3])
        for i in range(sum(map(len, GROUPS)))
    ]
    return collate(task.encode(examples, TOKENIZER, 12), GROUPS, 8, 32, TOKENIZER.pad_id)


def first_step(num_devices, accumulation_steps, weights=WEIGHTS):
    """Return loss, norm of the gradient and parameters of one step without dropout."""
    still = replace(CONFIG, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    _, merge = build(still, architecture("BertForSequenceClassification", 3))
    task = Classification(LABELS["classification"], weights)
    objective = make_finetuning_objective(task, merge, DEFAULT_EXECUTION)
    optimizer, _ = make_optimizer(OptimizerConfig(learning_rate=0.01, warmup_steps=0), 10)
    parallel = DataParallel("shard_map", num_devices)
    step = parallel.shard(make_train_step(objective, optimizer, accumulation_steps))
    params = make("classification").params
    state = parallel.put_state(init_state(params, optimizer, jax.random.key(0)))
    state, metrics = step(state, parallel.put_batch(batch()))
    metrics = parallel.get(metrics)
    assert float(metrics["loss"][1]) == 1.0  # the loss of the whole batch
    return float(metrics["loss"][0]), float(metrics["grad_norm"][0]), parallel.get(state.params)


def test_the_weighted_loss_is_the_same_on_one_device_on_eight_and_accumulated():
    loss, norm, params = first_step(1, 1)
    for layout in ((8, 1), (2, 4)):
        other_loss, other_norm, other_params = first_step(*layout)
        assert other_loss == pytest.approx(loss, rel=1e-5)
        assert other_norm == pytest.approx(norm, rel=1e-4)
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5),
            params["classifier"], other_params["classifier"],
        )  # fmt: skip
    assert first_step(1, 1, ())[0] != pytest.approx(loss, rel=1e-2)


def test_the_weighted_loss_is_that_of_torch():
    torch = need("torch")
    task = Classification(LABELS["classification"], WEIGHTS)
    given = batch()
    outputs = np.random.default_rng(0).normal(size=(*given["lengths"].shape[:2], 3))
    outputs = outputs.astype(np.float32)
    is_text = given["lengths"][..., 0] > 0
    theirs = torch.nn.functional.cross_entropy(
        torch.from_numpy(outputs[is_text]),
        torch.from_numpy(given["label"][is_text].astype(np.int64)),
        weight=torch.tensor(WEIGHTS),
    )
    loss = jax.jit(task.loss_sum)(outputs, given) / jax.jit(task.num_targets)(given)
    assert float(loss) == pytest.approx(float(theirs), rel=1e-5)
