import pytest

from bert_jax.config import BertConfig, ModernBertConfig
from bert_jax.training.flops import flops_per_token, peak_flops

BASE = BertConfig(vocab_size=30522)


def test_base_by_hand():
    # a layer: 2·(4·768² + 2·768·3072) + 4·768·128; the head: 2·768² + 2·768·30522
    layer, head, keys_and_values = 14_155_776 + 393_216, 1_179_648 + 46_881_792, 4 * 768**2
    read, other = 20 / 128, 108 / 128
    by_hand = 3 * (11 * layer + read * (layer + head) + other * keys_and_values)
    flops = flops_per_token(BASE, attended=128, predicted=read)
    assert flops == pytest.approx(by_hand, rel=1e-12)
    assert flops == pytest.approx(515.4e6, rel=1e-3)
    assert flops_per_token(BASE, 512, 76 / 512) == pytest.approx(553.5e6, rel=1e-3)


def test_modernbert_base_by_hand():
    config = ModernBertConfig(vocab_size=50368)
    # a layer: 2·(4·768² + 3·768·1152) and attention to 1024 tokens, or to 129 in a window
    linear, full, window = 10_027_008, 4 * 768 * 1024, 4 * 768 * 129
    head, keys_and_values = 2 * 768**2 + 2 * 768 * 50368, 4 * 768**2
    # Layers 0, 3, …, 21 have no window: 7 of them and 14 others are computed at all tokens.
    by_hand = 21 * linear + 7 * full + 14 * window
    by_hand += 0.3 * (linear + full + head) + 0.7 * keys_and_values
    assert flops_per_token(config, 1024, 0.3) == pytest.approx(3 * by_hand, rel=1e-12)
    short = flops_per_token(config, 100, 0.3)  # shorter than the window: all layers are alike
    assert short == pytest.approx(
        3 * (21.3 * (linear + 4 * 768 * 100) + 0.3 * head + 0.7 * keys_and_values), rel=1e-12
    )


@pytest.mark.parametrize(
    ("kind", "peak"),
    [
        ("NVIDIA H100 80GB HBM3", 989e12),
        ("NVIDIA H200", 989e12),
        ("NVIDIA A100-SXM4-40GB", 312e12),
        ("TPU v4", 275e12),
        ("TPU v5 lite", 197e12),
        ("TPU v5p", 459e12),
        ("cpu", None),
    ],
)
def test_peaks(kind, peak):
    assert peak_flops(kind) == peak
