"""The callback that probes a model while it trains.

Owns: when to probe, sampling from the live weights, the random states around it, and the run's index of probes.
Does not own: the probe itself (`probes.sampling.probe`), the summary (`probes.results.summary`).

It works in any trainer that derives from `transformers.Trainer`, GRPOTrainer of TRL among them:

    settings = ProbeSettings(problems=..., verifier=..., plan=Plan.sequential(512), k_max=256, probe_steps=50)
    callback = ProbeCallback(settings, run_dir)
    callback.attach(trainer)
    trainer.train()
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from accelerate.utils import broadcast_object_list
from tqdm.auto import tqdm
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from probes.engines.live import keep_random_states, live_arm, live_engine, live_model, live_share
from probes.results.summary import NARROWED
from probes.sampling.probe import Measurement, render_prompts, run_probe
from probes.scoring.scores import score_probe
from probes.store.index import ProbeEntry, ProbeIndex
from probes.store.store import ProbeStore, store_name
from rlvr.errors import RlvrError

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ProbeSettings(Measurement):
    """What to measure and when.

    Attributes:
        k_max: largest k of the reported curves; `plan` must allow it.
        probe_steps: every so many steps; 0 means only at the start and at the end.
        num_scored: draws per problem that the live model reads again, for token entropy and for the perplexity of the
            first probe's completions; 0 makes none.
        on_narrowing: what to do where `after_probe` gives a metric `probe/narrowed` above 0: `log` a warning, also
            `save` a checkpoint, or also `stop` the training, which then ends as usual.
        store_root: folder that holds one store per arm; several runs may share it. None means `<run_dir>/probes`.
    """

    k_max: int
    probe_steps: int = 0
    num_scored: int = 8
    on_narrowing: str = "log"
    store_root: Path | None = None


class ProbeCallback(TrainerCallback):  # type: ignore[misc]
    """Probes at step 0, every `probe_steps` steps and at the end.

    All processes take part; each has its share of the problems. A step that is both probed and saved is probed after
    the save, so that a kill during the probe costs no training.

    Args:
        settings: what to measure.
        run_dir: where index and stores are kept.
        after_probe: called on the main process after each complete probe, with the trainer's log history; its result,
            a mapping of metrics, is logged through the trainer.
    """

    def __init__(
        self,
        settings: ProbeSettings,
        run_dir: Path,
        after_probe: Callable[[list[dict[str, Any]]], dict[str, float]] | None = None,
    ) -> None:
        settings.plan.validate_k_max(settings.k_max)
        self.settings = settings
        self.run_dir = run_dir
        self.after_probe = after_probe
        self.store_root = settings.store_root or run_dir / "probes"
        self.trainer: Any = None
        self._done: set[int] = set()

    def attach(self, trainer: Any) -> None:
        """Adds this callback to a trainer."""
        self.settings.verifier.check_problems(list(self.settings.problems))
        self.trainer = trainer
        trainer.add_callback(self)

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Probes the weights that training starts from; after a restart, a probe that was cut short.

        A probe that was complete is read again: the restart may have come before what it asks for was done.
        """
        if self._due(state.global_step):
            self._probe(state, is_saved=True)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Probes a due step that is not about to be saved."""
        if self._due(state.global_step) and not control.should_save:
            self._probe(state, is_saved=False)

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Probes a due step that was just saved."""
        if self._due(state.global_step):
            self._probe(state, is_saved=True)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Probes the last step unless that has been done."""
        if state.global_step not in self._done:
            self._probe(state, is_saved=True)

    def _due(self, step: int) -> bool:
        every = self.settings.probe_steps
        return step not in self._done and (step == 0 or (every > 0 and step % every == 0))

    def _probe(self, state: TrainerState, is_saved: bool) -> None:
        """Samples from the live weights, lets the main process record and log the result, and acts on it."""
        accelerator, settings = self.trainer.accelerator, self.settings
        started = time.monotonic()
        with keep_random_states():
            arm = live_arm(self.trainer, settings.prompt_format, settings.sampling)
            path = self.store_root / store_name(arm, settings.problems)
            entry = ProbeEntry(
                state.global_step, str(path), settings.plan.to_json(), settings.verifier.verifier_id, 0.0
            )
            if accelerator.is_main_process:
                ProbeStore.create(path, arm, settings.problems).set_plan(settings.plan)
            accelerator.wait_for_everyone()
            store = ProbeStore.create(path, arm, settings.problems, writer=accelerator.process_index)
            self._draw(store, state.global_step)
            accelerator.wait_for_everyone()
            entry = replace(entry, scores=self._scores(store))
        self._done.add(state.global_step)
        narrowed = [False]
        if accelerator.is_main_process:
            narrowed = [self._record(replace(entry, seconds=round(time.monotonic() - started, 2)), state)]
        broadcast_object_list(narrowed)  # only the main process knows
        if narrowed[0]:
            self._act_on_narrowing(state.global_step, is_saved)

    def _record(self, entry: ProbeEntry, state: TrainerState) -> bool:
        """Adds the probe to the index and logs its metrics, unless it stands there; returns whether it narrowed."""
        index = ProbeIndex(self.run_dir)
        is_known = index.holds(entry)
        if not is_known:
            index.add(entry)
        metrics = self._metrics(state)
        if not is_known:
            self._log({**metrics, "probe/seconds": entry.seconds})
        is_last = index.entries()[-1].step == entry.step  # metrics are of the last; a restart may be before it
        return is_last and metrics.get(NARROWED, 0.0) > 0

    def _act_on_narrowing(self, step: int, is_saved: bool) -> None:
        """Warns, and sets the trainer's flags as the settings ask; a step that is saved is not saved again."""
        action, control = self.settings.on_narrowing, self.trainer.control
        if self.trainer.accelerator.is_main_process:
            logger.warning(
                "The probe at step %d shows a loss at k = %d against step 0: %s.", step, self.settings.k_max, action
            )
        if action in ("save", "stop") and not is_saved:
            control.should_save = True
        if action == "stop":
            control.should_training_stop = True

    def _log(self, metrics: dict[str, float]) -> None:
        """Logs through the trainer and leaves its own logging of this step as it was due."""
        control = self.trainer.control
        was_due = control.should_log
        # Trainer.log itself: a subclass's log would flush half-gathered training metrics here.
        Trainer.log(self.trainer, metrics)
        # Logging clears this flag; the step's own loss would never be logged.
        control.should_log = was_due

    def _metrics(self, state: TrainerState) -> dict[str, float]:
        """Returns what `after_probe` makes of the probe; a failure there does not end the training."""
        if self.after_probe is None:
            return {}
        try:
            return self.after_probe(state.log_history)
        except RlvrError as error:
            logger.warning("The probe at step %d is stored, but not summarised: %s", state.global_step, error)
            return {}

    def _scores(self, store: ProbeStore) -> dict[str, Any] | None:
        """Returns what the live model says of its own first draws and of the first probe's."""
        if self.settings.num_scored == 0:
            return None
        entries = ProbeIndex(self.run_dir).entries()
        base = ProbeStore.open_existing(ProbeIndex(self.run_dir).store_path(entries[0])) if entries else None
        with live_model(self.trainer) as model:  # gathering weights takes all processes
            if not self.trainer.accelerator.is_main_process:
                return None
            return score_probe(
                model, self.trainer.processing_class, store, base, self.settings.prompt_format, self.settings.num_scored
            )

    def _draw(self, store: ProbeStore, step: int) -> None:
        """Makes this process's share of the draws, with a progress bar on the main process."""
        accelerator, settings = self.trainer.accelerator, self.settings
        mine = live_share(self.trainer, settings.problems)
        prompts = render_prompts(settings.problems, settings.prompt_format, self.trainer.processing_class)
        hidden = not accelerator.is_main_process or self.trainer.args.disable_tqdm
        bar = tqdm(total=0, desc=f"probe at step {step}", unit="draw", leave=False, disable=hidden)
        with bar, live_engine(self.trainer, store.arm) as engine:
            run_probe(engine, store, mine, prompts, settings.plan, settings.verifier, bar)
