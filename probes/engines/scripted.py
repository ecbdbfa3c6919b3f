"""An engine with known success rates, for tests and documentation.

Owns: completions that are right or wrong with a given probability per problem.
Does not own: anything measured. Every draw it makes carries the engine name `scripted`, and reports say so.
"""

from collections.abc import Iterator, Mapping, Sequence

from probes.engines import Request, uniforms
from probes.store.draws import Draw


class ScriptedEngine:
    """Draws a right completion with probability `rates[problem_id]`, else the text `wrong`.

    Args:
        rates: success probability by problem id.
        arm_id: seeds the draws.
        answers: right completion by problem id; by default the text `right` for all.
    """

    name = "scripted"

    def __init__(self, rates: Mapping[str, float], arm_id: str, answers: Mapping[str, str] | None = None) -> None:
        self.rates = rates
        self.arm_id = arm_id
        self.answers = answers or {}

    def sample(self, requests: Sequence[Request]) -> Iterator[Sequence[Draw]]:
        """Yields all draws of each request in one batch."""
        for request in requests:
            right = self.answers.get(request.problem_id, "right")
            random = uniforms(self.arm_id, request.problem_id, request.draw_indices, 1)[:, 0]
            texts = [right if value < self.rates[request.problem_id] else "wrong" for value in random]
            yield [
                Draw(request.problem_id, index, text, 1, False, self.name)
                for index, text in zip(request.draw_indices, texts, strict=True)
            ]

    def close(self) -> None:
        """Nothing to free."""
