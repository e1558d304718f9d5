"""Compare every family of encoders with transformers on small random models, and print a table.

    python benchmarks/families.py [FAMILY ...]

For each model of a family and each shape: outputs, loss and gradients in float32; the weights of a
directory that transformers wrote, read and written here, and read by its automatic class again.
Needs the [onnx] extra: torch and transformers.
"""

import functools
import json
import sys
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bert_jax.config import EncoderConfig
from bert_jax.interop.config_json import make_config_json
from bert_jax.interop.families import FAMILIES, family_of
from bert_jax.interop.huggingface import PretrainedModel, read_directory, write_directory
from bert_jax.interop.parameter_names import to_flat, to_torch_names
from bert_jax.models.architectures import (
    ARCHITECTURES,
    ENCODERS,
    WITH_LABELS,
    architecture,
    head_of,
)
from bert_jax.models.functional import build
from bert_jax.nn.layout import row_layout
from bert_jax.tasks.losses import masked_language_model_sums
from bert_jax.tokenizer.tokenizer import SPECIAL_TOKENS, Casing, Tokenizer

VOCAB = [*SPECIAL_TOKENS, *"abcdefghijklmnopqrstuvwxyz"]
SHAPE: dict[str, Any] = {
    "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 24,
    "max_position_embeddings": 40, "vocab_size": len(VOCAB), "initializer_range": 0.2,
}  # fmt: skip
SHAPES: dict[str, dict[str, Any]] = {
    "three layers": {},
    "one layer, one head, a padded vocabulary": {
        "num_hidden_layers": 1, "num_attention_heads": 1, "vocab_size": len(VOCAB) + 9,
    },
    "wide": {"hidden_size": 48, "num_attention_heads": 3, "intermediate_size": 20},
}  # fmt: skip
LABELS = ("bad", "good", "긍정")


class Differences(NamedTuple):
    """Largest absolute differences from transformers."""

    outputs: float
    loss: float
    gradients: float


def configuration(model_type: str, **changes: Any) -> EncoderConfig:
    """Return a small configuration of a family."""
    return FAMILIES[model_type].config(**(SHAPE | changes))


def make_model(name: str, config: EncoderConfig) -> PretrainedModel:
    """Return a model whose weights differ from every default initialization."""
    labels = LABELS if name in WITH_LABELS else ()
    init, _ = build(config, architecture(name, len(labels)))
    rng = np.random.default_rng(0)
    params = jax.tree.map(
        lambda p: np.asarray(p + rng.normal(0, 0.05, p.shape), np.float32),
        jax.jit(init)(jax.random.key(0)),
    )
    return PretrainedModel(config, name, params, Tokenizer(VOCAB, Casing(lowercase=True)), labels)


def read_theirs(folder: Path, name: str) -> Any:
    """Read a directory by transformers' automatic class, which must miss and drop nothing."""
    import transformers

    head = head_of(name).removesuffix("Model")
    auto = getattr(transformers, f"AutoModel{head}")
    model, loaded = auto.from_pretrained(folder, output_loading_info=True)
    assert type(model).__name__ == name, type(model)
    assert not any(loaded.values()), loaded
    return model.eval()


def compare(name: str, config: EncoderConfig, length: int = 19) -> Differences:
    """Return the differences of a model from transformers, on a full row and a half empty one."""
    import torch

    model = make_model(name, config)
    with tempfile.TemporaryDirectory() as folder:
        write_directory(Path(folder) / "model", model)
        theirs = read_theirs(Path(folder) / "model", name)
    rng = np.random.default_rng(length)
    tokens, labels = rng.integers(5, len(VOCAB), (2, 2, length)).astype(np.int32)
    first = (length // 3, length // 4) if config.has_segments else (length, length // 2)
    lengths = np.array([[[first[0], length - first[0]]], [[first[1], length // 2 - first[1]]]])
    is_token = np.arange(length)[None] < lengths.sum(-1)
    segments = (np.arange(length)[None] >= lengths[:, :, 0]) & is_token
    given = {"input_ids": tokens, "attention_mask": is_token}
    if config.has_segments:
        given["token_type_ids"] = segments
    _, merge = build(config, model.module)

    @jax.jit
    @functools.partial(jax.value_and_grad, has_aux=True)
    def ours(params: Any) -> tuple[Any, Any]:
        layout = row_layout(jnp.asarray(lengths, jnp.int32), length)
        extra = (layout.positions,) if head_of(name) == "ForPreTraining" else ()
        outputs = merge(params)(jnp.asarray(tokens), layout, *extra)
        if head_of(name) == "ForMaskedLM":
            weights = jnp.asarray(is_token, jnp.float32)
            loss, count = masked_language_model_sums(outputs, jnp.asarray(labels), weights)
            return loss / count, outputs[is_token]
        if head_of(name) == "ForPreTraining":
            mlm, nsp = outputs
            picked = jnp.concatenate([mlm[is_token].ravel(), nsp[:, 0].ravel()])
        elif head_of(name) == "ForSequenceClassification":
            picked = outputs[:, 0]
        elif name in ENCODERS and model.has_pooler:
            pooled = merge(params).pool(outputs[:, 0])
            picked = jnp.concatenate([outputs[is_token].ravel(), pooled.ravel()])
        else:
            picked = outputs[is_token]
        score = (picked.ravel() * jnp.cos(jnp.arange(picked.size))).sum()
        return score / is_token.sum(), picked

    (loss, outputs), gradients = ours(jax.tree.map(jnp.asarray, model.params))
    masked = {"labels": np.where(is_token, labels, -100)} if head_of(name) == "ForMaskedLM" else {}
    inputs = {key: torch.from_numpy(x.astype(int)) for key, x in (given | masked).items()}
    output = theirs(**inputs)
    kept = torch.from_numpy(is_token)
    if head_of(name) == "ForMaskedLM":
        expected, their_loss = output.logits[kept], output.loss
    else:
        if head_of(name) == "ForQuestionAnswering":
            expected = torch.stack([output.start_logits, output.end_logits], -1)[kept]
        elif head_of(name) == "ForSequenceClassification":
            expected = output.logits
        elif head_of(name) == "ForPreTraining" or (name in ENCODERS and model.has_pooler):
            of_tokens, of_texts = tuple(output.values())[:2]
            expected = torch.cat([of_tokens[kept].ravel(), of_texts.ravel()])
        else:
            expected = output[0][kept]
        score = (expected.ravel() * torch.cos(torch.arange(expected.numel()))).sum()
        their_loss = score / int(is_token.sum())
    their_loss.backward()
    return Differences(
        float(np.abs(np.asarray(outputs) - expected.detach().numpy()).max()),
        abs(float(loss) - their_loss.item()),
        _compare_gradients(gradients, config, theirs, name),
    )


def _compare_gradients(ours: Any, config: EncoderConfig, theirs: Any, name: str) -> float:
    parameters = theirs.named_parameters(remove_duplicate=False)  # tied ones under both names
    expected = {n: x.grad.numpy() for n, x in parameters if x.grad is not None}
    actual = to_torch_names(to_flat(ours, config))
    if name in ENCODERS:
        prefix = family_of(config).prefix
        actual = {n.removeprefix(prefix): x for n, x in actual.items()}
    tied = {f"{family_of(config).decoder}.{kind}" for kind in ("weight", "bias")}
    assert set(actual) | tied == set(expected) | tied, set(actual) ^ set(expected)
    return max(float(np.abs(x - expected[n]).max()) for n, x in actual.items())


def round_trip(name: str, config: EncoderConfig) -> bool:
    """Return True if what transformers wrote comes back from here as the same bits."""
    import torch
    import transformers

    family = transformers.CONFIG_MAPPING[config.model_type]
    fields = json.loads(make_config_json(config, name, LABELS if name in WITH_LABELS else ()))
    del fields["architectures"], fields["dtype"]
    theirs = getattr(transformers, name)(family(**fields))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        theirs.save_pretrained(folder / "theirs")
        tokenizer = Tokenizer(VOCAB, Casing(lowercase=True))
        length = config.max_position_embeddings
        tokenizer.save(folder / "theirs", length, segments=config.has_segments)
        logged: list[str] = []
        model = read_directory(folder / "theirs", logged.append)
        assert (model.architecture, logged) == (name, [])
        assert model.config == config, (model.config, config)
        write_directory(folder / "ours", model)
        again = read_theirs(folder / "ours", name).state_dict()
    expected = theirs.state_dict()
    return set(again) == set(expected) and all(torch.equal(again[n], expected[n]) for n in again)


def models_of(config: EncoderConfig) -> list[str]:
    """Return the names of a family's models."""
    return [name for name in ARCHITECTURES if name.removeprefix(config.family) in _heads()]


def _heads() -> set[str]:
    return {head_of(name) for name in ARCHITECTURES}


def measure(model_type: str) -> tuple[Differences, bool]:
    """Return the largest differences of a family's models in all shapes, and if weights return."""
    found, same = [], True
    for changes in SHAPES.values():
        config = configuration(model_type, **changes)
        found += [compare(name, config) for name in models_of(config)]
        same &= all(round_trip(name, config) for name in models_of(config))
    return Differences(*(max(column) for column in zip(*found, strict=True))), same


def main(model_types: Sequence[str]) -> None:
    """Print the table of these families."""
    print("| family | models | outputs | loss | gradients | import and export |")
    print("|---|---|---|---|---|---|")
    for model_type in model_types:
        title = FAMILIES[model_type].config.title
        worst, same = measure(model_type)
        numbers = " | ".join(f"{x:.1e}" for x in worst)
        count = len(models_of(configuration(model_type)))
        kept = "same bits" if same else "DIFFERENT"
        print(f"| {title} | {count} | {numbers} | {kept} |", flush=True)


if __name__ == "__main__":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        main(sys.argv[1:] or [*FAMILIES])
