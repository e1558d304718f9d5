"""Write ONNX files: export through transformers and PyTorch, then compare the outputs.

Needs the [onnx] extra: torch, transformers, onnx, onnxscript, onnxruntime.
"""

import tempfile
import warnings
from pathlib import Path
from typing import Any

import jax
import numpy as np

from bert_jax.errors import CheckpointError, ConfigError
from bert_jax.filesystem import write_bytes
from bert_jax.interop.huggingface import PretrainedModel, write_directory
from bert_jax.interop.stablehlo import input_names, is_pooled, make_inference_function
from bert_jax.models.architectures import ENCODERS, architecture_of, head_of, with_encoder
from bert_jax.models.pooling import MIN_NORM, SentencePooling

TOLERANCE = 1e-4
OUTPUTS = {
    "Model": ("last_hidden_state", "pooler_output"),
    "ForPreTraining": ("prediction_logits", "seq_relationship_logits"),
    "ForQuestionAnswering": ("start_logits", "end_logits"),
}


def write_onnx(model: PretrainedModel, path: Path) -> float:
    """Write a model for any batch size and length, with int64 inputs [B, T] and float32 outputs.

    Returns:
        The largest absolute difference from our outputs on random inputs of two shapes.

    Raises:
        ConfigError: the [onnx] extra is not installed.
        CheckpointError: ONNX Runtime's outputs differ by more than `TOLERANCE`; nothing is written.
    """
    try:
        import onnxruntime
        import onnxscript  # noqa: F401  # the exporter imports it only when it runs
        import torch
        import transformers
    except ImportError as error:
        raise ConfigError(
            f"ONNX export needs a package that is not installed: {error}",
            "the [onnx] extra",
            "pip install 'bert_jax[onnx]'",
        ) from None

    if model.sentence:
        model = model._replace(
            architecture=architecture_of(model.config, "Model"),
            params=with_encoder(model.params)["bert"],
        )
    names, inputs = OUTPUTS.get(head_of(model.architecture), ("logits",)), input_names(model)
    if model.architecture in ENCODERS and not is_pooled(model):
        names = names[:1]  # transformers would initialize a pooler

    class Wrapped(torch.nn.Module):
        def __init__(self, inner: Any):
            super().__init__()
            self.inner = inner

        def forward(self, *given: Any) -> Any:
            outputs = self.inner(**dict(zip(inputs, given, strict=True)))
            if model.sentence:
                return (_pool(outputs["last_hidden_state"], given[1], model.sentence),)
            return tuple(outputs[name] for name in names)

    with tempfile.TemporaryDirectory() as temporary, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        write_directory(Path(temporary) / "model", model)
        model_class = getattr(transformers, model.architecture)
        inner = model_class.from_pretrained(Path(temporary) / "model", attn_implementation="eager")
        batch = torch.export.Dim("batch", min=1)
        length = torch.export.Dim("length", min=2, max=model.config.max_position_embeddings)
        program = torch.onnx.export(
            Wrapped(inner.eval()),
            tuple(torch.ones((2, 4), dtype=torch.int64) for _ in inputs),
            input_names=list(inputs),
            output_names=["sentence_embedding"] if model.sentence else list(names),
            dynamic_shapes=(tuple({0: batch, 1: length} for _ in inputs),),
            dynamo=True,
            verbose=False,
        )
        assert program is not None
        draft = Path(temporary) / "model.onnx"
        program.save(draft, external_data=False)
        session = onnxruntime.InferenceSession(draft)
        worst = _largest_difference(model, session)
        if not worst <= TOLERANCE:
            raise CheckpointError(
                f"ONNX Runtime's outputs differ by {worst:.2e}",
                f"at most {TOLERANCE:.0e}",
                "report this with the versions of torch, onnx and onnxruntime",
            )
        write_bytes(path, draft.read_bytes())
    return worst


def _pool(hidden: Any, attention_mask: Any, pooling: SentencePooling) -> Any:
    """Pool torch tensors [B, T, D] to [B, D], as `pool_sequences` does."""
    mask = attention_mask[..., None].to(hidden.dtype)
    if pooling.mode == "cls":
        first = attention_mask.argmax(dim=1)[:, None, None].expand(-1, 1, hidden.shape[-1])
        vectors = hidden.gather(1, first)[:, 0]
    elif pooling.mode == "max":
        vectors = hidden.masked_fill(mask == 0, float("-inf")).amax(dim=1)
    else:
        vectors = (hidden * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)
    if pooling.normalize:
        vectors = vectors / vectors.norm(dim=-1, keepdim=True).clamp(min=MIN_NORM)
    return vectors


def _largest_difference(model: PretrainedModel, session: Any) -> float:
    infer, rng, worst = jax.jit(make_inference_function(model)), np.random.default_rng(0), 0.0
    longest, names = model.config.max_position_embeddings, input_names(model)
    segments = getattr(model.config, "type_vocab_size", 1) if model.config.has_segments else 1
    for rows, length in ((1, min(5, longest)), (3, min(40, longest))):
        ids = rng.integers(0, model.config.vocab_size or 0, (rows, length))
        segment = rng.integers(0, segments, (rows, length))
        mask = rng.integers(0, 2, (rows, length))
        mask[:, rng.integers(length)] = 1  # at least one token
        inputs = dict(zip(names, (ids, mask, segment), strict=False))
        ours = infer(*(x.astype(np.int32) for x in inputs.values()))
        theirs = session.run(None, inputs)
        for a, b in zip(ours, theirs, strict=True):
            worst = max(worst, float(np.abs(np.asarray(a) - b).max()))
    return worst
