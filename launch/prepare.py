"""Turns a data set into a store: reads every recording, drops bad stretches, resamples, filters and normalises.

    python -m launch.prepare --config=configs/prepare_wfdb.py --config.dataset.root=DIR --store=DIR
    python -m launch.prepare --config=configs/prepare_wfdb.py --config.dataset.root=DIR --store=DIR \\
        --config.preprocess.ecg.high_hz=40 --config.preprocess.ecg.gate.flat_s=1 --config.workers=8

On many machines, by a runner of Apache Beam, with data and store on a file system that all of them mount:

    python -m launch.prepare --config=configs/prepare_icentia11k.py --config.dataset.root=/shared/icentia11k \\
        --store=/shared/stores/icentia11k --beam="--runner=FlinkRunner --flink_master=HOST:8081 --parallelism=64 \\
        --environment_type=EXTERNAL --environment_config=localhost:50000"

Writes into --store: signals/, index/ and manifest.json, all at once or not at all. Ends with what was kept, what was
dropped and why; the manifest keeps the same.
"""

import sys

from absl import flags

from launch import cli

CONFIG = cli.define_config_flag()
STORE = flags.DEFINE_string("store", None, "folder to make", required=True)
STRICT = flags.DEFINE_bool("strict", False, "stop at the first file that cannot be used, instead of leaving it out")
OVERWRITE = flags.DEFINE_bool("overwrite", False, "replace an existing store, once the new one is complete")

BEAM = flags.DEFINE_string(
    "beam", "", "prepare on Apache Beam, by these flags of its own; data and store on a file system all workers mount"
)


def main() -> None:
    import functools
    import shlex
    import signal

    from tqdm import tqdm

    from ecgjax.data import prepare, prepare_beam

    # An exception, so that the half-written store is removed and the workers end, as after Ctrl-C.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    progress = functools.partial(tqdm, unit=" recordings")
    deal = prepare_beam.deal_by(shlex.split(BEAM.value)) if BEAM.value else prepare.deal_locally
    manifest = prepare.prepare(CONFIG.value, STORE.value, STRICT.value, OVERWRITE.value, progress, deal)
    print(prepare.summary(manifest))
    print(f"store: {STORE.value}")


if __name__ == "__main__":
    cli.run(main)
