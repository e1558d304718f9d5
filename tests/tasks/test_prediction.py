"""Predictions for labelled splits: their loss is that of training."""

import jax
import pytest

from bert_jax.labelled.batching import Packing, collate
from bert_jax.models.architectures import WITH_LABELS, architecture
from bert_jax.models.functional import build
from bert_jax.nn.execution import DEFAULT_EXECUTION
from bert_jax.tasks.kinds import KINDS
from bert_jax.tasks.prediction import decode_and_tune, make_predict_step, make_predictor
from bert_jax.tasks.splits import Split
from bert_jax.tasks.task import make_finetuning_objective
from bert_jax.training.parallel import DataParallel
from tests.tasks.test_heads import EXAMPLES
from tests.tasks.tiny import TOKENIZER, make


@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_is_the_mean_over_all_targets(kind):
    model = make(kind)
    task = KINDS[kind].from_labels(model.labels)
    num_labels = len(model.labels) if model.architecture in WITH_LABELS else 0
    _, merge = build(model.config, architecture(model.architecture, num_labels))
    examples = EXAMPLES[kind] * 3 + EXAMPLES[kind][:1] * 3  # in 8 rows, some of them empty
    rows = task.encode(examples, TOKENIZER, 24)
    packing = Packing(24, TOKENIZER.pad_id, 8)
    parallel = DataParallel()
    step = parallel.shard(make_predict_step(task, merge, DEFAULT_EXECUTION), donate=False)
    predict = make_predictor(task, step, parallel, packing, batch_size=1)
    outputs, loss = predict(model.params, Split(examples, rows))
    task, predictions = decode_and_tune(task, Split(examples, rows), outputs)

    objective = make_finetuning_objective(task, merge, DEFAULT_EXECUTION)
    alone = [[i] for i in range(len(rows))]
    together = collate(rows, alone, len(rows), 24, TOKENIZER.pad_id)
    expected, _ = jax.jit(
        lambda params, batch: objective.loss(params, batch, objective.counts(batch), None)
    )(model.params, together)
    assert loss == pytest.approx(float(expected), rel=1e-5)
    assert len(predictions) == len(examples)
    assert list(task.score(examples, predictions)) == list(task.metrics)
    assert task.metric in task.metrics
