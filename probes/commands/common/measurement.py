"""From flags to a measurement: plan, problems, verifier, prompts, sampling.

Owns: how flags become `probes.sampling.probe.Measurement` and `probes.statistics.plan.Plan`.
Does not own: the flags (`probes.commands.common.options`).
"""

import re
from typing import Any

from probes.sampling.probe import Measurement
from probes.statistics.plan import Plan
from probes.store.arm import Sampling
from rlvr.errors import RecipeError
from rlvr.problems import load_problems
from rlvr.problems.prompts import PromptFormat
from rlvr.verifiers import make_verifier, verifier_for


def read_plan(flags: dict[str, Any]) -> Plan:
    """Returns the plan of a command's flags, checked against k_max.

    Raises:
        RecipeError: the numbers do not fit together.
    """
    max_draws = flags["max_draws"] or 4 * flags["k_max"]
    plan = Plan.of_numbers(max_draws, flags["stop_at"], flags["first_look"], flags["give_up_at"])
    try:
        plan.validate_k_max(flags["k_max"])
    except RecipeError as error:
        raise RecipeError(re.sub(r"probe_(\w+)", lambda key: "--" + key[1].replace("_", "-"), str(error))) from None
    return plan


def read_measurement(flags: dict[str, Any]) -> Measurement:
    """Returns what a command's flags ask to measure.

    Raises:
        InputError: a flag, the problems or the verifier cannot be used.
    """
    sampling = Sampling(flags["temperature"], flags["top_p"], flags["top_k"], flags["max_new_tokens"])
    # Without a model there is no tokenizer to ask.
    chat = "plain" if flags.get("engine") == "scripted" else flags["prompt_chat"]
    prompt_format = PromptFormat(flags["prompt_template"], flags["prompt_system"], chat, flags["prompt_think"])
    plan = read_plan(flags)
    default = make_verifier(flags["verifier"], prompt_format.think)
    problems = load_problems(flags["problems"])
    verifier = verifier_for(problems, flags["verifier"], prompt_format.think, default)
    return Measurement(problems, verifier, plan, sampling, prompt_format)
