"""Pictures of attention: panels of heads over words, as JSON for the explorer, or as SVG.

BERT has a panel for each layer, a translator for each attention, the Neural Turing Machine one for
the heads that read and one for those that write. Rows look at columns.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from bert_jax.drawing.heatmap import heat_map

SCALE = 10_000  # weights in JSON are whole multiples of 1 / SCALE: half the bytes, and quicker


class Panel(NamedTuple):
    """Heads of one kind over the same words."""

    name: str
    rows: Sequence[str]
    """Words that look, T of them."""
    columns: Sequence[str]
    """Words that are looked at, S of them."""
    weights: Float[np.ndarray, "H T S"]
    """How much each row looks at each column, from 0 to 1."""
    heads: Sequence[str] = ()
    """Names of the heads; empty: "head 1", "head 2", …."""
    row_groups: Sequence[int] | None = None
    """Number of each row's group, such as its segment; None: all are of one."""
    column_groups: Sequence[int] | None = None
    """Number of each column's group."""

    def head_names(self) -> list[str]:
        """Return a name for each head."""
        return list(self.heads) or [f"head {n}" for n in range(1, len(self.weights) + 1)]


class Picture(NamedTuple):
    """Panels with a title."""

    title: str
    panels: Sequence[Panel]
    notice: str | None = None
    """What a reader has to know, for example that a text was cut."""

    def as_json(self) -> dict[str, Any]:
        """Return the picture as `static/attention.js` of the explorer reads it."""
        panels = []
        for panel in self.panels:
            weights = np.rint(np.asarray(panel.weights) * SCALE).astype(np.int32).tolist()
            names = panel.head_names()
            panels.append(
                {
                    "name": panel.name,
                    "rows": list(panel.rows),
                    "columns": list(panel.columns),
                    "row_groups": panel.row_groups and list(panel.row_groups),
                    "column_groups": panel.column_groups and list(panel.column_groups),
                    "heads": [
                        {"name": name, "weights": head}
                        for name, head in zip(names, weights, strict=True)
                    ],
                }
            )
        return {"title": self.title, "notice": self.notice, "scale": SCALE, "panels": panels}


def draw(picture: Picture, panel: int = 0, head: int | None = None) -> str:
    """Draw one head, or the mean of all heads of a panel, as a heat map.

    Args:
        picture: the picture.
        panel: index of the panel; negative ones count from the end.
        head: index of the head; None: the mean.

    Returns:
        The text of an SVG file; in a notebook, show it with `IPython.display.SVG`.

    Example:
        >>> picture = attention(bert, "The bank of the river.").picture()
        >>> Path("attention.svg").write_text(draw(picture, panel=-1))
    """
    chosen = picture.panels[panel]
    which = "mean of all heads" if head is None else chosen.head_names()[head]
    weights = chosen.weights.mean(axis=0) if head is None else chosen.weights[head]
    title = f"{chosen.name}, {which}" if len(chosen.weights) > 1 else chosen.name
    return heat_map(weights, chosen.rows, chosen.columns, title)
