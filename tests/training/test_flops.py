import pytest

from bert_jax.config import BertConfig
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
