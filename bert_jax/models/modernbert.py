"""ModernBERT (Warner et al. 2024): the encoder, and its heads."""

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from bert_jax.config import ModernBertConfig
from bert_jax.models.pooling import SentencePooling, pool_sequences
from bert_jax.nn.dropout import dropout, split_key
from bert_jax.nn.execution import DEFAULT_EXECUTION, Execution
from bert_jax.nn.initializers import truncated_normal
from bert_jax.nn.layout import RowLayout, SequenceIds
from bert_jax.nn.linear import LayerNorm, Linear, activate
from bert_jax.nn.matmul import unembed
from bert_jax.nn.prenorm import PreNormLayer, apply_alternating
from bert_jax.nn.rotary import rotary_angles
from bert_jax.nn.trace import Trace
from bert_jax.nn.transformer import stack_layers, unstack_layers

# --- The encoder ---------------------------------------------------------------------------------


class TokenEmbeddings(nnx.Module):
    """dropout(LN(word)): tokens have neither a position nor a segment here."""

    def __init__(self, config: ModernBertConfig, rngs: nnx.Rngs):
        if config.vocab_size is None:
            raise ValueError("vocab_size = None, expected the tokenizer's size: set it first")
        shape = (config.vocab_size, config.hidden_size)
        self.word = nnx.Param(truncated_normal(config.initializer_range)(rngs.params(), shape))
        self.norm = LayerNorm(config.hidden_size, config.norm_eps, config.norm_bias)
        self.dropout_rate = config.embedding_dropout

    def __call__(
        self, tokens: Int[Array, "B T"], *, key: PRNGKeyArray | None, execution: Execution
    ) -> Float[Array, "B T D"]:
        """Embed tokens."""
        x = self.norm(self.word[...][tokens]).astype(execution.dtype)
        return dropout(x, key, self.dropout_rate)


class ModernBert(nnx.Module):
    """The encoder over packed rows."""

    def __init__(self, config: ModernBertConfig, rngs: nnx.Rngs):
        self.embeddings = TokenEmbeddings(config, rngs)
        self.first_layer = PreNormLayer(config, rngs, is_first=True)
        others = config.num_hidden_layers - 1
        self.layers = (
            stack_layers(lambda rngs: PreNormLayer(config, rngs), others, rngs) if others else None
        )
        self.final_norm = LayerNorm(config.hidden_size, config.norm_eps, config.norm_bias)
        self.config = config

    def __call__(
        self,
        tokens: Int[Array, "B T"],
        layout: RowLayout,
        *,
        mask: Bool[Array, "B 1 #T T"] | None = None,
        positions: Int[Array, "B P"] | None = None,
        key: PRNGKeyArray | None = None,
        execution: Execution = DEFAULT_EXECUTION,
    ) -> Float[Array, "B P D"]:
        """Encode tokens; they attend only to tokens of their own sequence.

        Args:
            tokens: token ids.
            layout: `row_layout(lengths, T)`.
            mask: True where a token, of the third axis, attends to one of the fourth, if it is
                within the layer's window; None follows the layout.
            positions: positions to return vectors for, the only ones at which the last layer is
                computed in full; None returns all T.
            key: PRNG key of dropout; None disables it.
            execution: dtypes and kernels.
        """
        embed_key, layers_key = split_key(key, 2)
        x = self.embeddings(tokens, key=embed_key, execution=execution)
        attended = SequenceIds(layout.sequence_ids, layout.sequence_ids) if mask is None else mask
        kinds = self._angles_and_windows(layout)

        def apply(
            layer: PreNormLayer, x: Array, is_local: bool, at: Array | None, key: Array | None
        ) -> Array:
            return layer(x, attended, *kinds[is_local], positions=at, key=key, execution=execution)

        x = apply_alternating(
            self.first_layer,
            self.layers,
            x,
            apply,
            period=self.config.global_attn_every_n_layers,
            positions=positions,
            key=layers_key,
            execution=execution,
        )
        return self.final_norm(x)

    def trace(self, tokens: Int[Array, "B T"], layout: RowLayout) -> Trace:
        """Return what each layer computes; the last state is normalized."""
        x = self.embeddings(tokens, key=None, execution=DEFAULT_EXECUTION)
        ids = SequenceIds(layout.sequence_ids, layout.sequence_ids)
        kinds = self._angles_and_windows(layout)
        layers = [self.first_layer, *([] if self.layers is None else unstack_layers(self.layers))]
        states, weights = [x], []
        for i, layer in enumerate(layers):
            kind = kinds[self.config.is_local(i)]
            weights.append(layer.attention_weights(x, ids, *kind))
            x = layer(x, ids, *kind, key=None, execution=DEFAULT_EXECUTION)
            states.append(x)
        states[-1] = self.final_norm(x)
        return Trace(jnp.stack(states), jnp.stack(weights))

    def _angles_and_windows(
        self, layout: RowLayout
    ) -> dict[bool, tuple[Float[Array, "B T half"], int | None]]:
        """Return the rotary angles and the window of layers without a window, and with one."""
        config = self.config
        width = config.hidden_size // config.num_attention_heads
        return {
            False: (rotary_angles(layout.positions, width, config.global_rope_theta), None),
            True: (rotary_angles(layout.positions, width, config.local_rope_theta), config.window),
        }


# --- Heads ---------------------------------------------------------------------------------------


class PredictionHead(nnx.Module):
    """LN(act(x W)), the layer with which every head begins."""

    def __init__(self, config: ModernBertConfig, rngs: nnx.Rngs):
        width, init = config.hidden_size, truncated_normal(config.initializer_range)
        self.dense = Linear((width,), (width,), init, rngs, config.classifier_bias)
        self.norm = LayerNorm(width, config.norm_eps, config.norm_bias)
        self.activation = config.classifier_activation

    def __call__(self, x: Float[Array, "*batch D"]) -> Float[Array, "*batch D"]:
        """Apply the layer to every vector."""
        return self.norm(activate(self.activation, self.dense(x)))


class MaskedLanguageHead(PredictionHead):
    """LN(act(x W)) Eᵀ + c, where E is the word embedding, an argument because it is tied."""

    def __init__(self, config: ModernBertConfig, rngs: nnx.Rngs):
        super().__init__(config, rngs)
        self.bias = nnx.Param(jnp.zeros(config.vocab_size)) if config.decoder_bias else None

    def __call__(
        self, x: Float[Array, "B P D"], embedding: Float[Array, "V D"]
    ) -> Float[Array, "B P V"]:
        """Return logits over the vocabulary, in float32."""
        x = super().__call__(x)
        logits = unembed(x, embedding.astype(x.dtype))
        if self.bias is None:
            return logits
        return logits + self.bias[...].astype(jnp.float32)[None, None]


class ModernBertForMaskedLM(nnx.Module):
    """ModernBERT with its masked-language-modelling head on every token."""

    def __init__(self, config: ModernBertConfig, rngs: nnx.Rngs):
        self.bert = ModernBert(config, rngs)
        self.mlm = MaskedLanguageHead(config, rngs)

    def __call__(
        self,
        tokens: Int[Array, "B T"],
        layout: RowLayout,
        *,
        mask: Bool[Array, "B 1 #T T"] | None = None,
        positions: Int[Array, "B P"] | None = None,
        key: PRNGKeyArray | None = None,
        execution: Execution = DEFAULT_EXECUTION,
    ) -> Float[Array, "B P V"]:
        """Return logits over the vocabulary in float32, at these positions or at all T."""
        hidden = self.bert(
            tokens, layout, mask=mask, positions=positions, key=key, execution=execution
        )
        return self.mlm(hidden, self.bert.embeddings.word[...])


class Classifier(nnx.Module):
    """Encoder, prediction head, dropout and linear layer: what all fine-tuned models have.

    Args:
        config: the encoder's configuration.
        num_labels: number of labels C.
        rngs: RNG streams of the initial values.
    """

    def __init__(self, config: ModernBertConfig, num_labels: int, rngs: nnx.Rngs):
        self.bert = ModernBert(config, rngs)
        self.head = PredictionHead(config, rngs)
        width = config.hidden_size
        self.classifier = Linear((width,), (num_labels,), truncated_normal(width**-0.5), rngs)
        self.dropout_rate = config.classifier_dropout

    def classify(self, x: Float[Array, "B N D"], key: PRNGKeyArray | None) -> Float[Array, "B N C"]:
        """Return the logits of vectors, in float32."""
        x = dropout(self.head(x), key, self.dropout_rate)
        return self.classifier(x).astype(jnp.float32)


class ModernBertForSequenceClassification(Classifier):
    """One vector of logits per sequence, from its [CLS] or the mean over its tokens."""

    def __call__(
        self,
        tokens: Int[Array, "B T"],
        layout: RowLayout,
        *,
        mask: Bool[Array, "B 1 #T T"] | None = None,
        key: PRNGKeyArray | None = None,
        execution: Execution = DEFAULT_EXECUTION,
    ) -> Float[Array, "B J C"]:
        """Return the logits of each sequence of each row, in float32."""
        bert_key, head_key = split_key(key, 2)
        pools = self.bert.config.classifier_pooling == "mean"
        positions = None if pools else layout.starts
        x = self.bert(
            tokens, layout, mask=mask, positions=positions, key=bert_key, execution=execution
        )
        if pools:
            x = pool_sequences(x, layout, SentencePooling("mean"))
        return self.classify(x, head_key)


class ModernBertForTokenClassification(Classifier):
    """One vector of logits per token."""

    def __call__(
        self,
        tokens: Int[Array, "B T"],
        layout: RowLayout,
        *,
        mask: Bool[Array, "B 1 #T T"] | None = None,
        key: PRNGKeyArray | None = None,
        execution: Execution = DEFAULT_EXECUTION,
    ) -> Float[Array, "B T C"]:
        """Return the logits of each token, in float32."""
        bert_key, head_key = split_key(key, 2)
        hidden = self.bert(tokens, layout, mask=mask, key=bert_key, execution=execution)
        return self.classify(hidden, head_key)


class ModernBertForQuestionAnswering(ModernBertForTokenClassification):
    """Logits of the answer's start and end, for each token."""

    def __init__(self, config: ModernBertConfig, rngs: nnx.Rngs):
        super().__init__(config, 2, rngs)


MODERNBERT_MODELS = {
    "ModernBertModel": ModernBert,
    "ModernBertForMaskedLM": ModernBertForMaskedLM,
    "ModernBertForSequenceClassification": ModernBertForSequenceClassification,
    "ModernBertForTokenClassification": ModernBertForTokenClassification,
    "ModernBertForQuestionAnswering": ModernBertForQuestionAnswering,
}
"""ModernBERT's models by their Hugging Face names."""
