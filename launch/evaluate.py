"""Scores a trained model on a store of people it has not seen.

    python -m launch.evaluate --checkpoint=WORKDIR --config.data.store=DIR --out=DIR

The config is that of the run; any field can be overridden. People the model was trained or selected on are left out
and told, by their names, and by their recordings wherever those lie now. Writes report.html, predictions.npz,
results.json and results.md, and prints the scores with their intervals; what an earlier evaluation left in --out is
replaced with --overwrite alone. On several hosts, start the same command on each with --distributed.
"""

from pathlib import Path

from absl import flags

from launch import cli

CHECKPOINT = flags.DEFINE_string("checkpoint", None, "folder of the training run", required=True)
OUT = flags.DEFINE_string("out", None, "folder for predictions, results and report", required=True)
OVERWRITE = flags.DEFINE_bool("overwrite", False, "replace the report and the results of an evaluation in --out")
CONFIG = cli.define_config_flag("another config than the run's own", from_flag="checkpoint")
DISTRIBUTED = cli.define_distributed_flag()


def main() -> None:
    from ecgjax.data.corpus import check_store
    from ecgjax.data.pipeline import open_stores
    from ecgjax.evaluation import apply, summary
    from ecgjax.training import mesh

    mesh.start(DISTRIBUTED.value)
    out = Path(OUT.value)
    mesh.on_first(lambda: check_out(out))
    model = apply.load(Path(CHECKPOINT.value), CONFIG.value)
    stores = open_stores(CONFIG.value.data)
    for store in stores:
        check_store(store, model.about, model.about["modalities"], CONFIG.value.data.optional)
    windows, left_out = apply.find_unseen(model, stores)
    windows = apply.with_labels(model, stores, windows)
    told = summary.report_evaluation(model, stores, windows, left_out, out)
    mesh.on_first(lambda: print(told))


def check_out(out: Path) -> None:
    """Refuses a place that would fail after the work, or cost results the user has."""
    from ecgjax.errors import UserError

    if out.exists() and not out.is_dir():
        raise UserError(f"--out={out}: that is a file. Name a folder, or one that is yet to be made.")
    cli.refuse_existing((out / "report.html", out / "results.json"), OVERWRITE.value)


if __name__ == "__main__":
    cli.run(main)
