"""What figures draw where probes are many, are stores, or where there is a single k."""

from collections.abc import Callable
from typing import Any

from probes.report import figures
from probes.report.figures.plots import make_plots

Summary = dict[str, Any]
MakeSummary = Callable[..., Summary]


def of_stores(summary: Summary, names: list[str]) -> Summary:
    """Returns the summary with its probes named as stores."""
    for probe, name in zip(summary["probes"], names, strict=True):
        probe["label"] = name
    return summary


def test_the_flow_holds_every_problem_at_every_probe_and_names_a_few(make_summary: MakeSummary) -> None:
    summary = make_summary(steps=tuple(range(0, 201, 10)))
    sankey = figures.flow_of_problems(summary).data[0]
    leaving = [0] * len(sankey.node.label)
    for source, value in zip(sankey.link.source, sankey.link.value, strict=True):
        leaving[source // 2] += value
    assert leaving[:20] == [summary["problems"]["num_problems"]] * 20
    assert 0 < sum(label != "" for label in sankey.node.label) <= 12


def test_long_and_equal_names_of_stores_stay_apart(make_summary: MakeSummary) -> None:
    summary = of_stores(make_summary(), ["base", "a-model-with-a-long-name-1", "a-model-with-a-long-name-2", "c"])
    names = figures.gained_and_lost(summary).data[0].x
    assert len(set(names)) == 3
    assert all(len(name) <= 18 for name in names)


def test_figures_of_stores_have_no_steps(make_summary: MakeSummary) -> None:
    plots = make_plots(of_stores(make_summary(), ["base", "a", "b", "c"]))
    assert plots
    assert all("training step" not in plot.figure.to_json() for plot in plots if plot.section != "training")
    entropy = next(plot.figure for plot in plots if plot.slug == "entropy_and_coverage")
    assert {trace.mode for trace in entropy.data} == {"markers+text"}


def test_the_band_at_a_single_k_can_be_seen(make_summary: MakeSummary) -> None:
    summary = make_summary()
    summary["k"] = [1]
    bands = [trace for trace in figures.pass_at_k_curves(summary).data if trace.fill == "toself"]
    assert len(bands) == 4
    assert all(trace.line.width > 0 and trace.y[0] > trace.y[1] for trace in bands)
