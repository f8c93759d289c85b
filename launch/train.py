"""Trains a model: pre-training, fine-tuning or probing, as the config says. Run it again to go on after a stop.

    python -m launch.train --config=configs/vazquez2022_pretrain.py:small --config.data.store=DIR --workdir=DIR
    python -m launch.train --config=FILE --config.data.store=DIR1,DIR2 --config.init_from=OTHER_WORKDIR --workdir=DIR

Writes into the workdir: config.json, checkpoints/, metrics.jsonl, TensorBoard events and report.html.
On several hosts, start the same command on each with --distributed.
"""

from pathlib import Path

from absl import flags

from launch import cli

CONFIG = cli.define_config_flag()
WORKDIR = flags.DEFINE_string("workdir", None, "folder of this run", required=True)
DISTRIBUTED = cli.define_distributed_flag()


def main() -> None:
    from ecgjax.evaluation import summary
    from ecgjax.training import loop, mesh

    mesh.start(DISTRIBUTED.value)
    this, state = loop.run(CONFIG.value, Path(WORKDIR.value))
    path = summary.report_run(this, state)
    mesh.on_first(lambda: print(f"report: {path}"))


if __name__ == "__main__":
    cli.run(main)
