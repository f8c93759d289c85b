"""The weights that Wu, Daoudi & Amad (TAFFC 2023) released: pre-trained on EDA, BVP and temperature of the wrist.

Names and shapes are those of the two released files. What the network was fed is not told with them: see `fed`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ecgjax.config import Experiment
from ecgjax.errors import DataError, UserError
from ecgjax.interop.mapping import Row, Table
from ecgjax.models import tcn_transformer
from ecgjax.signals import preprocess, published
from ecgjax.tasks import modality_recognition

_TCN, _LAYER = "model_fusion.tcn{m}.network", "model_fusion.transformer_encoder.layers.0"
_OUR_TCN, _OUR_LAYER = "params/encoder/tcn_{m}", "params/encoder/layer_0"

TABLE = Table(
    rows=(
        Row(_TCN + ".0.conv1.weight_v", (16, 1, 6), _OUR_TCN + "/block_0/conv_0/v", (2, 1, 0)),
        Row(_TCN + ".0.conv2.weight_v", (16, 16, 6), _OUR_TCN + "/block_0/conv_1/v", (2, 1, 0)),
        Row(_TCN + ".1.conv{c}.weight_v", (16, 16, 6), _OUR_TCN + "/block_1/conv_{c}/v", (2, 1, 0)),
        Row(_TCN + ".{b}.conv{c}.weight_g", (16, 1, 1), _OUR_TCN + "/block_{b}/conv_{c}/g"),
        Row(_TCN + ".{b}.conv{c}.bias", (16,), _OUR_TCN + "/block_{b}/conv_{c}/bias"),
        Row(_TCN + ".0.downsample.weight", (16, 1, 1), _OUR_TCN + "/block_0/skip/kernel", (2, 1, 0)),
        Row(_TCN + ".0.downsample.bias", (16,), _OUR_TCN + "/block_0/skip/bias"),
        Row("model_fusion.project_{m}.weight", (128, 16), "params/encoder/project_{m}/kernel", (1, 0)),
        Row("model_fusion.project_{m}.bias", (128,), "params/encoder/project_{m}/bias"),
        Row("model_fusion.layernorm_{m}.weight", (128,), "params/encoder/norm_{m}/scale"),
        Row("model_fusion.layernorm_{m}.bias", (128,), "params/encoder/norm_{m}/bias"),
        # query, key and value stacked, each with its heads stacked
        Row(_LAYER + ".self_attn.in_proj_weight", (384, 128), _OUR_LAYER + "/attention/qkv/kernel", (1, 0)),
        Row(_LAYER + ".self_attn.in_proj_bias", (384,), _OUR_LAYER + "/attention/qkv/bias"),
        Row(_LAYER + ".self_attn.out_proj.weight", (128, 128), _OUR_LAYER + "/attention/out/kernel", (1, 0)),
        Row(_LAYER + ".self_attn.out_proj.bias", (128,), _OUR_LAYER + "/attention/out/bias"),
        Row(_LAYER + ".linear1.weight", (128, 128), _OUR_LAYER + "/mlp_in/kernel", (1, 0)),
        Row(_LAYER + ".linear1.bias", (128,), _OUR_LAYER + "/mlp_in/bias"),
        Row(_LAYER + ".linear2.weight", (128, 128), _OUR_LAYER + "/mlp_out/kernel", (1, 0)),
        Row(_LAYER + ".linear2.bias", (128,), _OUR_LAYER + "/mlp_out/bias"),
        Row(_LAYER + ".norm1.weight", (128,), _OUR_LAYER + "/attention_norm/scale"),
        Row(_LAYER + ".norm1.bias", (128,), _OUR_LAYER + "/attention_norm/bias"),
        Row(_LAYER + ".norm2.weight", (128,), _OUR_LAYER + "/mlp_norm/scale"),
        Row(_LAYER + ".norm2.bias", (128,), _OUR_LAYER + "/mlp_norm/bias"),
        # fc1 to fc3 are the hidden layers of the heads of EDA, BVP and temperature, fc21 to fc23 their outputs
        Row("fc{m}.weight", (64, 128), "params/head/{m}/hidden/kernel", (1, 0)),
        Row("fc{m}.bias", (64,), "params/head/{m}/hidden/bias"),
        Row("bn{m}.weight", (64,), "params/head/{m}/norm/scale"),
        Row("bn{m}.bias", (64,), "params/head/{m}/norm/bias"),
        Row("bn{m}.running_mean", (64,), "model_state/head/batch_stats/{m}/norm/mean"),
        Row("bn{m}.running_var", (64,), "model_state/head/batch_stats/{m}/norm/var"),
        Row("fc2{m}.weight", (6, 64), "params/head/{m}/out/kernel", (1, 0)),
        Row("fc2{m}.bias", (6,), "params/head/{m}/out/bias"),
    ),
    holes={
        "m": {"1": "eda", "2": "bvp", "3": "temp"},
        "b": {"0": "0", "1": "1"},
        "c": {"1": "0", "2": "1"},
        "p": {name: name for name in ("weight_g", "weight_v", "bias")},
    },
    # Each block holds its convolutions twice, under their own names and in the order they are run in.
    copies=((_TCN + ".{b}.net.0.{p}", _TCN + ".{b}.conv1.{p}"), (_TCN + ".{b}.net.4.{p}", _TCN + ".{b}.conv2.{p}")),
    left_over=(r"(model_fusion\.)?(project_embed|fc_final)\.(weight|bias)", r"bn[123]\.num_batches_tracked"),
)

_UNITS = {"eda": "uS", "bvp": "unknown", "temp": "degC"}


def arrays(saved: Any, path: str | Path) -> Any:
    """The state dict of a file, which tells an epoch and an optimizer's state beside it.

    Raises:
      DataError: there is none.
    """
    if not isinstance(saved, Mapping) or "state_dict_fusion" not in saved:
        raise DataError(path, "holds no state_dict_fusion", "Name a best_model.pth of WER-SSL's pretrained_models.")
    return saved["state_dict_fusion"]


def check(experiment: Experiment) -> None:
    """Raises a UserError where the config is of another network, though its arrays may have the same shapes."""
    for part, theirs in (("model", tcn_transformer.Config()), ("task", modality_recognition.Config())):
        ours, same = getattr(experiment, part), ("distortions", "hidden") if part == "task" else vars(theirs)
        for field in same:
            then, now = getattr(theirs, field), getattr(ours, field, None)
            if then != now and field not in getattr(theirs, "may_differ", ()):
                raise UserError(f"{part}.{field}={now}: the released weights are of {then}. Leave it as it is.")


def fed() -> tuple[dict[str, dict[str, Any]], dict[str, preprocess.Steps]]:
    """(modalities, preprocess), as a checkpoint tells them, of `published.wu2023`.

    Fed raw units, or windows z-scored one by one, the released weights recognise fewer distortions.
    """
    steps = {name: every for name, every in published.wu2023().steps().items() if name in _UNITS}
    modalities = {
        name: {
            "rate_hz": steps[name].resample_hz,
            "unit": unit,
            "channels": [name.upper()],
            "normalise": steps[name].normalise.name,
        }
        for name, unit in _UNITS.items()
    }
    return modalities, {name: steps[name] for name in _UNITS}
