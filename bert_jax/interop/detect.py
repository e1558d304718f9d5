"""The architecture of other people's weights, by their names: config.json is often silent or wrong.

`bert-base-uncased` calls itself a BertForMaskedLM and holds everything of a BertForPreTraining;
older models name no architecture at all.
"""

from collections.abc import Collection, Mapping

import numpy as np

from bert_jax.config import EncoderConfig
from bert_jax.interop.config_json import ParsedConfig
from bert_jax.interop.families import family_of
from bert_jax.models.architectures import (
    ARCHITECTURES,
    WITH_POOLER,
    Head,
    architecture_of,
    head_of,
)

WITH_MLM = ("ForMaskedLM", "ForPreTraining")
BUFFERS = ("position_ids", "token_type_ids")  # constants that some versions of transformers save


def has_part(config: EncoderConfig, part: str, names: Collection[str]) -> bool:
    """Return True if the weights, by their names in the flat form, have a part such as "mlm"."""
    return family_of(config).has(part, names)


def has_pooler(config: EncoderConfig, names: Collection[str]) -> bool:
    """Return True if the weights, by their names in the flat form, have a pooler."""
    return has_part(config, "bert.pooler", names)


def untied_decoder(config: EncoderConfig) -> str:
    """Return the name of the masked-LM head's output kernel, where it is not tied."""
    return f"{family_of(config).decoder}.kernel"


def choose_architecture(parsed: ParsedConfig, names: Collection[str]) -> str:
    """Return the one of `ARCHITECTURES` that uses most of the weights.

    A fine-tuned head that config.json names stays what it is; a pretraining model becomes the
    largest one whose heads are there; what has no name goes by its weights alone.

    Args:
        parsed: the contents of config.json.
        names: the weights' names in the flat form; a tied decoder is not among them.
    """
    named, config = parsed.architecture, parsed.config
    if named is not None and named in ARCHITECTURES and named != f"{config.family}{head_of(named)}":
        named = None  # of another family than model_type
    encoder, with_mlm = (architecture_of(config, head) for head in ("Model", "ForMaskedLM"))
    if named is not None and named in ARCHITECTURES and named not in (encoder, with_mlm):
        return named
    if named is None and has_part(config, "qa_outputs", names):
        return architecture_of(config, "ForQuestionAnswering")
    if named is None and has_part(config, "classifier.dense", names):
        return architecture_of(config, "ForSequenceClassification")
    if named is None and has_part(config, "classifier", names):
        return architecture_of(config, _choose_classifier(parsed, names))
    if named == encoder and untied_decoder(config) in names:  # with another model's head
        return encoder
    largest = largest_pretraining(config, names)
    return with_mlm if named == with_mlm and largest == encoder else largest


def largest_pretraining(config: EncoderConfig, names: Collection[str]) -> str:
    """Return the largest pretraining model whose weights are there: both heads, one, or none."""
    head: Head = "Model"
    if has_part(config, "mlm.dense", names):
        has_nsp = has_part(config, "nsp.dense", names) and has_pooler(config, names)
        head = "ForPreTraining" if has_nsp else "ForMaskedLM"
    return architecture_of(config, head)


def _choose_classifier(parsed: ParsedConfig, names: Collection[str]) -> Head:
    """Tell a tagger from a classifier of texts: by its labels, or because it needs no pooler."""
    id2label, config = parsed.raw.get("id2label"), parsed.config
    labels = id2label.values() if isinstance(id2label, dict) else ()
    has_tags = any(str(label).startswith(("B-", "I-")) for label in labels)
    needs_pooler = architecture_of(config, "ForSequenceClassification") in WITH_POOLER
    lacks_pooler = needs_pooler and not has_pooler(config, names)
    lacks_dense = "classifier.dense" in family_of(config).names  # which is not among the weights
    is_tagger = parsed.problem_type is None and (has_tags or lacks_pooler or lacks_dense)
    return "ForTokenClassification" if is_tagger else "ForSequenceClassification"


def describe_choice(
    parsed: ParsedConfig, chosen: str, names: Collection[str], used: Collection[str]
) -> list[str]:
    """Return a line for a name that is missing or not supported, and one for unused weights."""
    lines, named = [], parsed.architecture
    if named is None and head_of(chosen) != "Model":
        lines.append(f"config.json names no architecture; by its weights it is a {chosen}")
    if named is not None and named not in ARCHITECTURES:
        lines.append(f"{named} is not supported, and is read as a {chosen}")
    return lines + describe_unused(chosen, names, used)


def describe_unused(chosen: str, names: Collection[str], used: Collection[str]) -> list[str]:
    """Return a line that names the weights that a model has no place for; none if all are used."""
    unused = sorted(n for n in set(names) - set(used) if n.rpartition(".")[2] not in BUFFERS)
    more = f" and {len(unused) - 4} more" if len(unused) > 4 else ""
    return [f"a {chosen} does not use {', '.join(unused[:4])}{more}"] if unused else []


def number_of_labels(flat: Mapping[str, np.ndarray]) -> int:
    """Return the number of outputs of a classifier or tagger, by its weights."""
    kernels = [flat.get(f"{name}.kernel") for name in ("classifier", "classifier.out_proj")]
    return next((x.shape[1] for x in kernels if x is not None and x.ndim == 2), 2)
