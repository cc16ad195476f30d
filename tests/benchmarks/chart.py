"""Draw the chart of the README: the throughput as bars, with matplotlib, as an SVG."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

from .figure import Options, Samples
from .lines import flaws
from .peers import LIMIT, OURS, PEERS

_RATE = "records_per_second"
_GREY, _PALE, _BLUE = "#555555", "#b8c0c8", "#1f6fb4"


def draw(samples: Samples, machine: dict[str, Any], options: Options, path: Path) -> None:
    """Write the chart to ``path``: bars for the medians, whiskers from the least to the most."""
    import matplotlib as mpl

    mpl.use("svg")
    # Keep text as text: the file stays small and searchable, and equal figures give equal files.
    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "stdbridge", "font.size": 10})
    mpl.rcParams["font.family"] = "sans-serif"
    from matplotlib import pyplot

    cases = [case for case in PEERS if samples.get(case)]
    figure, axes = pyplot.subplots(figsize=(8.6, 0.42 * len(cases) + 1.5), layout="constrained")
    for place, case in enumerate(reversed(cases)):
        rates = samples.column(case, _RATE)
        middle = statistics.median(rates)
        color = _BLUE if case in OURS else _GREY if case == LIMIT else _PALE
        axes.barh(place, middle, color=color, height=0.68)
        axes.plot([min(rates), max(rates)], [place, place], color="#222222", linewidth=1)
        broken = sum(map(flaws, samples[case])) / len(rates)
        note = f"  {middle:,.0f}" + (f"  ({broken:,.0f} lines lost or doubled)" if broken else "")
        axes.text(max(rates), place, note, va="center", color="#222222")
    axes.set_yticks(range(len(cases)), [PEERS[case].label for case in reversed(cases)])
    axes.set_xlim(0, 1.16 * max(max(samples.column(case, _RATE)) for case in cases))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.tick_params(length=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    figure.suptitle(
        f"Records a second into one rotated file: {options.workers} processes "
        f"x {options.records:,} records",
        x=0.01, ha="left", fontsize=12, fontweight="bold",
    )  # fmt: skip
    figure.supxlabel(
        f"median, least and most of {options.runs} interleaved runs; {machine['cores']} cores "
        f"({machine['processor']}), {machine['python']}, loguru {machine['loguru']}",
        x=0.01, ha="left", fontsize=8, color=_GREY,
    )  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, facecolor="white", metadata={"Date": None, "Title": "Throughput"})
    pyplot.close(figure)
