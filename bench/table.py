"""Turns results into the table of a run: medians, ratios, and whether a target is reached.

Not here: measuring.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

from bench.driver import Measurement
from bench.make_data import Manifest


@dataclass(frozen=True)
class Result:
    """One phase of one kind of server in one round; ``error`` when it gave no measurement."""

    set: str
    phase: str
    kind: str
    round: int
    measurement: Measurement | None
    error: str = ""

    def as_json(self) -> dict[str, Any]:
        return {
            "set": self.set,
            "phase": self.phase,
            "kind": self.kind,
            "round": self.round,
            "error": self.error,
            "measurement": self.measurement and self.measurement.as_json(),
        }


@dataclass(frozen=True)
class Goal:
    """What Wherry promises: a multiple of Orthanc's rate, or MB/s."""

    ratio: float = 0.0
    megabytes_per_s: float = 0.0


GOALS: Final = {
    ("small", "ingest-8"): Goal(ratio=2.0),
    ("onco", "ingest-8"): Goal(ratio=1.5),
    ("onco", "push-none"): Goal(ratio=2.5),
    ("onco", "push-gzip"): Goal(megabytes_per_s=150.0),
    ("small", "push-none"): Goal(ratio=6.0),
}
PEAK_GOAL_BYTES: Final = {"mammo": 200_000_000}
"""Peak of resident memory that no Wherry server may pass with this set."""

TRANSFERS: Final = tuple(
    f"{way}-{how}" for way in ("push", "pull") for how in ("none", "gzip", "auto")
)
_BASE: Final = dict.fromkeys(TRANSFERS, "store")


def render(
    results: Sequence[Result],
    sets: Sequence[Manifest],
    machine: str,
    versions: Mapping[str, str],
) -> str:
    """The whole report, in Markdown."""
    servers = ", ".join(f"{kind} {version}" for kind, version in sorted(versions.items()))
    lines = ["", f"Machine: {machine}", f"Servers: {servers}"]
    for one in sets:
        lines += ["", f"{one.name.upper()}: {one.count} instances, {one.bytes / 1e6:.1f} MB", ""]
        lines += _rows([result for result in results if result.set == one.name])
    for kind in sorted({result.kind for result in results}):
        retries = sum(
            result.measurement.details.get("retries", 0)
            for result in results
            if result.kind == kind and result.measurement
        )
        if retries:
            lines += [
                "",
                f"Requests that {kind} answered with 5xx and that were repeated: {retries}.",
            ]
    lines += [
        "",
        "Medians of the rounds. Peak and CPU: source / receiver. Others: cores that everything",
        "else on the machine kept busy meanwhile. Ratio: Wherry's rate over Orthanc's (ingest: the",
        "same ingest; push and pull: `/peers/store`) in the same round.",
    ]
    return "\n".join(lines)


def _rows(results: Sequence[Result]) -> list[str]:
    lines = [
        "| phase | server | wall s | inst/s | MB/s | CPU s | peak MB | others | ratio | goal |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|---|",
    ]
    for phase in dict.fromkeys(result.phase for result in results):
        for kind in sorted({result.kind for result in results if result.phase == phase}):
            mine = [one for one in results if (one.phase, one.kind) == (phase, kind)]
            found = [one.measurement for one in mine if one.measurement]
            if not found:
                reason = mine[0].error.strip().splitlines()[-1][:80]
                lines.append(f"| {phase} | {kind} | failed | | | | | | | {reason} |")
                continue
            digits = 0 if found[0].instances >= 100 else 1
            ratio = _ratio(results, phase) if kind == "wherry" else None
            cells = [
                phase,
                kind,
                f"{median(one.wall_s for one in found):.2f}",
                f"{median(one.instances_per_s for one in found):.{digits}f}",
                f"{median(one.megabytes_per_s for one in found):.0f}",
                _by_role(found, lambda cost: cost.cpu_s, median, "{:.2f}"),
                _by_role(found, lambda cost: cost.peak_rss_bytes / 1e6, max, "{:.0f}"),
                f"{median(one.others_cores for one in found):.2f}",
                f"{ratio:.2f}" if ratio else "",
                _goal(mine[0].set, phase, found, ratio) if kind == "wherry" else "",
            ]
            lines.append(f"| {' | '.join(cells)} |")
    return lines


def _ratio(results: Sequence[Result], phase: str) -> float | None:
    """Median over the rounds of Wherry's rate by Orthanc's rate of the same round."""
    base = {
        one.round: one.measurement.wall_s
        for one in results
        if one.kind == "orthanc" and one.phase == _BASE.get(phase, phase) and one.measurement
    }
    ratios = [
        base[one.round] / one.measurement.wall_s
        for one in results
        if one.kind == "wherry" and one.phase == phase and one.measurement and one.round in base
    ]
    return median(ratios) if ratios else None


def _by_role(
    found: Sequence[Measurement],
    value: Callable[[Any], float],
    middle: Callable[[list[float]], float],
    form: str,
) -> str:
    roles = [role for role in ("source", "receiver") if role in found[0].costs]
    return " / ".join(
        form.format(middle([value(one.costs[role]) for one in found])) for role in roles
    )


def _goal(name: str, phase: str, found: Sequence[Measurement], ratio: float | None) -> str:
    words = []
    goal = GOALS.get((name, phase))
    if goal and goal.ratio:
        words.append(_verdict(f"≥ {goal.ratio:g} ×", ratio is not None and ratio >= goal.ratio))
    if goal and goal.megabytes_per_s:
        rate = median(one.megabytes_per_s for one in found)
        words.append(_verdict(f"≥ {goal.megabytes_per_s:g} MB/s", rate >= goal.megabytes_per_s))
    if name in PEAK_GOAL_BYTES:
        peak = max(cost.peak_rss_bytes for one in found for cost in one.costs.values())
        limit = PEAK_GOAL_BYTES[name]
        words.append(_verdict(f"peak ≤ {limit / 1e6:.0f} MB", peak <= limit))
    return ", ".join(words)


def _verdict(words: str, reached: bool) -> str:
    return f"{words} {'yes' if reached else '**no**'}"
