"""All rounds of one question, and what they come to."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

from bench_api.asking import Asked


@dataclass(frozen=True, slots=True)
class Result:
    rounds: tuple[Asked, ...]

    @property
    def per_second(self) -> float:
        return median(one.per_second for one in self.rounds)

    def cells(self) -> list[str]:
        rates = [one.per_second for one in self.rounds]
        return [
            f"{median(rates):,.0f}",
            f"{min(rates):,.0f}",
            f"{max(rates):,.0f}",
            f"{median(one.p50_ms for one in self.rounds):.2f}",
            f"{median(one.p99_ms for one in self.rounds):.2f}",
            f"{median(one.cpu_us for one in self.rounds):,.0f}",
            f"{self.rounds[0].bytes:,}",
        ]

    def ratio_to(self, other: Result) -> float:
        pairs = zip(self.rounds, other.rounds, strict=True)
        return median(one.per_second / another.per_second for one, another in pairs)
