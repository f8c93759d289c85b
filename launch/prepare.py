"""Turns a data set into a store: reads every recording, drops bad stretches, resamples, filters and normalises.

    python -m launch.prepare --config=configs/prepare_wfdb.py --config.dataset.root=DIR --store=DIR
    python -m launch.prepare --config=configs/prepare_wfdb.py --config.dataset.root=DIR --store=DIR \\
        --config.preprocess.ecg.high_hz=40 --config.preprocess.ecg.gate.flat_s=1 --config.workers=8

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


def main() -> None:
    import functools
    import signal

    from tqdm import tqdm

    from ecgjax.data import prepare

    # An exception, so that the half-written store is removed and the workers end, as after Ctrl-C.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    progress = functools.partial(tqdm, unit=" recordings")
    manifest = prepare.prepare(CONFIG.value, STORE.value, STRICT.value, OVERWRITE.value, progress)
    print(prepare.summary(manifest))
    print(f"store: {STORE.value}")


if __name__ == "__main__":
    cli.run(main)
