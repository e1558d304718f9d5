"""Advice of the data report: a warning for each likely mistake, with an option that fixes it."""

import math
from collections.abc import Iterator
from typing import Any

from bert_jax.config.preparing import MAX_WORD_LENGTH
from bert_jax.corpus.sample import Sample
from bert_jax.tokenizer.tokenizer import Tokenizer

MAX_CUT_SHARE = 0.2  # of tokens; sentences that are short for a row lose less
MIN_ROW_FILL = 0.9
MAX_RANDOM_SHARE = 0.95  # of next sentences; above, the NSP label is all but constant
MIN_HELD_OUT = (
    5000  # tokens; of fewer than 750 predictions the accuracy is known to 2 points at best
)
USUAL_EVAL_SHARE = 0.1  # of a small text


def collect_warnings(report: dict[str, Any], tokenizer: Tokenizer, sample: Sample) -> list[str]:
    """Return a warning for each likely mistake in the corpus, the vocabulary or the options."""
    return [
        *_vocabulary_warnings(report, tokenizer, sample),
        *_duplicate_warnings(report["text"]),
        *_row_warnings(report, sample),
        *_held_out_warnings(report),
    ]


def _vocabulary_warnings(
    report: dict[str, Any], tokenizer: Tokenizer, sample: Sample
) -> Iterator[str]:
    casing, is_given = tokenizer.casing, report["config"]["vocab"] is not None
    is_korean = sample.hangul_share > 0.01
    keep_hangul = " --strip-accents False" if is_korean else ""
    if casing.strips_accents and is_korean:
        yield (
            f"{sample.hangul_share:.0%} of the letters are Hangul, which stripping accents takes "
            f"apart into jamo: pass{keep_hangul}, or leave --lowercase out"
        )
    others = {*range(tokenizer.vocab_size)}.difference(tokenizer.special_ids)
    uppercase_tokens = sum(token != token.lower() for token in tokenizer.pieces(others))
    if is_given and not casing.lowercase and sample.upper_share > 0.01 and not uppercase_tokens:
        yield (
            f"{sample.upper_share:.0%} of the letters are capitals, but {report['config']['vocab']}"
            f" has none: pass --lowercase{keep_hangul}"
        )
    if casing.lowercase and uppercase_tokens > 0.05 * tokenizer.vocab_size:
        yield (
            f"{uppercase_tokens:,} tokens have capitals and can never occur in lower-cased text: "
            "leave --lowercase out, or pass an uncased vocabulary"
        )
    text, unk_share = report["text"], report["text"]["unk_share"]
    if unk_share > 0.005 and 2 * text["long_words"] > unk_share * text["tokens"]:
        yield f"{unk_share:.1%} of the tokens are [UNK]: {_long_words_reason(text, tokenizer)}"
    elif unk_share > 0.005:
        is_full = not is_given and tokenizer.vocab_size >= report["config"]["vocab_size"]
        yield (
            f"{unk_share:.1%} of the tokens are [UNK]: "
            + (
                f"pass a --vocab-size above {tokenizer.vocab_size:,}, for more characters"
                if is_full
                else "does the vocabulary fit the language and the casing of this text?"
            )
        )


def _long_words_reason(text: dict[str, Any], tokenizer: Tokenizer) -> str:
    """Describe words that are [UNK] whatever the vocabulary, as in scripts without spaces."""
    limit, longest = tokenizer.max_word_chars, text["longest_word"]
    remedies = [f"pass --max-word-length {min(longest, MAX_WORD_LENGTH)}"]
    if longest > MAX_WORD_LENGTH:
        remedies.append("put spaces between words")
    return (
        f"{text['long_words']:,} words have more than {limit} characters, up to {longest:,}: "
        + " or ".join(remedies[limit >= MAX_WORD_LENGTH :])
    )


def _duplicate_warnings(text: dict[str, Any]) -> Iterator[str]:
    if text["duplicate_line_share"] > 0.1:
        yield (
            f"{text['duplicate_line_share']:.0%} of the lines have occurred before; repeated text "
            "is memorized"
        )
    if text["duplicate_document_share"] > 0.05:
        yield f"{text['duplicate_document_share']:.0%} of the documents are copies"


def _row_warnings(report: dict[str, Any], sample: Sample) -> Iterator[str]:
    """Yield warnings about rows, of the training split of each length."""
    for length, dataset in report["datasets"].items():
        for split, values in dataset["splits"].items():
            if values.get("same_document_randoms"):
                yield (
                    f"T{length} {split}: {values['same_document_randoms']} random next sentences "
                    "come from the same document; this is a defect of prepare.py"
                )
        train = dataset["splits"].get("train")
        if train is None:
            continue
        if train.get("random_next_share", 0) > MAX_RANDOM_SHARE:
            yield f"T{length}: {_random_warning(report, sample, train['random_next_share'])}"
        if train["cut_share"] > MAX_CUT_SHARE:
            yield f"T{length}: {_cut_warning(report, sample, train['cut_share'])}"
        if train["row_fill"] < MIN_ROW_FILL and train["rows"] > 100 and report["config"]["pack"]:
            count = train.get("pairs", train.get("sequences"))
            limit = dataset["max_sequences"]
            if count / train["rows"] > 0.75 * limit:  # else they are too long to share a row
                needed = math.ceil(int(length) * count / train["tokens"]) + 1
                yield (
                    f"T{length}: rows are only {train['row_fill']:.0%} full, with up to {limit} "
                    f"sequences each: pass --max-sequences {max(needed, limit + 1)}"
                )


def _held_out_warnings(report: dict[str, Any]) -> Iterator[str]:
    """Yield a warning about held-out rows that are too few to tell two evaluations apart."""
    splits = [dataset["splits"].get("eval") for dataset in report["datasets"].values()]
    tokens = max((split["tokens"] for split in splits if split is not None), default=MIN_HELD_OUT)
    if tokens < MIN_HELD_OUT and report["config"]["eval_share"] < USUAL_EVAL_SHARE:
        yield (
            f"{tokens:,} tokens are held out, too few to compare evaluations: "
            f"pass --eval-share {USUAL_EVAL_SHARE}"
        )


def _random_warning(report: dict[str, Any], sample: Sample, share: float) -> str:
    """Describe a constant NSP label: documents of one sentence have no actual next sentence."""
    text = report["text"]
    per_document = text["sentences"] / max(text["documents"], 1)
    reason = (
        "every document has one sentence"
        if text["sentences"] <= text["documents"]
        else f"documents have {per_document:.1f} sentences on average"
    )
    if report["sentences"] == "lines" and sample.is_prose:
        joined = "--sentences split, since lines hold several"
    elif report["config"].get("documents") == "lines":
        joined = "leave --documents lines out, if blank lines stand between longer texts"
    else:
        joined = "join sentences to longer documents: leave a blank line between texts only"
    return (
        f"{share:.0%} of the next sentences are random, so there is nothing for NSP to learn: "
        f"{reason}. Pass --no-nsp, or {joined}"
    )


def _cut_warning(report: dict[str, Any], sample: Sample, share: float) -> str:
    """Describe the loss by truncation, and name what has not been done yet."""
    text = report["text"]
    per_sentence = text["tokens"] / max(text["sentences"], 1)
    can_split = report["sentences"] == "lines" and sample.is_prose
    remedies = ["--sentences split"] if can_split else []
    remedies += ["larger --lengths", "--no-nsp, which truncates nothing"]
    return (
        f"{share:.0%} of the tokens are cut off in a pass, where pairs of sentences "
        f"({per_sentence:.0f} tokens on average) are truncated to fit a row: "
        f"pass {', '.join(remedies[:-1])}, or {remedies[-1]}"
    )
