"""The page: tables, figures and examples put into the template.

Owns: what stands on the page and in which order, the safety of its text, and its content security policy.
Does not own: sentences (`words`), drawings (`figures`), looks (`page.css`), redrawing for dark pages (`page.js`).

Questions, completions and names are not trusted. All text is escaped by jinja2, control characters are made visible,
data for scripts are packed, so that nothing in them is markup, and only scripts whose hash is in the policy run.
"""

import base64
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import plotly.io
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from probes.report import words
from probes.report.evidence import Evidence
from probes.report.figures import palette
from probes.report.figures.plots import Plot, make_plots
from probes.report.packing import pack
from probes.report.rollouts import TrainingRollouts
from probes.results import formatting
from probes.results.cautions import cautions
from probes.results.schema import Probe, Summary
from rlvr.text import visible
from rlvr.verifiers.verdicts import Outcome

MAX_CHARS = 2_000
MAX_IDS = 200
HERE = Path(__file__).parent
SCRIPTS = ("unpack.js", "state.js", "page.js", "explorer.js")


@dataclass(frozen=True)
class ArmView:
    """One arm as the page shows it.

    Attributes:
        name: shown; not trusted.
        slug: id of its part of the page.
        prefix: before every id of its elements; empty on the page of a lone run.
        level: of its headings.
        summary: its numbers.
        plots: its figures, in order.
    """

    name: str
    slug: str
    prefix: str
    level: int
    summary: Summary
    plots: list[Plot]

    @property
    def columns(self) -> list[int]:
        """The k of the main table."""
        return words.table_columns(self.summary["k"])

    @property
    def last(self) -> Probe:
        """The last probe."""
        return self.summary["probes"][-1]

    @property
    def trained(self) -> list[Probe]:
        """The probes that are compared with the base."""
        return [probe for probe in self.summary["probes"] if probe["against_base"]]

    @property
    def sections(self) -> list[str]:
        """The sections with figures, in the order of the page."""
        return list(dict.fromkeys(plot.section for plot in self.plots))

    @property
    def facts(self) -> list[tuple[str, str]]:
        """What identifies the run and its measurement."""
        return facts(self.summary)


def render_run(
    name: str, summary: Summary, evidence: Evidence | str, rollouts: TrainingRollouts | str | None = None
) -> str:
    """Returns the page of a run, or of a base and one other store.

    Args:
        name: title.
        summary: the numbers.
        evidence: see `render_template`.
        rollouts: of the training, why they cannot be shown, or None.
    """
    arm = ArmView(name, "", "", 2, summary, make_plots(summary))
    plots = {plot.slug: plot for plot in arm.plots}
    return render_template("page.html", plots, evidence, name=name, arm=arm, rollouts=rollouts)


def render_template(template: str, plots: Mapping[str, Plot], evidence: Evidence | str, **context: Any) -> str:
    """Returns a page of this package: its template with style, figures, scripts, and a policy for them.

    Args:
        template: its file name.
        plots: figures by the id of their place, without `plot-`.
        evidence: problems and draws, or why there are none.
        context: of the template.
    """
    library, data = get_plotlyjs(), {"figure-data": _figure_data(plots)}
    if not isinstance(evidence, str):
        data["evidence-data"] = json.dumps(evidence, separators=(",", ":"))
    scripts = [_script((HERE / name).read_text(encoding="utf-8")) for name in SCRIPTS]
    return (
        _environment()
        .get_template(template)
        .render(
            policy=Markup(_policy([library, *scripts])),  # noqa: S704 - made of hashes and fixed words
            style=Markup((HERE / "page.css").read_text(encoding="utf-8")),  # noqa: S704 - a file of this package
            scripts=[Markup(script) for script in scripts],  # noqa: S704 - files of this package
            packed={name: pack(text) for name, text in {"library": library, **data}.items()},
            missing_draws=evidence if isinstance(evidence, str) else "",
            Outcome=Outcome,
            **context,
        )
    )


def facts(summary: Summary) -> list[tuple[str, str]]:
    """Returns what identifies the run and its measurement, as rows of name and value."""
    run, problems = summary["run"], summary["problems"]
    rows: list[tuple[str, Any]] = [
        ("algorithm", run["algorithm"]),
        ("model", run["model"]),
        ("problem set", problems["name"]),
        ("problem set, content id", problems["content_id"]),
        ("problems", problems["num_problems"]),
        ("verifier", summary["verifier"]),
        ("plan", words.plan(summary["plan"])),
        *((f"sampling: {_spaced(key)}", value) for key, value in summary["sampling"].items()),
        ("confidence", summary["confidence"]),
        *((f"arm at {probe['label']}", probe["arm_id"]) for probe in summary["probes"]),
        *((_spaced(key), value) for key, value in run["facts"].items()),
    ]
    return [(name, value if isinstance(value, str) else json.dumps(value)) for name, value in rows]


def _environment() -> Environment:
    """Returns a jinja2 environment that escapes everything and knows the number formats."""
    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalize,
    )
    texts: Iterable[Callable[..., str]] = (
        formatting.number,
        formatting.signed,
        formatting.percent,
        formatting.interval,
        formatting.signed_interval,
        formatting.plural,
        formatting.count,
        words.headline,
        words.reading,
        words.place,
        words.places,
        visible,
    )
    environment.filters.update({function.__name__: function for function in texts})
    environment.filters["cautions"] = cautions
    environment.filters["ids"] = _id_list
    environment.filters["total"] = _total
    environment.globals.update(max_chars=MAX_CHARS, max_ids=MAX_IDS)
    return environment


def _finalize(value: object) -> object:
    """Returns a value as the page shows it; text that is not markup is cleaned."""
    if value is None:
        return formatting.NONE
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _id_list(probe: Probe, kind: str) -> list[str]:
    """Returns the ids of the problems that a step gained or lost."""
    return probe["gained"] if kind == "gained" else probe["lost"]


def _figure_data(plots: Mapping[str, Plot]) -> str:
    """Returns the figures by the id of their place, and the dark colours, as JSON."""
    drawings = {slug: json.loads(plotly.io.to_json(plot.figure, validate=False)) for slug, plot in plots.items()}
    return json.dumps({"figures": drawings, "dark": palette.DARK}, separators=(",", ":"))


def _total(probes: list[Probe], outcome: str) -> str:
    """Returns the number of draws of an outcome in all probes."""
    return formatting.count(sum(probe["all_outcomes"].get(outcome, 0) for probe in probes))


def _script(code: str) -> str:
    """Returns code that can stand inside a script element, as the browser will see it."""
    unix = code.replace("\r\n", "\n").replace("\r", "\n")
    return unix.replace("</script", "<\\/script").replace("<!--", "<\\!--")


def _policy(scripts: list[str]) -> str:
    """Returns a content security policy that fetches nothing and runs these scripts only."""
    digests = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )


def _spaced(key: str) -> str:
    return key.replace("_", " ")
