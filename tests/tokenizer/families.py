"""Tokenizers as the directories of other families hold them, trained on a few lines."""

import json
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, processors, trainers
from tokenizers import pre_tokenizers as pre

TEXTS = [
    "The quick brown fox jumps over the lazy dog, don't you think?",
    "한국어 문장을 하나 더 적는다. 나는 학교에 간다. 東京は日本の首都です。",
    "Café naïve coöperate — “quotes”, 100% of 3.14 and 2,024 🎉🎉 👩‍👩‍👧 tabs\tand\nlines",
    "unable reader reading re-read readers able ably the of and to in is was he",
] * 8  # fmt: skip
HARD = [
    "",
    " ",
    "  leading and   inner  spaces ",
    "\ttabs\nand\r\nlines\n\n",
    "한국어 문장을 읽는다",
    "ㅎㅏㄴ 한글 ﾊﾝｶｸ ＦＵＬＬ",
    "e\u0301 é ﬁ ② Å İ ß ǅ",
    "🎉 👩‍👩‍👧 🇰🇷 emoji🎉inside",
    "nul\x00 bell\x07 zero\u200bwidth bom\ufeff rtl\u202eabc soft\xadhyphen \ufffd",
    "a" * 300,
    "readers" * 60,
    "東京は日本の首都です。 中文、日本語 ไทย",
    "don't I'll we've 3.14 $5,000 a_b c-d http://x.y/?q=1&r=%20",
    "\u3000wide\u00a0spaces\u2003here",
    "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 \U0010ffff",
    "``quotes'' ▁ already ##here Ġhere",
    "The readers are unable, 2024!",
]
BERT = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
ROBERTA = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")


def write_distilbert(folder: Path) -> None:
    """Write WordPiece with BERT's rules, lower-cased."""
    fast = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    fast.normalizer = normalizers.BertNormalizer(lowercase=True)
    fast.pre_tokenizer = pre.BertPreTokenizer()
    fast.decoder = decoders.WordPiece()
    fast.train_from_iterator(TEXTS, _trainer(trainers.WordPieceTrainer, BERT))
    fast.post_processor = _template("[CLS]:0 $A:0 [SEP]:0", "$B:1 [SEP]:1", fast)
    _write(folder, fast, "distilbert", "DistilBertTokenizer", BERT)


def write_wordpiece(folder: Path) -> None:
    """Write WordPiece with other rules than BERT's: NFKC, and words at white space."""
    fast = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    fast.normalizer = normalizers.NFKC()
    fast.pre_tokenizer = pre.WhitespaceSplit()
    fast.decoder = decoders.WordPiece()
    fast.train_from_iterator(TEXTS, _trainer(trainers.WordPieceTrainer, BERT))
    fast.post_processor = _template("[CLS] $A [SEP]", "$B:1 [SEP]:1", fast)
    _write(folder, fast, "bert", "PreTrainedTokenizerFast", BERT)


def write_roberta(folder: Path, add_prefix_space: bool = False) -> None:
    """Write byte-level BPE with two separators between texts."""
    fast = Tokenizer(models.BPE())
    fast.pre_tokenizer = pre.ByteLevel(add_prefix_space=add_prefix_space)
    fast.decoder = decoders.ByteLevel()
    alphabet = pre.ByteLevel.alphabet()
    trainer = _trainer(trainers.BpeTrainer, ROBERTA, initial_alphabet=alphabet)
    fast.train_from_iterator(TEXTS, trainer)
    fast.post_processor = processors.RobertaProcessing(
        ("</s>", 2), ("<s>", 0), add_prefix_space=add_prefix_space
    )
    fast.add_special_tokens([*ROBERTA[:-1], AddedToken("<mask>", lstrip=True)])
    config = {"add_prefix_space": add_prefix_space}
    _write(folder, fast, "roberta", "RobertaTokenizer", ROBERTA, config)


def write_modernbert(folder: Path) -> None:
    """Write byte-level BPE with BERT's special tokens, and added runs of spaces."""
    fast = Tokenizer(models.BPE())
    fast.normalizer = normalizers.NFC()
    fast.pre_tokenizer = pre.ByteLevel(add_prefix_space=False)
    fast.decoder = decoders.ByteLevel()
    trainer = _trainer(trainers.BpeTrainer, (), initial_alphabet=pre.ByteLevel.alphabet())
    fast.train_from_iterator(TEXTS, trainer)
    fast.add_tokens([AddedToken(" " * n, normalized=True) for n in (4, 3, 2)])
    fast.add_special_tokens([*BERT[:-1], AddedToken("[MASK]", lstrip=True)])
    fast.add_tokens([AddedToken("[unused0]", normalized=True)])
    fast.post_processor = _template("[CLS] $A [SEP]", "$B [SEP]", fast)
    _write(folder, fast, "modernbert", "PreTrainedTokenizerFast", BERT)


def write_xlm_roberta(folder: Path) -> None:
    """Write Unigram with Metaspace and two separators between texts."""
    fast = Tokenizer(models.Unigram())
    fast.pre_tokenizer = pre.Sequence([pre.WhitespaceSplit(), pre.Metaspace()])
    fast.decoder = decoders.Metaspace()
    trainer = _trainer(trainers.UnigramTrainer, ROBERTA[:-1], unk_token="<unk>")
    fast.train_from_iterator(TEXTS, trainer)
    fast.add_special_tokens([*ROBERTA[:-1], AddedToken("<mask>", lstrip=True)])
    fast.post_processor = _template("<s> $A </s>", "</s> $B </s>", fast)
    _write(folder, fast, "xlm-roberta", "XLMRobertaTokenizer", ROBERTA)


def write_albert(folder: Path) -> None:
    """Write Unigram with ALBERT's normalizer and BERT's template."""
    tokens = ("<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]")
    fast = Tokenizer(models.Unigram())
    fast.normalizer = normalizers.Sequence(
        [
            normalizers.Replace("``", '"'),
            normalizers.Replace("''", '"'),
            normalizers.NFKD(),
            normalizers.StripAccents(),
            normalizers.Lowercase(),
        ]
    )
    fast.pre_tokenizer = pre.Sequence([pre.WhitespaceSplit(), pre.Metaspace()])
    fast.decoder = decoders.Metaspace()
    trainer = _trainer(trainers.UnigramTrainer, tokens, unk_token="<unk>")
    fast.train_from_iterator(TEXTS, trainer)
    fast.add_special_tokens([*tokens[:-1], AddedToken("[MASK]", lstrip=True)])
    fast.post_processor = _template("[CLS]:0 $A:0 [SEP]:0", "$B:1 [SEP]:1", fast)
    config = {"do_lower_case": True, "keep_accents": False}
    _write(folder, fast, "albert", "AlbertTokenizer", tokens, config)


def write_bpe(folder: Path) -> None:
    """Write BPE with Metaspace by a normalizer and bytes for unknown characters, as Llama's."""
    fast = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    fast.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    fast.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    letters = "".join(sorted({*"".join(TEXTS)} - {"東"}))
    byte_tokens = [f"<0x{byte:02X}>" for byte in range(256)]
    vocab = {t: i for i, t in enumerate([*ROBERTA, *byte_tokens, "▁", *letters, "▁t", "▁th"])}
    merges = [("▁", "t"), ("▁t", "h")]
    fast.model = models.BPE(vocab, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    fast.add_special_tokens([*ROBERTA])
    fast.post_processor = _template("<s> $A </s>", "$B </s>", fast)
    _write(folder, fast, "bert", "PreTrainedTokenizerFast", ROBERTA)


FAMILIES = {
    "distilbert": write_distilbert,
    "wordpiece": write_wordpiece,
    "roberta": write_roberta,
    "roberta, prefix space": lambda folder: write_roberta(folder, True),
    "modernbert": write_modernbert,
    "xlm-roberta": write_xlm_roberta,
    "albert": write_albert,
    "bpe": write_bpe,
}


def _trainer(kind, special, **options):
    return kind(vocab_size=700, special_tokens=list(special), show_progress=False, **options)


def _template(single: str, rest: str, fast: Tokenizer):
    names = {name.split(":")[0] for name in f"{single} {rest}".split() if name[0] != "$"}
    special = [(name, fast.token_to_id(name)) for name in sorted(names)]
    return processors.TemplateProcessing(
        single=single, pair=f"{single} {rest}", special_tokens=special
    )


def _write(folder, fast, model_type, tokenizer_class, tokens, more=None):
    folder.mkdir(parents=True, exist_ok=True)
    fast.save(str(folder / "tokenizer.json"))
    by_name = {token.strip("[]<>").lower(): token for token in tokens}
    by_name = {"cls": "<s>", "sep": "</s>"} | by_name
    config = {f"{role}_token": by_name[role] for role in ("cls", "sep", "pad", "mask", "unk")}
    if "<s>" in tokens:
        config |= {"bos_token": "<s>", "eos_token": "</s>"}
    config |= {"tokenizer_class": tokenizer_class, "model_max_length": 512, **(more or {})}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    (folder / "config.json").write_text(json.dumps({"model_type": model_type}))
