"""Several runs from different seeds, summed up."""

import statistics
from collections.abc import Mapping


def describe_seeds(results: Mapping[int, Mapping[str, float]]) -> str:
    """Mean and standard deviation of every score over the seeds, a line each."""
    lines = [f"{len(results)} seeds, mean ± standard deviation:"]
    for name in next(iter(results.values())):
        values = [scores[name] for scores in results.values()]
        mean, deviation = statistics.mean(values), statistics.stdev(values)
        lines.append(f"  {name:24} {mean:.4f} ± {deviation:.4f}")
    return "\n".join(lines)
