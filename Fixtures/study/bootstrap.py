"""Paired bootstrap over test inputs: the same resamples for everything that is measured on the same inputs."""
import zlib

import numpy as np

RESAMPLES = 2000


class Gain:
    """A difference with its resamples; sums and means of gains have those of their parts."""

    def __init__(self, value, resamples):
        self.value, self.resamples = value, resamples

    @property
    def interval(self):
        low, high = np.nanpercentile(self.resamples, [2.5, 97.5])
        return float(low), float(high)

    @property
    def is_certain(self):
        """Whether the interval of 95 % lies on one side of zero."""
        low, high = self.interval
        return low > 0 or high < 0

    def __str__(self):
        low, high = self.interval
        text = f"{signed(self.value)} [{signed(low)}, {signed(high)}]"
        return f"**{text}**" if self.is_certain else text

    def over(self, other):
        """The share of another gain."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return Gain(self.value / other.value, self.resamples / other.resamples)


def signed(value):
    return f"{value:+.1f}".replace("-", "−")


def draws(task, count):
    """How often each of the inputs of a task is drawn, [RESAMPLES, count]."""
    generator = np.random.default_rng([0, zlib.crc32(task.encode())])
    return generator.multinomial(count, np.full(count, 1 / count), size=RESAMPLES) / count


def difference(before, after, name="hits"):
    """Points of accuracy that one measured merge has more than another (`hits`), or interference (`distances`, summed)."""
    a, b = getattr(before, name), getattr(after, name)
    parts = [(b[task] - a[task], draws(task, len(b[task]))) for task in b]
    scale = 100 / len(parts) if name == "hits" else 1
    return Gain(
        scale * float(sum(np.mean(values) for values, _ in parts)), scale * sum(drawn @ values for values, drawn in parts))


def mean(gains):
    return Gain(float(np.mean([gain.value for gain in gains])), np.mean([gain.resamples for gain in gains], 0))
