"""Cross-validates over subjects: trains and tests every fold, prints the table with baselines, writes the report.

    python -m launch.crossval --config=configs/vazquez2022_finetune.py:small --config.data.store=DIR --workdir=DIR \
        --config.data.label.name=arousal --config.init_from=PRETRAINING_WORKDIR

Every fold is an ordinary run in WORKDIR/fold_NN; run the command again to go on after a stop. The split is by whole
subjects unless --config.data.split.protocol=window asks for a paper's optimistic one. Writes predictions.npz,
results.json, results.md and report.html. On several hosts, start the same command on each with --distributed.
"""

from pathlib import Path

from absl import flags

from launch import cli

CONFIG = cli.define_config_flag()
WORKDIR = flags.DEFINE_string("workdir", None, "folder of this cross-validation", required=True)
DISTRIBUTED = cli.define_distributed_flag()


def main() -> None:
    from ecgjax.evaluation import protocols, summary
    from ecgjax.training import mesh

    mesh.start(DISTRIBUTED.value)
    folder = Path(WORKDIR.value)
    found = protocols.cross_validate(CONFIG.value, folder)
    table, report = summary.report_cross_validation(CONFIG.value, found, folder)
    mesh.on_first(lambda: print(f"\n{table}\n\nreport: {report}"))


if __name__ == "__main__":
    cli.run(main)
