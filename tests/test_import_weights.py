"""Released weights as a run of ours: every array where it belongs, and what does not fit named."""

import numpy as np
import pytest

from ecgjax.errors import DataError, UserError
from ecgjax.interop import mapping, wer_ssl
from ecgjax.interop.mapping import Row, Table

SMALL = Table(
    rows=(
        Row("net.{n}.weight", (2, 6), "params/layer_{n}/kernel", (1, 0)),
        Row("net.{n}.bias", (2,), "params/b_{n}"),
        Row("conv", (2, 3, 4), "params/conv", (2, 0, 1)),
        Row("table", (3, 4), "params/table"),
    ),
    holes={"n": {"1": "a", "2": "b"}},
    copies=(("twin.{n}.bias", "net.{n}.bias"),),
    left_over=(r"old\..*",),
)
OURS = {
    "params/layer_a/kernel": (3, 2, 2),
    "params/layer_b/kernel": (6, 2),
    "params/b_a": (2,),
    "params/b_b": (1, 2),
    "params/conv": (4, 2, 3),
    "params/table": (2, 6),
}


def theirs(table: Table = SMALL, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    rows, copies = mapping.expand(table)
    arrays = {row.theirs: rng.standard_normal(row.shape) for row in rows}
    return arrays | {copy: arrays[original].copy() for copy, original in copies.items()}


def test_arrays_go_where_the_table_says():
    given = theirs() | {"old.weight": np.ones(3)}
    found = mapping.convert(SMALL, given, OURS, "file")
    assert {name: array.shape for name, array in found.items()} == OURS
    assert {array.dtype for array in found.values()} == {np.dtype("float32")}
    np.testing.assert_allclose(found["params/layer_b/kernel"], given["net.2.weight"].T, rtol=1e-6)
    np.testing.assert_allclose(found["params/layer_a/kernel"][1, 0], given["net.1.weight"][:, 2], rtol=1e-6)
    np.testing.assert_allclose(found["params/conv"][3, 1, 2], given["conv"][1, 2, 3], rtol=1e-6)
    np.testing.assert_allclose(found["params/table"].ravel(), given["table"].ravel(), rtol=1e-6)
    np.testing.assert_allclose(found["params/b_b"][0], given["net.2.bias"], rtol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"net.1.bias": None}, "lacks: net.1.bias"),
        ({"net.3.bias": np.ones(2)}, "has arrays that are not of this model: net.3.bias"),
        ({"net.1.weight": np.ones((6, 2))}, r"has other shapes: net.1.weight \(6, 2\) instead of \(2, 6\)"),
        ({"net.2.bias": np.array([1, np.nan]), "twin.2.bias": None}, "has numbers that are not finite: net.2.bias"),
        ({"twin.1.bias": np.ones(2)}, "has copies that differ from their originals: twin.1.bias"),
        ({f"x{i}": np.ones(1) for i in range(7)}, "x4 and 2 more"),
        ({"net.1.bias": None, "net.1.weight": np.ones(1)}, "lacks: net.1.bias; has other shapes: net.1.weight"),
        ({"net.1.bias": "text"}, "something else than arrays by name"),
    ],
    ids=str,
)
def test_what_does_not_fit_is_named(change, message):
    given = {name: array for name, array in (theirs() | change).items() if array is not None}
    with pytest.raises(DataError, match=f"file: .*{message}"):
        mapping.convert(SMALL, given, OURS, "file")


@pytest.mark.parametrize(
    "change",
    [{"params/b_a": (3,)}, {"params/more": (2,)}, {"params/b_a": None}, {"params/b_a": None, "params/c": (2,)}],
)
def test_another_model_of_ours_is_refused(change):
    ours = {name: shape for name, shape in (OURS | change).items() if shape is not None}
    with pytest.raises(UserError, match=f"the config's model is not the one in file: {list(change)[0]}"):
        mapping.convert(SMALL, theirs(), ours, "file")


def test_copies_may_be_absent():
    given = {name: array for name, array in theirs().items() if not name.startswith("twin")}
    assert mapping.convert(SMALL, given, OURS, "file")


def test_the_released_files_have_as_many_numbers_as_they_were_counted_to_have():
    """172,091 with the copies, what is left over and the three counters of steps."""
    rows, copies = mapping.expand(wer_ssl.TABLE)
    shapes = {row.theirs: row.shape for row in rows}
    sizes = {name: int(np.prod(shape)) for name, shape in shapes.items()}
    params = sum(size for row, size in zip(rows, sizes.values(), strict=True) if row.ours.startswith("params/"))
    assert params == 147_794
    everything = sum(sizes.values()) + sum(sizes[original] for original in copies.values())
    assert everything + (128 * 64 + 64) + (192 * 6 + 6) + 3 == 172_091
