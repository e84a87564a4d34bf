"""How far single steps of MiVOS are off in half precision, from the same memory.

The frames, memories and expected numbers are the reference numbers that the tests compare with,
`golden/mivos_prop.npz` in the folder that NAPARI_VOS_REFERENCE names; weights are generated.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from reporting import add_out, write_report

from napari_vos.device import PRECISIONS, choose_device
from napari_vos.engines.mivos_bank import Memory, SpaceTimeBank
from napari_vos.engines.mivos_frozen import Frozen
from napari_vos.engines.mivos_model import MivosModel
from napari_vos.networks.mivos import PropagationNetwork, aggregate

if TYPE_CHECKING:
    from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1]))

TOP_K = 50


@torch.inference_mode()
def compare_steps(device: torch.device, dtype: torch.dtype) -> dict[str, Any]:
    """Return how far keys, values, probabilities and labels are off on the reference frames."""
    from tests.golden import fill, golden_arrays, normalized

    network, golden = PropagationNetwork(), golden_arrays("mivos_prop")
    fill(network, "mivos_prop")
    model = MivosModel(network.to(device, dtype), None, dtype, top_k=TOP_K, batch_size=3)
    frames, masks = normalized(golden["frames_u8"]).to(device), golden["masks"][0].to(device)
    alone = Frozen.of(masks[:0])
    query, memory = model.encode(frames[3:]), model.memorize(frames[:1], masks, alone)
    bank = SpaceTimeBank()
    for t in range(3):
        parts = (
            golden[f"mem_{part}_k3_T3"][:, :, t].flatten(2).transpose(1, 2).contiguous()
            for part in Memory._fields
        )
        bank.add(t, Memory(*(part.to(device, dtype) for part in parts)), keep=True)
    found = model.find(query, bank, alone).cpu()
    expected = aggregate(golden[f"seg_k3_T3_top{TOP_K}"])
    remembered = (golden[f"mem_{part}_k3_T3"][:, :, 0].flatten(2) for part in Memory._fields)
    difference = (found - expected).abs()
    return {
        "query_key": relative(query.key, golden["query_key"]),
        "query_value": relative(query.value, golden["query_value"]),
        **{
            f"memory_{name}": relative(part.transpose(1, 2), known)
            for name, part, known in zip(Memory._fields, memory, remembered, strict=True)
        },
        "mean_difference_of_probabilities": float(difference.mean()),
        "largest_difference_of_probabilities": float(difference.max()),
        "labels_that_differ": float((found.argmax(dim=0) != expected.argmax(dim=0)).float().mean()),
    }


def relative(actual: Tensor, expected: Tensor) -> float:
    """Return the norm of what is off, as a share of what is expected."""
    return float((actual.float().cpu() - expected).norm() / expected.norm())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--precision", nargs="+", default=["float32", "bfloat16"], choices=PRECISIONS[1:]
    )
    add_out(parser)
    args = parser.parse_args()
    device = choose_device(args.device)
    report = {name: compare_steps(device, getattr(torch, name)) for name in args.precision}
    write_report(report, args.out)


if __name__ == "__main__":
    main()
