"""IFEval: each of the 25 kinds with texts that follow it and texts that do not; strict, loose and partial credit."""

import json

import pytest

from rlvr.errors import ProblemError, RecipeError
from rlvr.problems import Problem, load_problems
from rlvr.verifiers import make_verifier
from rlvr.verifiers.ifeval import counting
from rlvr.verifiers.ifeval.instructions import INSTRUCTIONS
from rlvr.verifiers.ifeval.language import is_installed, language_of
from rlvr.verifiers.verdicts import Outcome, modes_of

LESS, LEAST = {"relation": "less than"}, {"relation": "at least"}
ENGLISH = "The quick brown fox jumps over the lazy dog, and then it sleeps in the garden."
GERMAN = "Der schnelle braune Fuchs springt über den faulen Hund und schläft dann im Garten."

# (kind, arguments, texts that follow it, texts that do not)
CASES = [
    ("keywords:existence", {"keywords": ["cat", "dog"]}, ["A Dog sees a CAT."], ["A cat.", "do g cat"]),
    ("keywords:frequency", {"keyword": "ab", "frequency": 2, **LEAST}, ["ab AB", "abab"], ["ab", "a b a b"]),
    ("keywords:frequency", {"keyword": "a.b", "frequency": 1, **LESS}, ["axb"], ["A.B"]),
    ("keywords:forbidden_words", {"forbidden_words": ["art"]}, ["a cart, arts"], ["ART!", "the art"]),
    (
        "keywords:letter_frequency",
        {"letter": "E", "let_frequency": 3, "let_relation": "at least"},
        ["eEe", "tree e"],
        ["ee", "x"],
    ),
    ("language:response_language", {"language": "de"}, [GERMAN, "42"], [ENGLISH]),
    ("length_constraints:number_sentences", {"num_sentences": 3, **LESS}, ["One. Two?"], ["One. Two. Three."]),
    ("length_constraints:number_sentences", {"num_sentences": 2, **LEAST}, ["One! two"], ["Dr. Who is here."]),
    (
        "length_constraints:number_paragraphs",
        {"num_paragraphs": 2},
        ["a\n***\nb", "***\na\n***\nb\n***"],
        ["a", "a *** b *** c", "a *** *** b", "a\n\nb"],
    ),
    ("length_constraints:number_words", {"num_words": 3, **LEAST}, ["one two-three", "1 2 3"], ["one two", "... !"]),
    ("length_constraints:number_words", {"num_words": 3, **LESS}, ["one two"], ["one two three"]),
    (
        "length_constraints:nth_paragraph_first_word",
        {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "Next"},
        ["One.\n\n'next, two.", 'One.\n\nNEXT"'],
        ["next\n\none", "One.\n\nNextly", "next", "a\n\nnext\n\nb", "a\n\n\n\nnext"],
    ),
    ("detectable_content:number_placeholders", {"num_placeholders": 2}, ["[a] [b]", "[[x] []"], ["[a]", "[a\n] ]["]),
    ("detectable_content:postscript", {"postscript_marker": "P.S."}, ["Hi\nP. S. bye", "p.s. x"], ["PS bye", "p.p.s"]),
    ("detectable_content:postscript", {"postscript_marker": "P.P.S"}, ["P.P.S bye", "p. p. s"], ["P.S. bye"]),
    ("detectable_content:postscript", {"postscript_marker": "N.B."}, ["n.b. this"], ["nxbx this"]),
    ("detectable_format:number_bullet_lists", {"num_bullets": 2}, ["* a\n - b", "* a\n\n\n* b"], ["* a", "** a\n**b"]),
    ("detectable_format:constrained_response", {}, ["So: My answer is maybe."], ["My answer is Yes.", "yes"]),
    (
        "detectable_format:number_highlighted_sections",
        {"num_highlights": 2},
        ["*a* and *b*", "**a** *b*"],
        ["*a*", "** **", "*a\nb*"],
    ),
    (
        "detectable_format:multiple_sections",
        {"section_spliter": "SECTION", "num_sections": 2},
        ["SECTION 1\na\nSECTION 2\nb", "SECTION1 SECTION 2"],
        ["SECTION 1", "SECTION a SECTION b", "section 1 section 2"],
    ),
    (
        "detectable_format:json_format",
        {},
        ['{"a": 1}', "```json\n[1]\n```", "```JSON\n2```"],
        ["a: 1", "{", "[" * 99999],
    ),
    ("detectable_format:title", {}, ["<<poem>>\nx", "a <<b>> c"], ["<poem>", "<<>>", "<< >>", "<<a\nb>>", ">>a<<"]),
    ("combination:two_responses", {}, ["a\n******\nb", "******a******b"], ["a", "a******a", "a******b******c"]),
    ("combination:repeat_prompt", {"prompt_to_repeat": "Say Hi"}, ["say hi\n\nhi", " SAY HI"], ["hi", "Well: say hi"]),
    ("startend:end_checker", {"end_phrase": "Any more?"}, ["x ANY MORE?", '"x any more?" '], ["Any more? Yes."]),
    ("startend:quotation", {}, ['"a"', ' "a "b" c" '], ['"', "'a'", '"a']),
    (
        "change_case:capital_word_frequency",
        {"capital_frequency": 2, "capital_relation": "at least"},
        ["NASA and I", "A-B C"],
        ["Nasa and I", "A-B c"],
    ),
    ("change_case:english_capital", {}, [ENGLISH.upper()], [ENGLISH, GERMAN.upper()]),
    ("change_case:english_lowercase", {}, [ENGLISH.lower()], [ENGLISH, GERMAN.lower()]),
    ("punctuation:no_comma", {}, ["a; b"], ["a, b"]),
]


def problem_of(*instructions):
    meta = {"instruction_id_list": [name for name, _ in instructions], "kwargs": [given for _, given in instructions]}
    return Problem("Write.", "instructions", meta)


def outcome(text, *instructions, verifier="ifeval"):
    return make_verifier(verifier).verify([(problem_of(*instructions), text)])[0].outcome


def needs_package(name):
    if INSTRUCTIONS[name].needs_language and not is_installed():
        pytest.skip("py3langid is absent; pip install 'rlvr[ifeval]'")


def test_all_25_kinds_have_cases():
    assert len(INSTRUCTIONS) == 25
    assert {name for name, *_ in CASES} == set(INSTRUCTIONS)


@pytest.mark.parametrize(("name", "given", "followed", "broken"), CASES)
def test_a_kind_of_instruction(name, given, followed, broken):
    needs_package(name)
    problem = problem_of((name, given))
    verifier = make_verifier("ifeval")
    verifier.check_problems([problem])
    assert {text: verifier.verify([(problem, text)])[0].outcome for text in followed} == dict.fromkeys(
        followed, Outcome.CORRECT
    )
    assert {text: verifier.verify([(problem, text)])[0].outcome for text in broken} == dict.fromkeys(
        broken, Outcome.WRONG
    )


COMMA, QUOTED, TITLE = ("punctuation:no_comma", {}), ("startend:quotation", {}), ("detectable_format:title", {})


def test_all_instructions_count_and_partial_credit_is_their_share():
    verdicts = make_verifier("ifeval?credit=fraction").verify(
        [(problem_of(COMMA, QUOTED, TITLE), text) for text in ('"<<a>>"', '"a"', "<<a>>, b", ", ")]
    )
    assert [verdict.outcome for verdict in verdicts] == ["correct", "wrong", "wrong", "wrong"]
    assert [verdict.score for verdict in verdicts] == pytest.approx([1, 2 / 3, 1 / 3, 0])
    assert verdicts[1].answer == "2 of 3"
    assert verdicts[1].reason == "not followed: detectable_format:title"
    assert make_verifier("ifeval").verify([(problem_of(COMMA), "a")])[0].score is None


@pytest.mark.parametrize(
    ("text", "instruction", "strict", "loose"),
    [
        ("Sure, here it is:\nno comma", COMMA, "wrong", "correct"),
        ("no comma\nBye, then", COMMA, "wrong", "correct"),
        ("Sure, here:\nno comma\nBye, then", COMMA, "wrong", "correct"),
        ("a,\nb,\nc,", COMMA, "wrong", "wrong"),
        ('**"a"**', QUOTED, "wrong", "correct"),
        ('Here:\n*"a"*', QUOTED, "wrong", "correct"),
        ("one, line", COMMA, "wrong", "wrong"),
    ],
)
def test_strict_and_loose(text, instruction, strict, loose):
    """One line without its first is no text, and follows nothing."""
    for mode, shown, other in (("strict", strict, loose), ("loose", loose, strict)):
        verifier = make_verifier(f"ifeval?mode={mode}")
        verdict = verifier.verify([(problem_of(instruction), text)])[0]
        assert (verdict.outcome, verdict.other) == (shown, other)
        assert modes_of(verifier.verifier_id)[0] == mode


def test_reasoning_and_nothing_are_no_text():
    assert outcome("<think>a, b</think>c", COMMA) is Outcome.CORRECT
    assert outcome("<think>a", COMMA) is Outcome.UNPARSED
    assert outcome(" \n", COMMA) is Outcome.UNPARSED


def test_the_options():
    assert make_verifier("ifeval").verifier_id == "ifeval@1?mode=strict&credit=all"
    with pytest.raises(RecipeError, match="mode is 'lenient'; expected one of strict, loose"):
        make_verifier("ifeval?mode=lenient")


@pytest.mark.parametrize(
    ("meta", "said"),
    [
        ({}, "meta.instruction_id_list is no list"),
        ({"instruction_id_list": ["punctuation:no_comma"]}, "meta.kwargs is no list"),
        ({"instruction_id_list": ["punctuation:no_coma"], "kwargs": [{}]}, "'punctuation:no_coma' is no instruction"),
        ({"instruction_id_list": [["x"]], "kwargs": [{}]}, "is no instruction of IFEval"),
        ({"instruction_id_list": ["startend:end_checker"], "kwargs": [{}]}, "end_phrase is None, expected text"),
        (
            {"instruction_id_list": ["length_constraints:number_words"], "kwargs": [{"num_words": 2, "relation": "<"}]},
            "relation is '<', expected one of less than, at least",
        ),
        (
            {"instruction_id_list": ["length_constraints:number_paragraphs"], "kwargs": [{"num_paragraphs": 1.5}]},
            "num_paragraphs is 1.5, expected a whole number",
        ),
        ({"instruction_id_list": ["keywords:existence"], "kwargs": [{"keywords": [""]}]}, "keywords is"),
        ({"instruction_id_list": ["keywords:existence"], "kwargs": ["x"]}, "the kwargs of keywords:existence"),
    ],
)
def test_rows_that_cannot_be_judged_are_refused_by_name(meta, said):
    with pytest.raises(ProblemError, match="1 of 1 problems cannot be judged by the ifeval verifier") as error:
        make_verifier("ifeval").check_problems([Problem("q", "a", meta)])
    assert said in str(error.value)


def test_published_rows_are_read_as_they_are(tmp_path):
    """A row of the file, and the same as the Hub's table has it, with null for what a kind does not take."""
    row = {
        "key": 1000,
        "prompt": "Write without commas, in 3 words.",
        "instruction_id_list": ["punctuation:no_comma", "length_constraints:number_words"],
        "kwargs": [{}, {"num_words": 3, "relation": "at least"}],
    }
    filled = {"num_words": None, "relation": None, "keywords": None}
    wide = {**row, "kwargs": [filled, {**filled, "num_words": 3.0, "relation": "at least"}]}
    (tmp_path / "a.jsonl").write_text(json.dumps(row))
    (tmp_path / "b.jsonl").write_text(json.dumps(wide))
    first, second = (load_problems(str(tmp_path / name))[0] for name in ("a.jsonl", "b.jsonl"))
    assert first.question == row["prompt"]
    assert first.meta == second.meta
    verifier = make_verifier("ifeval")
    verifier.check_problems([first, second])
    assert [each.outcome for each in verifier.verify([(first, "one two three"), (first, "one, two")])] == [
        "correct",
        "wrong",
    ]


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0),
        ("...", 0),
        ("No end", 1),
        ("One. Two! Three? Four… Five", 5),
        ('He said "Stop!" Then he left.', 2),
        ("Mr. Smith met Dr. J. Jones, e.g. at 3.14 p.m. yesterday.", 1),
        ("1. First point.\n2. Second point.", 2),
        ("Wait... what? Yes!!!", 2 + 1),
        ("今日は晴れです。明日は雨です。", 2),
        ("Really?! Yes.", 2),
    ],
)
def test_sentences(text, count):
    assert counting.num_sentences(text) == count


HOSTILE = ["[" * 200_000, "<<" * 100_000, "*" * 200_000, "\n" * 200_000, "." * 200_000 + "x", "'" * 200_000]


@pytest.mark.timeout(120)
@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: repr(text[:2]))
def test_no_text_is_slow(text):
    """All kinds at once: each takes time in proportion to the text, where a square would take hours."""
    cases = {
        name: (name, given) for name, given, *_ in CASES if not INSTRUCTIONS[name].needs_language or is_installed()
    }
    assert outcome(text, *cases.values(), verifier="ifeval?mode=loose") in (Outcome.WRONG, Outcome.UNPARSED)


def test_languages_are_told_offline():
    needs_package("language:response_language")
    assert [language_of(text) for text in (ENGLISH, ENGLISH.upper(), GERMAN, "2 + 2 = 4")] == ["en", "en", "de", None]
    assert language_of("これは日本語の文です。") == "ja"


def test_without_the_package_such_a_problem_is_refused(monkeypatch):
    monkeypatch.setattr("rlvr.verifiers.ifeval.instructions.is_installed", lambda: False)
    with pytest.raises(ProblemError, match=r"needs py3langid: pip install 'rlvr\[ifeval\]'"):
        make_verifier("ifeval").check_problems([problem_of(("language:response_language", {"language": "de"}))])
