"""A run's folder: one run at a time, and the same run when it is resumed.

It holds `lock`, `config.json` (the resolved config), `metrics.jsonl`, `checkpoints/`.
"""

import contextlib
import fcntl
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from absl import logging

from ecgjax import __version__, config, plain
from ecgjax.data.staging import disk_errors, whole_file
from ecgjax.errors import UserError
from ecgjax.training import mesh as meshes

CONFIG = "config.json"
LOCK = "lock"
# Fields that may differ when a run is resumed: the weights at a step do not depend on them, but for the rounding of
# another mesh. Which steps are still there at the end, and so which is the best of those, follows keep_last and
# keep_best. Whatever is not listed stops the run: num_epochs, as the schedules reach to the end of the run, and
# data.eval_batch_size, as a task's draws in an evaluation are a batch's, and the best step rests on them.
MAY_CHANGE = (
    "mesh",
    "data.store",  # the path; what it holds is compared when the checkpoint is restored
    "data.verify",
    "train.log_every_steps",
    "train.checkpoint_every_steps",
    "train.keep_last",
    "train.keep_best",
    "train.tensorboard",
)


@contextlib.contextmanager
def occupy(workdir: Path, experiment: config.Experiment) -> Iterator[None]:
    """Makes the folder, or compares the run in it with this one, and holds it while entered.

    The system drops the lock when the process dies, however it dies. Over NFS it holds between hosts only where the
    server's lock service runs; on a file system without locks the run goes on unlocked. Process 0 does it for all.

    Raises:
      UserError: another run holds the folder, it cannot be written, or it holds a run with other settings.
    """
    with contextlib.ExitStack() as held:

        def take() -> None:
            held.enter_context(_lock(Path(workdir)))
            if (Path(workdir) / CONFIG).exists():
                check_same(workdir, experiment)

        meshes.on_first(take)
        yield


def check_same(workdir: Path, experiment: config.Experiment) -> None:
    """Compares the run in a folder with this one. The content of its stores is compared with the checkpoint's.

    Raises:
      UserError: names each field that changed, with its old and new value.
    """
    was = plain.fill(read_config(workdir), experiment)
    changes = {
        name: values
        for name, values in plain.diff(was, plain.to_dict(experiment)).items()
        if not any(name == field or name.startswith(f"{field}.") for field in MAY_CHANGE)
    }
    if changes:
        shown = "; ".join(f"config.{name} was {was!r} and is {now!r}" for name, (was, now) in changes.items())
        raise UserError(
            f"{workdir}: holds another run, which cannot be resumed with other settings: {shown}. "
            "Set these back, or give a new --workdir."
        )


def read_config(workdir: Path) -> dict[str, Any]:
    """The resolved config of the run in a folder, as nested dicts (`plain.to_dict`).

    Raises:
      UserError: the folder holds no run, or the file is damaged.
    """
    path = Path(workdir) / CONFIG
    try:
        return json.loads(path.read_text(encoding="utf-8"))["experiment"]
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"{workdir}: holds no run (no {CONFIG}). Name the --workdir of launch.train.") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: cannot be read ({error}). Copy it again from where it is intact.") from None


def read_experiment(workdir: Path) -> config.Experiment:
    """The run's experiment, as it was trained.

    Raises:
      UserError: as `read_config`, or a field or class is unknown to this version.
    """
    return plain.from_dict(config.Experiment, read_config(workdir))


@contextlib.contextmanager
def _lock(workdir: Path) -> Iterator[None]:
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        file = (workdir / LOCK).open("a+", encoding="utf-8")
    except OSError as error:
        raise UserError(f"{workdir}: cannot be written ({error.strerror}). Give another --workdir.") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise UserError(
                f"{workdir}: in use by another run ({file.read().strip() or 'unknown'}). "
                "Wait for it, stop it, or give another --workdir."
            ) from None
        except OSError as error:
            logging.warning("%s: cannot be locked (%s); start no second run there.", workdir, error.strerror)
        with disk_errors(workdir / LOCK):
            file.truncate(0)
            file.write(f"pid {os.getpid()} on {socket.gethostname()}\n")
            file.flush()
        yield


def write_config(workdir: Path, experiment: config.Experiment) -> None:
    """Makes the folder this run's own. Call it once nothing more can be wrong with the config or the data.

    Raises:
      UserError: the file cannot be written.
    """
    content = {"ecgjax_version": __version__, "experiment": plain.to_dict(experiment)}

    def write() -> None:
        with whole_file(Path(workdir) / CONFIG) as file:
            file.write(json.dumps(content, indent=2) + "\n")

    meshes.on_first(write)
