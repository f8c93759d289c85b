"""The one training loop: pre-training, fine-tuning and probing are configs of it. Read this page first.

    corpus -> windows of this fold -> batches by step number -> train_step -> metrics, checkpoints -> scores

The position in the data, every random draw and the learning rate are functions of the step, so a run that is killed
and started again in the same folder ends with the same bits as one that was not.
"""

import dataclasses
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ecgjax import config
from ecgjax.config import Experiment
from ecgjax.data import pipeline
from ecgjax.data.corpus import Corpus, open_corpus
from ecgjax.data.pipeline import Gather, TrainSource
from ecgjax.data.staging import whole_file
from ecgjax.data.windows import describe_modality, having
from ecgjax.errors import NonFiniteLossError, Preempted, UserError
from ecgjax.tasks.base import Task
from ecgjax.training import checkpoint, features, inherit, optim, provenance, workdir
from ecgjax.training import mesh as meshes
from ecgjax.training.about import About, check_content, content_of, fingerprint
from ecgjax.training.checkpoint import Checkpoints
from ecgjax.training.evaluate import evaluate
from ecgjax.training.features import Features
from ecgjax.training.inherit import People
from ecgjax.training.preemption import Preemption
from ecgjax.training.program import Compiled, compile_program
from ecgjax.training.progress import ALONE, Part
from ecgjax.training.state import State
from ecgjax.training.writer import Writer


@dataclasses.dataclass(frozen=True)
class Run:
    """Everything of a run that does not change while it trains; the last two are known once it starts.

    Attributes:
      people: whom its weights have learnt from.
      commits: of the code that trained it, in turn where it was resumed by another.
    """

    experiment: Experiment
    folder: Path
    corpus: Corpus
    compiled: Compiled
    source: TrainSource
    eval_gather: Gather | Features
    rates: np.ndarray
    eval_every: int
    people: People = People()
    commits: tuple[str, ...] = ()

    @property
    def num_steps(self) -> int:
        return len(self.source)


def run(experiment: Experiment, folder: Path, part: Part = ALONE) -> tuple[Run, State]:
    """Trains in `folder`, from where an earlier run there stopped, and returns the run with its best state.

    The best state is that of the lowest (or highest) monitored metric on the validation windows; the last where the
    split keeps none aside.

    Raises:
      UserError: the config, the data or the folder does not allow the run.
      NonFiniteLossError: the loss or the weights became NaN or infinite.
      Preempted: a signal asked to stop; the state is saved.
    """
    config.check(experiment)
    with workdir.occupy(folder, experiment), Preemption() as preemption:
        this = set_up(experiment, folder)
        with _open_checkpoints(this) as checkpoints:
            this, state, history = _start(this, checkpoints)
            workdir.write_config(folder, experiment)
            this = _with_features(this, state)
            state, history = _fit(this, state, history, checkpoints, preemption, part)
        if history:
            state = checkpoint.restore(folder, this.compiled.abstract, which="best").state
        return this, state


def _open_checkpoints(this: Run) -> Checkpoints:
    task, train = this.compiled.program.task, this.experiment.train
    return Checkpoints(
        this.folder / checkpoint.FOLDER,
        monitor=task.monitor,
        monitor_mode=task.monitor_mode,
        keep_last=train.keep_last,
        keep_best=train.keep_best,
    )


def set_up(experiment: Experiment, folder: Path) -> Run:
    data, train = experiment.data, experiment.train
    corpus = open_corpus(data)
    _check_classes(experiment.task.make(), corpus)
    gather = pipeline.make_gather(corpus.stores, corpus.windows, data)
    order = pipeline.training_order(corpus.windows, corpus.train, data, experiment.seed)
    steps_per_epoch = len(corpus.train) / data.batch_size
    num_steps = max(math.ceil(train.num_epochs * steps_per_epoch), 1)
    source = TrainSource(gather, order, data.batch_size, num_steps)
    compiled = compile_program(experiment, source[0])
    meshes.check_batch_size(data.batch_size, compiled.mesh, "data.batch_size")
    meshes.check_batch_size(data.eval_batch_size, compiled.mesh, "data.eval_batch_size")
    return Run(
        experiment=experiment,
        folder=folder,
        corpus=corpus,
        compiled=compiled,
        source=dataclasses.replace(source, rows=meshes.rows_here(data.batch_size, compiled.mesh)),
        eval_gather=pipeline.make_gather(corpus.stores, corpus.eval_windows, data),
        rates=optim.learning_rates(experiment.optim, num_steps, steps_per_epoch),
        eval_every=max(round(train.eval_every_epochs * steps_per_epoch), 1),
    )


def _check_classes(task: Task, corpus: Corpus) -> None:
    if task.num_classes and not corpus.class_names:
        why = "data.label.deals_only is set" if corpus.label.deals_only else "data.label.name is empty"
        raise UserError(f"{why}, but the task learns classes. Name one of the store's labels to learn.")
    if task.num_classes and task.num_classes != len(corpus.class_names):
        raise UserError(
            f"task.num_classes={task.num_classes}, but the label has {len(corpus.class_names)} classes: "
            f"{', '.join(corpus.class_names)}. Set task.num_classes, or keep some by data.label.classes."
        )


def _start(this: Run, checkpoints: Checkpoints) -> tuple[Run, State, list[list[float]]]:
    """The newest sound checkpoint of this folder, or a fresh state (with another run's encoder, if one is named)."""
    experiment, abstract = this.experiment, this.compiled.abstract
    if checkpoints.steps():
        state, extra = checkpoints.restore(abstract)
        check_content(this.folder, extra, this.corpus.stores, experiment.init_from)
        goes_on = int(state.step) < this.num_steps and not _should_stop(this, extra["history"])
        commits = tuple(dict.fromkeys([*extra.get("commits", ()), *([provenance.commit()] if goes_on else ())]))
        return dataclasses.replace(this, people=inherit.people_of(extra), commits=commits), state, extra["history"]
    people = inherit.people_before(experiment).and_also(
        inherit.known_of(this.corpus), with_labels=this.compiled.program.task.num_classes > 0
    )
    state = this.compiled.init(jax.random.key(experiment.seed))
    if experiment.init_from:
        found = inherit.read_encoder(experiment, abstract, this.corpus.stores)
        state = state.replace(**{name: getattr(state, name) | {"encoder": part} for name, part in found.items()})
    return dataclasses.replace(this, people=people, commits=(provenance.commit(),)), state, []


def _with_features(this: Run, state: State) -> Run:
    """The run fed with the vectors of a frozen encoder, where the task asks for nothing else."""
    program, experiment = this.compiled.program, this.experiment
    if program.encoder_trains or not program.task.reads_pooled:
        return this

    def extract(gather: Gather) -> Features:
        return features.extract(this.compiled, state, gather, experiment.data.eval_batch_size, experiment.init_from)

    source = dataclasses.replace(this.source, gather=extract(this.source.gather))
    return dataclasses.replace(this, source=source, eval_gather=extract(this.eval_gather))


def _fit(
    this: Run,
    state: State,
    history: list[list[float]],
    checkpoints: Checkpoints,
    preemption: Preemption,
    part: Part,
) -> tuple[State, list[list[float]]]:
    data, train, start = this.experiment.data, this.experiment.train, int(state.step)
    unchecked: list[tuple[int, Any]] = []  # still on the device, looked at before anything is logged or saved
    with Writer(this.folder, train.tensorboard, this.num_steps, start, part=part) as writer:
        batches = _batches(this, start, writer)
        for step in range(start, this.num_steps):
            if _should_stop(this, history):
                break
            state, metrics = this.compiled.train_step(state, next(batches), this.rates[step])
            done = step + 1
            unchecked.append((step, (metrics["loss"], metrics.pop("finite"))))
            last, stop, due_eval = done == this.num_steps, preemption.stop_at(done), _due_eval(this, done)
            due_save = done % train.checkpoint_every_steps == 0 or last or stop
            if done % train.log_every_steps == 0 or last or due_eval or due_save:
                _refuse_non_finite(this, unchecked)
            if done % train.log_every_steps == 0 or last:
                scalars = _means(metrics) | {"learning_rate": this.rates[step]}
                writer.train(done, scalars, data.batch_size, data.window_s)
            if due_eval:
                scores, _ = evaluate(
                    this.compiled, state, this.eval_gather, this.corpus.validation, data.eval_batch_size
                )
                history = [*history, [done, scores[this.compiled.program.task.monitor]]]
                writer.evaluation(done, scores)
            if due_save or due_eval:
                meshes.on_first(writer.sync)  # a checkpoint must not be ahead of the rows that led to it
                checkpoints.save(done, state, scores if due_eval else {}, _about(this, history))
            if stop:
                checkpoints.wait()
                raise Preempted(f"stopped by a signal after step {done}, which is saved. The same command goes on.")
        checkpoints.wait()
    return state, history


def _batches(this: Run, start: int, writer: Writer) -> Iterator[Any]:
    """Global batches from step `start` on; the writer is told how long the loop waits for them."""
    stream = pipeline.stream(this.source, start)
    while True:
        before = time.perf_counter()
        batch = next(stream)
        writer.waited(time.perf_counter() - before)
        yield meshes.to_global(batch, this.compiled.mesh)


def _due_eval(this: Run, done: int) -> bool:
    return len(this.corpus.validation) > 0 and (done % this.eval_every == 0 or done == this.num_steps)


def _should_stop(this: Run, history: list[list[float]]) -> bool:
    """Whether the monitored metric has not improved for `patience_epochs`, in whole evaluations."""
    train = this.experiment.train
    if not train.patience_epochs or not history:
        return False
    best = best_step(history, this.compiled.program.task.monitor_mode)
    return sum(step > best for step, _ in history) * train.eval_every_epochs >= train.patience_epochs - 1e-9


def best_step(history: list[list[float]], mode: str) -> int:
    """The step of the best value; the earliest of equals."""
    values = [value for _, value in history]
    return int(history[values.index((min if mode == "min" else max)(values))][0])


def _means(metrics: dict[str, Any]) -> dict[str, float]:
    pairs = jax.device_get(metrics).items()
    return {name: float(total) / float(count) if count else math.nan for name, (total, count) in pairs}


def _refuse_non_finite(this: Run, unchecked: list[tuple[int, Any]]) -> None:
    """Stops at the first step whose loss, or the state it led to, is not finite. Its batch is made again, and saved."""
    for step, (loss, finite) in jax.device_get(unchecked):
        what = "the loss is" if not np.isfinite(loss).all() else "" if finite[0] else "the new weights are"
        if what:
            process = f"_process{jax.process_index()}" if jax.process_count() > 1 else ""
            path = this.folder / f"nonfinite_batch_step{step}{process}.npz"
            batch = this.source[step]
            flat = {"/".join(str(k.key) for k in keys): x for keys, x in jax.tree_util.tree_leaves_with_path(batch)}
            with whole_file(path, "wb") as file:
                np.savez(file, **flat)
            raise NonFiniteLossError(
                f"{what} not finite at step {step}. Its batch is saved in {path}. All that earlier checkpoints hold is "
                "finite, though the newest may be on its way there. Lower --config.optim.learning_rate, or set "
                "--config.optim.clip_norm=1, in a new --workdir."
            )
    unchecked.clear()


def _about(this: Run, history: list[list[float]]) -> dict[str, Any]:
    data, corpus = this.experiment.data, this.corpus
    return About(
        this.experiment,
        this.compiled,
        modalities={m: describe_modality(corpus.stores, m) for m in data.modalities},
        preprocess={m: having(corpus.stores, m)[0].manifest["preprocess"][m] for m in data.modalities},
        label=corpus.label,
        label_spec=corpus.stores[0].manifest["labels"].get(data.label.name),
        class_names=corpus.class_names,
        stores=fingerprint(corpus.stores),
        started_from=content_of(this.experiment.init_from),
        train_subjects=corpus.train_subjects,
        validation_subjects=corpus.validation_subjects,
        people=this.people,
        commits=this.commits,
        history=history,
    ).to_dict()
