"""What a training run shows in a terminal: one bar with the latest reward.

Owns: the progress bar. All metrics go to the trackers of `report_to` and to the trainer's state, not to the terminal.
Does not own: the metrics.
"""

from typing import Any

from transformers import PrinterCallback, ProgressCallback, TrainerControl, TrainerState, TrainingArguments

SHOWN = ("reward", "entropy", "loss")


class QuietProgress(ProgressCallback):  # type: ignore[misc]
    """The bar of transformers, with a few metrics behind it in place of one printed dictionary a step."""

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Shows the latest reward, entropy and loss."""
        if self.training_bar is not None and logs:
            shown = {key: f"{logs[key]:.3g}" for key in SHOWN if isinstance(logs.get(key), int | float)}
            if shown:
                self.training_bar.set_postfix(shown)


def show_progress(trainer: Any) -> None:
    """Puts `QuietProgress` in the place of the callback that prints every log."""
    if not trainer.args.disable_tqdm:
        trainer.remove_callback(ProgressCallback)
        trainer.remove_callback(PrinterCallback)
        trainer.add_callback(QuietProgress())
