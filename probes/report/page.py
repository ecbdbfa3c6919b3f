"""The page: tables, figures and examples put into the template.

Owns: what stands on the page and in which order, the safety of its text, and its content security policy.
Does not own: sentences (`words`), drawings (`figures`), looks (`page.css`), redrawing for dark pages (`page.js`).

Questions, completions and names are not trusted. All text is escaped by jinja2, control characters are made visible,
data for the figures is JSON in which `<`, `>` and `&` are escaped, and only scripts whose hash is in the policy run.
"""

import base64
import hashlib
import json
import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import plotly.io
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from probes.report import palette, words
from probes.report.plots import Plot, make_plots
from probes.report.schema import Example, Probe, Summary
from rlvr.verdicts import Outcome

MAX_CHARS = 2_000
MAX_EXAMPLES = 60
MAX_DRAWS = 24
MAX_IDS = 200
HERE = Path(__file__).parent

_CHANGES = {
    "lost": "solved at step 0, not at the last step",
    "gained": "not solved at step 0, solved at the last step",
    "kept": "solved at both",
    "never": "solved at neither",
}


def render_page(summary: Summary) -> str:
    """Returns the whole HTML document."""
    return render_template(
        "page.html",
        make_plots(summary),
        summary=summary,
        columns=table_columns(summary["k"]),
        trained=[probe for probe in summary["probes"] if probe["against_base"]],
        examples=choose_examples(summary.get("examples", [])),
        facts=facts(summary),
        Outcome=Outcome,
    )


def render_template(name: str, plots: list[Plot], **context: Any) -> str:
    """Returns a page of this package: its template with style, figures, scripts, and a policy for them."""
    scripts = [_script(get_plotlyjs()), _script((HERE / "page.js").read_text(encoding="utf-8"))]
    return (
        _environment()
        .get_template(name)
        .render(
            policy=Markup(_policy(scripts)),  # noqa: S704 - made of hashes and fixed words
            style=Markup((HERE / "page.css").read_text(encoding="utf-8")),  # noqa: S704 - a file of this package
            scripts=[Markup(script) for script in scripts],  # noqa: S704 - plotly.js and a file of this package
            plots={plot.slug: plot for plot in plots},
            data=Markup(_figure_data(plots)),  # noqa: S704 - escaped below
            **context,
        )
    )


def table_columns(ks: list[int]) -> list[int]:
    """Returns the k of the main table: those nearest to 1, 16 and 256 by ratio, and the largest."""
    nearest = [min(ks, key=lambda k: abs(math.log(k / wanted))) for wanted in (1, 16, 256)]
    return sorted({*nearest, ks[-1]})


def choose_examples(examples: list[Example]) -> dict[str, Any]:
    """Returns the first examples with their draws by step, and how many there are in all."""
    shown = []
    for example in examples[:MAX_EXAMPLES]:
        steps = sorted({draw["step"] for draw in example["draws"]})
        draws = sorted(example["draws"], key=lambda draw: (draw["step"], draw["draw_index"]))
        by_step = {step: [draw for draw in draws if draw["step"] == step] for step in steps}
        few = {step: all_draws[:MAX_DRAWS] for step, all_draws in by_step.items()}
        left_out = len(draws) - sum(map(len, few.values()))
        change = _CHANGES.get(example["change"], "")
        shown.append({"example": example, "meaning": change, "steps": few, "left_out": left_out})
    return {"shown": shown, "num_examples": len(examples)}


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
        *((f"arm at step {probe['step']}", probe["arm_id"]) for probe in summary["probes"]),
        *((_spaced(key), value) for key, value in run["facts"].items()),
    ]
    return [(name, value if isinstance(value, str) else json.dumps(value)) for name, value in rows]


def clean(text: str) -> str:
    """Returns text that a page can hold: lone surrogates replaced, control characters shown as symbols."""
    whole = text.encode("utf-8", "replace").decode("utf-8")
    return whole.translate(_VISIBLE)


_VISIBLE = {code: 0x2400 + code for code in range(32) if chr(code) not in "\t\n"} | {127: 0x2421}
_VISIBLE |= dict.fromkeys(range(0x80, 0xA0), 0xFFFD)


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
    formats: Iterable[Callable[..., str]] = (
        *(words.number, words.signed, words.percent, words.interval, words.signed_interval, words.plural, words.count),
        *(words.headline, words.reading, clean),
    )
    environment.filters.update({function.__name__: function for function in formats})
    environment.filters["cautions"] = words.cautions
    environment.filters["ids"] = _id_list
    environment.globals.update(max_chars=MAX_CHARS, max_ids=MAX_IDS)
    return environment


def _finalize(value: object) -> object:
    """Returns a value as the page shows it; text that is not markup is cleaned."""
    if value is None:
        return words.NONE
    return clean(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _id_list(probe: Probe, kind: str) -> list[str]:
    """Returns the ids of the problems that a step gained or lost."""
    return probe["gained"] if kind == "gained" else probe["lost"]


def _figure_data(plots: list[Plot]) -> str:
    """Returns the figures and the dark colours as JSON that can stand inside a script element."""
    drawings = {plot.slug: json.loads(plotly.io.to_json(plot.figure, validate=False)) for plot in plots}
    text = json.dumps({"figures": drawings, "dark": palette.DARK}, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _script(code: str) -> str:
    """Returns code that can stand inside a script element, as the browser will see it."""
    unix = code.replace("\r\n", "\n").replace("\r", "\n")
    return unix.replace("</script", "<\\/script").replace("<!--", "<\\!--")


def _policy(scripts: list[str]) -> str:
    """Returns a content security policy that fetches nothing and runs these scripts only."""
    digests = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _spaced(key: str) -> str:
    return key.replace("_", " ")
