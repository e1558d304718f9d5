"""The attention model of "Deep Learning from Scratch 2", chapter 8: in NumPy, and in ours.

Weights are the ten arrays of `shared/golden/date_attention.npz`. The book's gates have the order f,
g, i, o; the source is reversed; the decoder starts from the encoder's last h and a zero cell; the
output layer sees [context; h] without Luong's tanh layer.
"""

import jax
import jax.numpy as jnp
import numpy as np

from bert_jax.lineage.config import Seq2SeqConfig
from bert_jax.lineage.seq2seq import Seq2Seq
from bert_jax.models.functional import build


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def lstm(weights, side, x, h, c):
    f, g, i, o = np.split(
        x @ weights[f"{side}_Wx"] + h @ weights[f"{side}_Wh"] + weights[f"{side}_b"], 4, axis=1
    )
    c = sigmoid(f) * c + np.tanh(g) * sigmoid(i)
    return sigmoid(o) * np.tanh(c), c


def forward(weights, source, target):
    """Return logits [B, T, V] and alignment weights [B, T, S] over the source in its own order."""
    weights = {name: w.astype(np.float32) for name, w in weights.items()}
    width = weights["encoder_Wh"].shape[0]
    h = c = np.zeros((len(source), width), np.float32)
    states = []
    for token in source[:, ::-1].T:
        h, c = lstm(weights, "encoder", weights["encoder_embed"][token], h, c)
        states.append(h)
    memory = np.stack(states, axis=1)
    c, scores, alignments = np.zeros_like(h), [], []
    for token in target.T:
        h, c = lstm(weights, "decoder", weights["decoder_embed"][token], h, c)
        score = np.einsum("bsh,bh->bs", memory, h)
        alignment = np.exp(score - score.max(axis=1, keepdims=True))
        alignment /= alignment.sum(axis=1, keepdims=True)
        context = np.einsum("bs,bsh->bh", alignment, memory)
        s_tilde = np.concatenate([context, h], axis=1)
        scores.append(s_tilde @ weights["output_W"] + weights["output_b"])
        alignments.append(alignment[:, ::-1])
    return np.stack(scores, axis=1), np.stack(alignments, axis=1)


def our_model(weights):
    """Return our Seq2Seq with these weights."""
    vocab, width = weights["output_W"].shape[1], weights["encoder_Wh"].shape[0]
    config = Seq2SeqConfig(
        embedding_size=weights["encoder_embed"].shape[1], hidden_size=width, vocab_size=vocab,
        reverse_source=True, pass_cells=False, attentional_layer=False,
    )  # fmt: skip

    def gates(x):  # f, g, i, o to i, f, g, o
        f, g, i, o = np.split(np.asarray(x, np.float32), 4, axis=-1)
        return jnp.asarray(np.concatenate([i, f, g, o], axis=-1))

    init, merge = build(config, Seq2Seq)
    params = jax.eval_shape(init, jax.random.key(0))
    for side in ("encoder", "decoder"):
        params[side]["embedding"] = jnp.asarray(weights[f"{side}_embed"], jnp.float32)
        params[side]["cells"][0] = {
            "x_kernel": gates(weights[f"{side}_Wx"]),
            "h_kernel": gates(weights[f"{side}_Wh"]),
            "bias": gates(weights[f"{side}_b"]),
        }
    params["decoder"]["output"] = {
        "kernel": jnp.asarray(weights["output_W"], jnp.float32),
        "bias": jnp.asarray(weights["output_b"], jnp.float32),
    }
    return merge(params)


def load_into(weights):
    """Return a function like `forward` that runs our model step by step."""
    m = our_model(weights)

    def decode(source, target):
        source = jnp.asarray(source)
        memory = m.encode(source, jnp.ones(source.shape, bool))
        state, scores, alignments = m.init_state(memory, 0), [], []
        for t in range(target.shape[1]):
            tokens = jnp.asarray(target[:, t])
            state, score, alignment = m.step(memory, state, tokens, jnp.array(t))
            scores.append(score)
            alignments.append(alignment)
        return jnp.stack(scores, axis=1), jnp.stack(alignments, axis=1)

    return decode
