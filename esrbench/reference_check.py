"""Compare one tile of the reference with float64.

What every picture is compared with must not be taken on trust: a switch, a patched library or a broken processor can
make fp32 arithmetic less than that. torch computes float64 convolutions with a general matrix product; oneDNN, whose
switches lower the precision of fp32, has no float64.
"""

import time

import numpy as np
import numpy.typing as npt

from esrbench import checkpoints, fidelity
from esrbench.artifact import LocatedArtifact
from esrbench.record import ReferenceCheck
from esrbench.runner import Session, Tiles, float_tiles
from esrbench.target import Precision

SIDE_PX = 24
"""Of the tile that is drawn twice. In float64 realesrgan-x4plus takes 0.94 s of a core for 24², 3.9 s for 48².

torch's fp32 lies 136.9 dB from it at 16², 137.4 at 24², 136.5 at 48² (measured)."""


def check(session: Session, artifact: LocatedArtifact, tile: Tiles) -> ReferenceCheck:
    """Compare both drawings of the middle of ``(1, H, W, 3)``."""
    begin_s = time.perf_counter()
    crop = _middle(tile, artifact.artifact.spec.unshuffle)
    difference = session.run(crop).astype(np.float64) - evaluated(artifact, crop)
    return ReferenceCheck(
        side_px=crop.shape[1],
        mse=float(np.mean(difference**2)) if np.isfinite(difference).all() else 1.0,
        seconds=time.perf_counter() - begin_s,
    )


def failure(found: ReferenceCheck) -> str | None:
    """Explain why the reference is not fp32, or return None."""
    needed_db, db = fidelity.gate_db(Precision.FP32), fidelity.psnr_db(found.mse)
    if db >= needed_db:
        return None
    return (
        f"it computes with less than fp32 precision: a tile of {found.side_px} px evaluated in float64 differs to "
        f"{db:.1f} dB; {needed_db:g} dB or more are needed"
    )


REMEDY = (
    "look for what changes torch's arithmetic: a patched torch, a sitecustomize, a file in site-packages; "
    "variables of the environment are dropped already"
)


def evaluated(artifact: LocatedArtifact, tile: Tiles) -> npt.NDArray[np.float64]:
    """Evaluate the network of a checkpoint in float64.

    Returns ``(1, sH, sW, 3)``, not clipped.
    """
    import torch  # noqa: PLC0415  (only where the reference is drawn)

    from esrbench.model import network  # noqa: PLC0415  (imports torch)

    net = network(checkpoints.read(artifact.path(), artifact.artifact.model)).double()
    planes = torch.from_numpy(float_tiles(tile).astype(np.float64)).permute(0, 3, 1, 2)
    with torch.inference_mode():
        output: npt.NDArray[np.float64] = net(planes).permute(0, 2, 3, 1).numpy()
    return output


def _middle(tile: Tiles, multiple: int) -> Tiles:
    """Cut the middle to a side that the network takes."""
    side = max(multiple, min(SIDE_PX, *tile.shape[1:3]) // multiple * multiple)
    top, left = ((length - side) // 2 for length in tile.shape[1:3])
    return tile[:, top : top + side, left : left + side].copy()
