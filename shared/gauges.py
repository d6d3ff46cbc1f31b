"""Metrics whose owners are asked at the moment of the scrape, and how single ones are made."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

_Words = TypeVar("_Words", bound=tuple[str, ...])


class Gauges(Collector):
    """To be registered: calls `collect` at every scrape."""

    def __init__(self, collect: Callable[[], Iterable[Metric]]) -> None:
        self._collect = collect

    def collect(self) -> Iterable[Metric]:
        return self._collect()

    def describe(self) -> Iterable[Metric]:
        """Nothing: registering must not read gauges whose owners are still being made."""
        return []


def gauge(name: str, text: str, value: float | None) -> Metric:
    """One gauge without labels. None: nobody knows yet; that there is such a metric is told all the same."""
    return GaugeMetricFamily(name, text, value=value)


def counter(name: str, text: str, value: float) -> Metric:
    """One counter that its owner keeps."""
    return CounterMetricFamily(name, text, value=value)


def labelled(name: str, text: str, labels: Sequence[str], values: Mapping[_Words, float]) -> Metric:
    """One gauge for each row of values of the labels."""
    family = GaugeMetricFamily(name, text, labels=labels)
    for words, value in values.items():
        family.add_metric(words, value)
    return family
