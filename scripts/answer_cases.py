r"""Answers to judge a verifier by: rewritten golds, which are right, changed ones, which are wrong, hostile ones.

Owns: how cases are generated, with their verdicts; everything is seeded.
Does not own: how they are judged and what is printed (`scripts.bench_verifiers`), cases written by hand
(`tests/rlvr/verifiers/answers/answer_pairs.tsv`).
"""

import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Case:
    """A gold answer, an answer, and what a careful reader says.

    Attributes:
        kind: of the change.
    """

    kind: str
    gold: str
    answer: str
    is_right: bool


Change = Callable[[random.Random, str], str | None]


def _number_at(rng: random.Random, text: str) -> re.Match[str] | None:
    """Returns a number of a text that is no part of a command or an index."""
    found = list(re.finditer(r"(?<![\w.\\{_])\d+(?:\.\d+)?", text.replace("{", " ").replace("_ ", "__")))
    return rng.choice(found) if found else None


def other_number(rng: random.Random, text: str) -> str | None:
    """Changes one number by one to nine."""
    match = _number_at(rng, text)
    if match is None:
        return None
    digits = match[0]
    changed = str(int(digits) + rng.randint(1, 9)) if digits.isdecimal() else f"{digits}{rng.randint(1, 9)}"
    return text[: match.start()] + changed + text[match.end() :]


def other_sign(rng: random.Random, text: str) -> str | None:
    """Turns the sign of the whole or of one term."""
    signs = [match.start() for match in re.finditer(r"(?<=[\w} ])[+-](?=[ \w\\])|^-", text)]
    if not signs:
        return f"-{text}" if re.match(r"[\d\\][\w{}\\ ]*$", text) and not text.startswith((r"\text", r"\b")) else None
    at = rng.choice(signs)
    return text[:at] + ("+" if text[at] == "-" else "-") + text[at + 1 :]


def other_magnitude(rng: random.Random, text: str) -> str | None:
    """Appends a zero to a number, or takes its decimal point away."""
    match = _number_at(rng, text)
    if match is None or not match[0].strip("0."):
        return None
    changed = match[0].replace(".", "") if "." in match[0] else f"{match[0]}0"
    return text[: match.start()] + changed + text[match.end() :] if changed.lstrip("0") != match[0] else None


def swapped(rng: random.Random, text: str) -> str | None:
    """Exchanges numerator and denominator, or the first two parts of a tuple or an interval."""
    if match := re.fullmatch(r"(-?)\\d?frac\{(\w+)\}\{(\w+)\}", text):
        return rf"{match[1]}\frac{{{match[3]}}}{{{match[2]}}}" if match[2] != match[3] else None
    if match := re.fullmatch(r"\(\s*([^,()]+),\s*([^,()]+)(,[^()]+)?\)", text):
        return f"({match[2]}, {match[1]}{match[3] or ''})" if match[1].strip() != match[2].strip() else None
    return None


def one_more(rng: random.Random, text: str) -> str | None:
    """Adds a solution."""
    other = str(rng.randint(1000, 9999))
    return f"{text}, {other}" if re.fullmatch(r"[-\d\\{}frac sqrt]+", text) and other != text else None


def one_less(rng: random.Random, text: str) -> str | None:
    """Leaves a solution out."""
    inside = text.strip("\\{}() ")
    return inside.rpartition(",")[0] if inside.count(",") and "\\" not in inside else None


def other_relation(rng: random.Random, text: str) -> str | None:
    """Changes the sign of a relation."""
    match = re.search(r"\\(?:le|ge|neq|in)(?![a-z])|[=<>]", text)
    if match is None:
        return None
    signs = {"=", "<", ">", r"\le ", r"\ge ", r"\neq "} - {match[0], f"{match[0]} "}
    return text[: match.start()] + rng.choice(sorted(signs)) + text[match.end() :]


def other_brackets(rng: random.Random, text: str) -> str | None:
    """Closes an open end of an interval, or turns a tuple into a set."""
    if re.fullmatch(r"\([^()]+,[^()]+\)", text):
        return rng.choice(
            (rf"\{{{text[1:-1]}\}}", f"[{text[1:-1]}]" if text.count(",") == 1 else rf"\{{{text[1:-1]}\}}")
        )
    if match := re.fullmatch(r"([(\[])([^()\[\]]+,[^()\[\]]+)([)\]])", text):
        return ("[" if match[1] == "(" else "(") + match[2] + match[3]
    return None


def other_exponent(rng: random.Random, text: str) -> str | None:
    """Changes an exponent."""
    match = re.search(r"\^(?:\{(-?\d+)\}|(\d))", text)
    return (
        f"{text[: match.start()]}^{{{int(match[1] or match[2]) + rng.choice((1, 2, -1))}}}{text[match.end() :]}"
        if match
        else None
    )


def other_variable(rng: random.Random, text: str) -> str | None:
    """Gives a variable another name."""
    match = re.search(r"(?<![\\A-Za-z])([a-z])(?![A-Za-z{])", text)
    return text[: match.start()] + ("q" if match[1] != "q" else "w") + text[match.end() :] if match else None


def negated(rng: random.Random, text: str) -> str | None:
    """Says that it is not the answer."""
    return rng.choice((rf"\neg {text}", rf"\text{{not }} {text}", rf"x \neq {text}", rf"\text{{not equal to }} {text}"))


def false_equation(rng: random.Random, text: str) -> str | None:
    """Equates another number with the answer."""
    return f"{int(text) + rng.randint(1, 9)}={text}" if re.fullmatch(r"-?\d+", text) else None


def anagram(rng: random.Random, text: str) -> str | None:
    """Shuffles the letters of a word."""
    match = re.fullmatch(r"\\text\{([A-Za-z]{3,})\}", text)
    if match is None:
        return None
    letters = list(match[1])
    rng.shuffle(letters)
    shuffled = "".join(letters)
    return rng.choice((shuffled, rf"\text{{{shuffled}}}")) if shuffled.lower() != match[1].lower() else None


def times_hundred(rng: random.Random, text: str) -> str | None:
    """Makes a percentage a hundred times larger."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\\%", text)
    return f"{float(match[1]) * 100:g}\\%" if match and float(match[1]) else None


WRONG: dict[str, Change] = {
    change.__name__: change
    for change in (
        other_number,
        other_sign,
        other_magnitude,
        swapped,
        one_more,
        one_less,
        other_relation,
        other_brackets,
        other_exponent,
        other_variable,
        negated,
        false_equation,
        anagram,
        times_hundred,
    )
}

UNITS = (
    "cm",
    "km",
    "m",
    "kg",
    "g",
    "hours",
    "minutes",
    "dollars",
    "degrees",
    "apples",
    "ft",
    "inches",
    "mph",
    "liters",
)
WORDS = (
    "even",
    "odd",
    "yes",
    "no",
    "east",
    "west",
    "north",
    "Monday",
    "increasing",
    "parallel",
    "ellipse",
    "true",
    "red",
)


def made_golds(rng: random.Random, num: int) -> Iterator[tuple[str, str, str, str]]:
    """Yields golds of the kinds that few data sets have: kind, gold, an answer that is right and one that is wrong."""
    for _ in range(num):
        a, b, c = rng.randint(2, 99), rng.randint(100, 999), rng.randint(2, 9)
        unit, other = rng.sample(UNITS, 2)
        word = rng.choice(WORDS)
        shuffled = "".join(rng.sample(word, len(word)))
        base, digits = rng.randint(3, 9), "".join(str(rng.randint(0, 2)) for _ in range(4))
        exponent = rng.randint(-34, 34) or 5
        lo, hi = sorted(rng.sample(range(-20, 20), 2))
        yield "unit", rf"{a} \text{{ {unit}}}", rf"{a}\text{{ {unit}}}", rf"{a} \text{{ {other}}}"
        yield "unit", rf"{a} {unit}", f"{a}", f"{a} {other}"
        yield "unit power", rf"{a} \text{{ cm}}^2", rf"{a} \text{{ square centimeters}}", rf"{a} \text{{ cm}}^3"
        yield "percent", rf"{a}\%", f"{a}", rf"{a}00\%"
        yield "percent", rf"{a}.5\%", f"{a / 100 + 0.005:.3f}", f"{a}50"
        yield "percent", f"0.{a:02}", rf"{a}\%", rf"0.{a:02}\%"
        yield "words", rf"\text{{{word}}}", word, shuffled if shuffled.lower() != word.lower() else f"not {word}"
        yield "base", f"1{digits}_{base}", f"1{digits}_{{{base}}}", f"1{digits}_{base + 1}"
        yield (
            "scientific",
            rf"{c}.{a} \times 10^{{{exponent}}}",
            f"{c}.{a}e{exponent}",
            rf"{c}.{a} \times 10^{{{exponent + 1}}}",
        )
        yield "list", f"{c}, {b}", f"{b}, {c}", f"{c}{b}"
        yield "thousands", f"{c}{b}", f"{c},{b}", f"{c}, {b}"
        yield "tuple", f"({c}, {a + 10})", f"({c},{a + 10})", f"({a + 10}, {c})"
        yield "tuple", f"({c}, {a + 10}, {b})", f"({c}, {a + 10}, {b})", rf"\{{{c}, {a + 10}, {b}\}}"
        yield "set", rf"\{{{c}, {a + 10}\}}", rf"\{{{a + 10}, {c}\}}", f"({c}, {a + 10})"
        yield "interval", f"({lo}, {hi}]", rf"{lo} < x \le {hi}", f"[{lo}, {hi}]"
        yield "relation", f"x={a}", f"{a}", rf"x \neq {a}"
        yield "relation", rf"x \neq {a}", rf"x\ne {a}", f"x={a}"
        yield "relation", rf"x \ge {a}", rf"[{a}, \infty)", rf"x > {a}"
        yield "equation", f"y = {c}x + {a}", f"{c}x - y + {a} = 0", f"y = {c}x - {a}"
        yield "equation", f"{a}", f"{a - 2} + 2 = {a}", f"{a + c} = {a}"
        yield "boxes", rf"x = \boxed{{{a}}} \text{{ or }} x = \boxed{{-{c}}}", f"{a}, -{c}", f"-{c}"
        yield "time", f"{c}:{rng.randint(10, 59)}", "", "9:99"


def wrong_cases(golds: Sequence[str], num: int, seed: int = 0) -> list[Case]:
    """Returns wrong answers, made of golds by the changes of `WRONG`."""
    rng, cases = random.Random(seed), list[Case]()
    while len(cases) < num:
        name, gold = rng.choice(list(WRONG)), rng.choice(golds)
        changed = None if gold == "0" else WRONG[name](rng, gold)  # -0 is 0
        if changed is not None and changed.replace(" ", "") != gold.replace(" ", ""):
            cases.append(Case(name, gold, changed, is_right=False))
    return cases


def made_cases(num: int, seed: int = 0) -> list[Case]:
    """Returns right and wrong answers to made golds, half of each."""
    cases = list[Case]()
    for kind, gold, right, wrong in made_golds(random.Random(seed), num):
        cases += [Case(kind, gold, right, True)] if right else []
        cases.append(Case(kind, gold, wrong, is_right=False))
    return list(dict.fromkeys(cases))


HOSTILE: dict[str, Callable[[int], str]] = {
    "power tower": lambda n: f"{9 + n}^{{9^{{9^{{9}}}}}}",
    "nested factorial": lambda n: f"((({n + 9})!)!)!",
    "digits": lambda n: str(n) + "7" * (300 + n % 600),
    "deep brackets": lambda n: "(" * (50 + n % 200) + "1" + ")" * (50 + n % 200),
    "deep fractions": lambda n: r"\frac{" * (15 + n % 30) + str(n) + "}{2}" * (15 + n % 30),
    "deep roots": lambda n: r"\sqrt{1+" * (8 + n % 20) + str(n) + "}" * (8 + n % 20),
    "large power of a sum": lambda n: f"(x+y+z+{n})^{{{50 + n % 300}}}",
    "long sum": lambda n: rf"\sum_{{k=1}}^{{10^{{9}}}} \frac{{{n}}}{{k^2+k+1}}",
    "long product": lambda n: rf"\prod_{{k=1}}^{{{1_000_000 + n}}} k",
    "large binomial": lambda n: rf"\binom{{10^9}}{{10^8+{n}}}",
    "integral": lambda n: rf"\int_0^{{{n}}} e^{{x^2}} \sin(x^x) dx",
    "nested functions": lambda n: rf"\sin(\cos(\tan(\sin(\cos(\tan({n}x))))))",
    "long list": lambda n: ",".join(map(str, range(n, n + 200))),
    "many terms": lambda n: "+".join(f"{n}x^{{{k}}}" for k in range(40)),
    "large matrix": lambda n: (
        r"\begin{pmatrix}" + r"\\".join("&".join([f"x+{n}"] * 9) for _ in range(9)) + r"\end{pmatrix}"
    ),
    "nested radicals": lambda n: "+".join(rf"\sqrt{{{p + n}}}" for p in (2, 3, 5, 7, 11, 13, 17, 19, 23)),
    "trigonometric powers": lambda n: rf"\sin^{{{20 + n % 50}}} x \cos^{{{30 + n % 50}}} x",
    "rational function": lambda n: rf"\frac{{(x^2-1)^{{{100 + n % 200}}}}}{{(x-{n})^{{99}}}}",
    "relation chain": lambda n: "x=" * 40 + str(n),
    "unreadable": lambda n: f"{n}\x00" + r"\frac{" * 60,
    "odd interval": lambda n: f"[{n},0:0]",
    "large logarithm": lambda n: rf"\log_2(3^{{10^{{{8 + n % 5}}}}}+{n})",
}


def hostile_answers(num: int) -> list[tuple[str, str]]:
    """Returns hostile answers, all different, with their kinds, as many of each kind."""
    kinds = list(HOSTILE)
    return [(kinds[n % len(kinds)], HOSTILE[kinds[n % len(kinds)]](n)) for n in range(num)]


def honest_items(num: int) -> list[tuple[str, str]]:
    """Returns golds with answers that are right and written otherwise, all different."""
    forms: tuple[Callable[[int], tuple[str, str]], ...] = (
        lambda n: (f"x+{n}", f"{n}+x"),
        lambda n: (rf"\frac{{{n}\sqrt{{3}}}}{{3}}", rf"\frac{{{n}}}{{\sqrt{{3}}}}"),
        lambda n: (f"(x+{n})^2", f"x^2+{2 * n}x+{n * n}"),
        lambda n: (rf"\sin^2 {n}x", rf"1-\cos^2 {n}x"),
        lambda n: (rf"y = {n}x + 3", rf"{n}x - y + 3 = 0"),
        lambda n: (rf"(-\infty, {n}) \cup ({n + 1}, \infty)", rf"({n + 1}, \infty) \cup (-\infty, {n})"),
        lambda n: (
            rf"\begin{{pmatrix}} {n} \\ \frac{{1}}{{2}} \end{{pmatrix}}",
            rf"\begin{{bmatrix}} {n} \\ 0.5 \end{{bmatrix}}",
        ),
        lambda n: (rf"{n} \text{{ cm}}", f"{n}"),
        lambda n: (f"{n}", f"{n}.0"),
    )
    return [forms[n % len(forms)](n + 2) for n in range(num)]
