import dataclasses
import importlib
import itertools
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import toy

from ecgjax import plain
from ecgjax.data.prepare import Preparation, prepare, summary
from ecgjax.data.store import open_store, verify_store
from ecgjax.errors import DataError, UserError
from ecgjax.signals import preprocess
from ecgjax.signals.recording import Label

ROOT = Path(__file__).parents[1]


def preparation(workers: int = 1, **dataset) -> Preparation:
    return Preparation(dataset=toy.Config(**dataset), workers=workers)


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_data_set_becomes_a_store(tmp_path):
    manifest = prepare(preparation(), tmp_path / "store")
    store = verify_store(tmp_path / "store")
    assert store.manifest == manifest and store.index["key"].tolist() == [f"r{i}" for i in range(6)]
    assert manifest["subjects"] == ["s0", "s1", "s2"] and manifest["num_recordings"] == 6
    assert manifest["dataset"]["name"] == "toy" and manifest["dataset"]["config"]["num_recordings"] == 6
    assert manifest["labels"]["mood"]["classes"] == ["calm", "tense"] and manifest["labels"]["arousal"]["high"] == 9
    assert plain.from_dict(preprocess.Config, manifest["preprocess"]) == preprocess.Config()
    # two recordings of one subject, in mV 1 : 2
    first, second = (store.signals["ecg"][a : a + 2560].std() for a in (0, 2560))
    assert second / first == pytest.approx(2.0, rel=0.1) and (first**2 + second**2) / 2 == pytest.approx(1.0, rel=1e-3)


def test_the_number_of_workers_changes_no_byte(tmp_path):
    faults = ("r2:truncated", "r4:flat")
    made = []
    for workers in (1, 3):
        prepare(preparation(workers, num_recordings=9, faults=faults), tmp_path / str(workers))
        made.append(contents(tmp_path / str(workers)))
    assert made[0].keys() == made[1].keys()
    for name in made[0]:
        assert made[0][name] == made[1][name], name


def test_recordings_of_one_file_are_read_by_one_process(tmp_path):
    events = prepare(preparation(3, num_recordings=9, in_a_file=4), tmp_path / "store")["events"]
    assert sorted((event.split()[1], count) for event, count in events.items()) == [("0", 4), ("1", 4), ("2", 1)]
    assert open_store(tmp_path / "store").index["key"].tolist() == [f"r{i}" for i in range(9)]


def test_a_bad_file_is_counted_and_left_out(tmp_path):
    faults = ("r1:truncated", "r3:flat", "r4:truncated", "r5:two leads")
    manifest = prepare(preparation(faults=faults), tmp_path / "store")
    assert open_store(tmp_path / "store").index["key"].tolist() == ["r0", "r2"]
    assert manifest["skipped_files"] == {
        "no good signal": ["r3: ecg: 20 s padding"],
        "number of channels differs": [
            "r5: number of channels differs. It has 2 channels of ecg, others 1. "
            "Choose them by --config.dataset.channels."
        ],
        "truncated": ["r1: truncated. Fetch it again.", "r4: truncated. Fetch it again."],
    }
    assert manifest["dropped"] == {"ecg": {"padding": 20.0}}
    told = summary(manifest)
    for line in ("toy: 2 subjects, 2 recordings", "ecg: 0.01 h kept, 128 Hz, II in mV", "left out, truncated: 2"):
        assert line in told
    assert "dropped 33.3%: padding 20 s" in told


@pytest.mark.parametrize("workers", [1, 2])
def test_a_file_that_cannot_be_opened_stops_nothing_but_itself(tmp_path, workers):
    faults = ("r1:no permission", "r2:bad sector")
    manifest = prepare(preparation(workers, faults=faults), tmp_path / "store")
    assert manifest["num_recordings"] == 4 and manifest["skipped_files"] == {
        "unreadable": [
            "r1: unreadable. r1.edf: Permission denied. Check its permissions and its disk.",
            "r2: unreadable. r2.edf: Input/output error. Check its permissions and its disk.",
        ]
    }
    with pytest.raises(DataError, match="r1: unreadable. r1.edf: Permission denied"):
        prepare(preparation(workers, faults=faults), tmp_path / "strict", strict=True)


@pytest.mark.parametrize("workers", [1, 2])
def test_strict_ends_with_the_first_bad_file(tmp_path, workers):
    with pytest.raises(DataError, match="r0: truncated. Fetch it again."):
        prepare(preparation(workers, faults=("r0:truncated", "r1:no channel")), tmp_path / "store", strict=True)
    assert list(tmp_path.iterdir()) == []


def test_labels_off_their_scale_are_dropped_and_counted(tmp_path, monkeypatch):
    values = {"mood": (0.0, 1.0, 2.0, 0.5), "arousal": (1.0, 9.0, 0.9, 9.5, float("nan"))}
    labels = tuple(
        Label(name, 2.0 * i, 2.0 * i + 2, v) for name, all_of in values.items() for i, v in enumerate(all_of)
    )
    load = toy.Toy.load
    monkeypatch.setattr(toy.Toy, "load", lambda self, key: dataclasses.replace(load(self, key), labels=labels))
    manifest = prepare(preparation(num_recordings=2), tmp_path / "store")
    assert manifest["events"] == {"label_outside_its_scale": 2 * 4}
    np.testing.assert_array_equal(open_store(tmp_path / "store").index["label/value"], 2 * [0, 1, 1, 9, np.nan])


def test_the_same_signal_of_two_people_is_counted(tmp_path, monkeypatch):
    load = toy.Toy.load
    monkeypatch.setattr(toy.Toy, "load", lambda self, key: dataclasses.replace(load(self, "r0"), key=key, subject=key))
    manifest = prepare(preparation(num_recordings=3), tmp_path / "copies")
    assert manifest["events"] == {"same_signal_as_another_subject": 2}
    monkeypatch.setattr(toy.Toy, "load", lambda self, key: dataclasses.replace(load(self, "r0"), key=key))
    assert prepare(preparation(num_recordings=3), tmp_path / "one")["events"] == {}


def test_strict_is_about_files_not_about_leads_that_were_off(tmp_path):
    manifest = prepare(preparation(num_recordings=2, faults=("r0:flat",)), tmp_path / "store", strict=True)
    assert manifest["num_recordings"] == 1 == len(open_store(tmp_path / "store").index["key"])


def test_no_usable_recording_is_a_user_error(tmp_path):
    with pytest.raises(UserError, match=r"toy: none of 2 recordings is usable: .*truncated \(1\), such as r0"):
        prepare(preparation(num_recordings=2, faults=("r0:truncated", "r1:flat")), tmp_path / "store")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("workers", [1, 2])
def test_other_mistakes_end_it(tmp_path, workers):
    with pytest.raises(UserError, match="the pattern is wrong"):
        prepare(preparation(workers, num_recordings=2, faults=("r0:mistake", "r1:mistake")), tmp_path / "store")
    assert list(tmp_path.iterdir()) == []


def test_a_dead_worker_is_one_clear_error(tmp_path):
    with pytest.raises(UserError, match=r"A worker process died.*one of r0, r1\. .*--config.workers=1"):
        prepare(preparation(2, num_recordings=2, faults=("r0:dies", "r1:dies")), tmp_path / "store")
    assert list(tmp_path.iterdir()) == []


def test_mistakes_are_met_before_any_work(tmp_path):
    steps = preprocess.Config()
    steps.ecg.high_hz = 70.0
    with pytest.raises(UserError, match="preprocess.ecg.high_hz"):
        prepare(Preparation(toy.Config(faults=("r0:dies",)), steps), tmp_path / "store")
    with pytest.raises(UserError, match="workers is -1"):
        prepare(preparation(-1, faults=("r0:dies",)), tmp_path / "store")
    prepare(preparation(num_recordings=1), tmp_path / "store")
    with pytest.raises(UserError, match="--overwrite"):
        prepare(preparation(faults=("r0:dies",)), tmp_path / "store")


def test_progress_sees_every_recording(tmp_path):
    seen = []

    def progress(results, total):
        for count in itertools.count():
            if (result := next(results, None)) is None:
                return
            seen.append((count, total))
            yield result

    prepare(preparation(faults=("r1:truncated",)), tmp_path / "store", progress=progress)
    assert seen == [(i, 6) for i in range(6)]


def test_workers_need_no_jax():
    code = "import sys, ecgjax.data.prepare; print('jax' in sys.modules, 'scipy' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout == "False False\n"


@pytest.mark.parametrize("file", sorted((ROOT / "configs").glob("prepare_*.py")), ids=lambda file: file.stem)
def test_config_files_say_how_they_are_used(file):
    made = importlib.import_module(f"configs.{file.stem}")
    assert f"--config=configs/{file.name}" in made.__doc__
    told = made.get_config()
    preprocess.check(told.preprocess)
    assert told.workers == 0 and plain.to_dict(told)["dataset"]["class"].startswith("ecgjax.datasets.")


CONFIG = """
import toy
from ecgjax.data.prepare import Preparation
def get_config():
    return Preparation(toy.Config(faults=("r1:truncated",)))
"""


@pytest.fixture
def config_file(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "tests"))
    (tmp_path / "toy_config.py").write_text(CONFIG)
    return tmp_path / "toy_config.py"


def test_the_script(tmp_path, run_module, config_file):
    call = ("launch.prepare", f"--config={config_file}", f"--store={tmp_path / 'store'}", "--config.workers=1")
    done = run_module(*call, "--config.preprocess.ecg.high_hz=40", "--config.preprocess.ecg.gate.flat_s=2")
    assert done.returncode == 0, done.stderr
    assert "toy: 3 subjects, 5 recordings" in done.stdout and "left out, truncated: 1" in done.stdout
    assert "6/6" in done.stderr
    store = verify_store(tmp_path / "store")
    assert store.manifest["preprocess"]["ecg"]["high_hz"] == 40.0
    assert store.manifest["preprocess"]["ecg"]["gate"]["flat_s"] == 2.0
    power_F = np.abs(np.fft.rfft(store.signals["ecg"][:2560, 0])) ** 2  # bins of 0.05 Hz
    assert power_F[1000:].mean() < 0.1 * power_F[600:800].mean()

    again = run_module(*call)
    assert again.returncode == 2 and again.stderr.count("\n") == 1 and "--overwrite" in again.stderr
    strict = run_module(*call, "--overwrite", "--strict")
    assert strict.returncode == 2 and "r1: truncated. Fetch it again." in strict.stderr
    assert verify_store(tmp_path / "store").manifest == store.manifest
    assert run_module(*call, "--overwrite").returncode == 0
    assert verify_store(tmp_path / "store").manifest != store.manifest


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="asks /proc for child processes")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_workers_end_with_a_killed_parent(tmp_path, config_file, number, code):
    config_file.write_text(CONFIG.replace('faults=("r1:truncated",)', "num_recordings=2000"))
    command = ["-m", "launch.prepare", f"--config={config_file}", f"--store={tmp_path / 'store'}", "--config.workers=2"]
    with subprocess.Popen([sys.executable, *command], cwd=ROOT, stderr=subprocess.PIPE, text=True) as parent:
        seen = ""
        while "2/2000" not in seen:  # the workers are at work
            assert (more := parent.stderr.read(1)), seen
            seen += more
        workers = children(parent.pid)
        assert len(workers) == 3  # and the resource tracker
        parent.send_signal(number)
        assert parent.wait() == code
    deadline = time.monotonic() + 30
    while any(Path(f"/proc/{worker}").exists() for worker in workers):
        assert time.monotonic() < deadline, "workers outlive their parent"
        time.sleep(0.05)
    left = [path.name for path in tmp_path.iterdir() if path != config_file and path.name != "__pycache__"]
    assert left == (["store.preparing"] if number == signal.SIGKILL else [])


def test_help_answers_at_once(run_module):
    start = time.perf_counter()
    done = run_module("launch.prepare", "--help")
    assert done.returncode == 0 and "--overwrite" in done.stdout
    assert time.perf_counter() - start < 2.0


HOLTER = """
import sys
from pathlib import Path
import numpy as np
sys.path[:0] = ["tests", "."]
import toy
from ecgjax.data.prepare import Preparation, prepare
from ecgjax.signals.recording import Recording, Signal

class Day:
    name, label_specs = "day", {}
    def keys(self):
        return ("r0",)
    def load(self, key):
        minute_T = toy.ecg(60.0, 250.0).astype(np.float32)
        samples_TC = np.stack([np.tile(scale * minute_T, 24 * 60) for scale in (1.0, -0.7, 0.4)], axis=1)
        return Recording(key, "s", {"ecg": Signal(samples_TC, 250.0, "mV", ("I", "II", "V1"))})

class Config:
    def make(self):
        return Day()

if __name__ == "__main__":
    import dataclasses
    Config = dataclasses.dataclass(Config)
    manifest = prepare(Preparation(Config(), workers=1), sys.argv[1])
    # Not getrusage, whose peak is that of the process which started this one where that is higher.
    peak = next(line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line)
    print(manifest["modalities"]["ecg"]["hours"], int(peak) / 2**20)
"""


@pytest.mark.slow
def test_a_day_of_three_leads_takes_less_than_two_gibibytes(tmp_path):
    command = [sys.executable, "-c", HOLTER, str(tmp_path / "store")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    hours, gibibytes = map(float, done.stdout.split())
    assert hours > 23.9 and gibibytes < 2.0
