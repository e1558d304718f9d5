"""Predictions for labelled sets: the loss beside them is that of training."""

import jax
import pytest

from bert_jax.data.batching import Packing, join
from bert_jax.models.architectures import WITH_LABELS, architecture
from bert_jax.models.functional import build
from bert_jax.nn.compute import PLAIN
from bert_jax.tasks.kinds import KINDS
from bert_jax.tasks.labelled import Labelled
from bert_jax.tasks.predicting import make_predictor
from bert_jax.tasks.task import make_objective
from bert_jax.training.parallel import DataParallel
from tests.tasks.test_heads import EXAMPLES
from tests.tasks.tiny import TOKENIZER, make


@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_is_the_mean_over_all_targets(kind):
    model = make(kind)
    task = KINDS[kind].from_labels(model.labels)
    num_labels = len(model.labels) if model.architecture in WITH_LABELS else 0
    _, bind = build(model.config, architecture(model.architecture, num_labels))
    examples = EXAMPLES[kind] * 3 + EXAMPLES[kind][:1] * 3  # in 8 rows, some of them empty
    rows = task.encode(examples, TOKENIZER, 24)
    packing = Packing(24, TOKENIZER.pad_id, 8)
    predict = make_predictor(task, bind, PLAIN, DataParallel(), packing, batch_size=1)
    predictions, loss = predict(model.params, Labelled(examples, rows))

    objective = make_objective(task, bind, PLAIN)
    alone = [[i] for i in range(len(rows))]
    together = join(rows, alone, len(rows), 24, TOKENIZER.pad_id)
    wanted, _ = jax.jit(
        lambda params, batch: objective.loss(params, batch, objective.counts(batch), None)
    )(model.params, together)
    assert loss == pytest.approx(float(wanted), rel=1e-5)
    assert len(predictions) == len(examples)
    assert list(task.score(examples, predictions)) == list(task.metrics)
    assert task.metric in task.metrics
