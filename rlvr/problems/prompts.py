"""Prompts: how a problem is shown to a model, and when the model has finished.

Owns: rendering for base and chat models, tokenisation of the result, and the stop rule.
Does not own: problems (`rlvr.problems`), generation (`probes.engines`, the trainer).

Training and probing render through the same `PromptFormat`, so that both see the same tokens.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from rlvr.errors import RecipeError
from rlvr.problems import Problem

CHAT_MODES = ("auto", "chat", "plain")
THINK_MODES = ("on", "open", "off")

Messages = list[dict[str, str]]


@dataclass(frozen=True)
class Prompt:
    """One rendered prompt.

    Attributes:
        content: text, or messages for a chat model; what a server is given.
        token_ids: the same as the model reads it; empty where no tokenizer is known.
    """

    content: str | Messages
    token_ids: tuple[int, ...] = ()


@dataclass(frozen=True)
class PromptFormat:
    """How a problem becomes a prompt.

    Attributes:
        template: text with one `{question}`.
        system: system message of a chat prompt, or None.
        chat: `chat` uses the tokenizer's chat template, `plain` does not, `auto` uses it where the tokenizer has one.
        think: where the reasoning of a completion stands, for the verifier. `on`: between `<think>` and `</think>`,
            where there are any; `open`: the prompt ends within it, as chat templates that end in `<think>` do, so that
            a completion without `</think>` is not finished; `off`: these tags mean nothing. The prompt does not change.
    """

    template: str = "{question}"
    system: str | None = None
    chat: str = "auto"
    think: str = "on"

    def __post_init__(self) -> None:
        if self.template.count("{question}") != 1:
            raise RecipeError(f"prompt_template: {self.template!r} must contain {{question}} exactly once.")
        if self.chat not in CHAT_MODES:
            raise RecipeError(f"prompt_chat: {self.chat!r} is not known; use one of {', '.join(CHAT_MODES)}.")
        if self.think not in THINK_MODES:
            raise RecipeError(f"prompt_think: {self.think!r} is not known; use one of {', '.join(THINK_MODES)}.")

    def is_chat(self, tokenizer: Any) -> bool:
        """Returns whether prompts for this tokenizer are lists of messages."""
        if tokenizer is None:
            return self._is_chat_untold()
        has_template = getattr(tokenizer, "chat_template", None) is not None
        if self.chat == "chat" and not has_template:
            raise RecipeError(
                "prompt_chat: `chat` needs a tokenizer with a chat template; use `plain` or another model."
            )
        return has_template if self.chat == "auto" else self.chat == "chat"

    def _is_chat_untold(self) -> bool:
        """Returns whether prompts are messages where no tokenizer can say so."""
        if self.chat == "auto":
            raise RecipeError("prompt_chat: `auto` needs a tokenizer; say `chat` or `plain`.")
        return self.chat == "chat"

    def render(self, problem: Problem, tokenizer: Any) -> str | Messages:
        """Returns the prompt in TRL's form: text, or messages for a chat model."""
        text = self.template.replace("{question}", problem.question)
        if not self.is_chat(tokenizer):
            if self.system is not None:
                raise RecipeError(
                    "prompt_system: a plain prompt has no system message; put the text in prompt_template."
                )
            return text
        system = [{"role": "system", "content": self.system}] if self.system is not None else []
        return [*system, {"role": "user", "content": text}]

    def prompt(self, problem: Problem, tokenizer: Any) -> Prompt:
        """Returns the rendered prompt; without tokens where `tokenizer` is None, which needs `chat` or `plain`."""
        content = self.render(problem, tokenizer)
        return Prompt(content, () if tokenizer is None else tuple(self._tokenize(content, tokenizer)))

    def token_ids(self, problem: Problem, tokenizer: Any) -> list[int]:
        """Returns the prompt's tokens, the same that TRL's trainers make of `render`."""
        return self._tokenize(self.render(problem, tokenizer), tokenizer)

    def _tokenize(self, prompt: str | Messages, tokenizer: Any) -> list[int]:
        if isinstance(prompt, str):
            return list(tokenizer(text=prompt)["input_ids"])
        return list(
            tokenizer.apply_chat_template(prompt, add_generation_prompt=True, tokenize=True, return_dict=True)[
                "input_ids"
            ]
        )


def eos_token_ids(tokenizer: Any, generation_config: Any) -> tuple[int, ...]:
    """Returns the tokens that end a completion: the tokenizer's, and all that the model declares (as TRL does)."""
    declared = getattr(generation_config, "eos_token_id", None)
    ids: Iterable[int] = [] if declared is None else [declared] if isinstance(declared, int) else declared
    return tuple(sorted({int(tokenizer.eos_token_id), *map(int, ids)}))
