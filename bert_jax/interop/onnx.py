"""Models as ONNX, by PyTorch's exporter through the Hugging Face directory, then checked.

Needs the [onnx] extra: torch, transformers, onnx, onnxscript, onnxruntime.
"""

import tempfile
import warnings
from pathlib import Path
from typing import Any

import jax
import numpy as np

from bert_jax.errors import CheckpointError, ConfigError
from bert_jax.interop.huggingface import Exported, write_directory
from bert_jax.interop.stablehlo import inference_function

TOLERANCE = 1e-4
INPUTS = ("input_ids", "attention_mask", "token_type_ids")
OUTPUTS = {
    "BertModel": ("last_hidden_state", "pooler_output"),
    "BertForPreTraining": ("prediction_logits", "seq_relationship_logits"),
    "BertForQuestionAnswering": ("start_logits", "end_logits"),
}


def write_onnx(model: Exported, path: Path) -> float:
    """Writes a model for any batch size and length; int64 inputs [B, T], float32 outputs.

    Returns:
        The largest difference from this package's outputs on random inputs of several shapes.

    Raises:
        ConfigError: the [onnx] extra is not installed.
        CheckpointError: ONNX Runtime computes something else; nothing is written.
    """
    try:
        import onnxruntime
        import onnxscript  # noqa: F401  # the exporter imports it late
        import torch
        import transformers
    except ImportError as error:
        raise ConfigError(
            f"ONNX needs packages that are not here: {error}",
            "the [onnx] extra",
            "pip install 'bert_jax[onnx]'",
        ) from None

    names = OUTPUTS.get(model.architecture, ("logits",))
    if model.architecture == "BertModel" and "pooler" not in model.params:
        names = names[:1]  # transformers would make up a pooler

    class Wrapped(torch.nn.Module):
        def __init__(self, inner: Any):
            super().__init__()
            self.inner = inner

        def forward(self, input_ids: Any, attention_mask: Any, token_type_ids: Any) -> Any:
            found = self.inner(
                input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids
            )
            return tuple(found[name] for name in names)

    with tempfile.TemporaryDirectory() as temporary, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        write_directory(Path(temporary) / "model", model)
        kind = getattr(transformers, model.architecture)
        inner = kind.from_pretrained(Path(temporary) / "model", attn_implementation="eager")
        batch = torch.export.Dim("batch", min=1)
        length = torch.export.Dim("length", min=2, max=model.config.max_position_embeddings)
        program = torch.onnx.export(
            Wrapped(inner.eval()),
            tuple(torch.ones((2, 4), dtype=torch.int64) for _ in INPUTS),
            input_names=list(INPUTS),
            output_names=list(names),
            dynamic_shapes={name: {0: batch, 1: length} for name in INPUTS},
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
        path.write_bytes(draft.read_bytes())
    return worst


def _largest_difference(model: Exported, session: Any) -> float:
    ours, rng, worst = jax.jit(inference_function(model)), np.random.default_rng(0), 0.0
    longest = model.config.max_position_embeddings
    for rows, length in ((1, min(5, longest)), (3, min(40, longest))):
        ids = rng.integers(0, model.config.vocab_size or 0, (rows, length))
        place, ends = np.arange(length)[None], rng.integers(2, length + 1, (rows, 1))
        mask = (place < ends).astype(np.int64)
        segment = ((place >= ends // 2) & (place < ends)).astype(np.int64)
        wanted = ours(*(x.astype(np.int32) for x in (ids, mask, segment)))
        found = session.run(None, dict(zip(INPUTS, (ids, mask, segment), strict=True)))
        for a, b in zip(wanted, found, strict=True):
            a = np.asarray(a)
            if a.shape[:2] == ids.shape:  # what stands on padding means nothing
                a, b = a[mask == 1], b[mask == 1]
            worst = max(worst, float(np.abs(a - b).max()))
    return worst
