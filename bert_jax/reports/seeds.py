"""Mean and standard deviation of scores over runs with different seeds."""

import statistics
from collections.abc import Mapping


def describe_seeds(results: Mapping[int, Mapping[str, float]]) -> str:
    """Return a line for each score with its mean and sample standard deviation over seeds.

    Args:
        results: scores by name, by seed; at least two seeds.
    """
    lines = [f"{len(results)} seeds, mean ± standard deviation:"]
    for name in next(iter(results.values())):
        values = [scores[name] for scores in results.values()]
        mean, deviation = statistics.mean(values), statistics.stdev(values)
        lines.append(f"  {name:24} {mean:.4f} ± {deviation:.4f}")
    return "\n".join(lines)
