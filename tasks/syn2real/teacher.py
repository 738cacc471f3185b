"""What the backbone knew before it was trained: its features of a problem's images, computed once a data set.

All methods that hold on to ImageNet's knowledge ask the frozen backbone the same thing about the same images. Without
augmentation the answer is a constant, so it is kept: in this process, and for others in a file of the user's own below
the system's temporary folder, named by the hash of images, weights, device and threads.

n images, d features
"""

import hashlib
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from bench import UserError
from tasks.syn2real.backbones import Backbone
from tasks.syn2real.scoring import PIECE

KEPT = 2
"""Data sets whose features this process holds."""

_features: dict[str, Float[Tensor, "n d"]] = {}


def teacher_features(
    teacher: Backbone, images: UInt8[Tensor, "n 3 h w"], device: torch.device
) -> tuple[Float[Tensor, "n d"], float]:
    """The teacher's features of all images, on `device`, and the seconds spent on them: 0 if they were kept."""
    key = _key(teacher, images, device)
    if key not in _features:
        path = _folder() / f"{key}.npy"
        # Read with pickles refused: a file is data here, and no program.
        kept = torch.from_numpy(np.load(path)) if path.exists() else None
        seconds = 0.0
        if kept is None:
            started = time.perf_counter()
            kept = compute(teacher, images, device)
            seconds = time.perf_counter() - started
            _write(path, kept)
        while len(_features) >= KEPT:
            _features.pop(next(iter(_features)))
        _features[key] = kept
        return kept.to(device), seconds
    return _features[key].to(device), 0.0


def compute(teacher: Backbone, images: UInt8[Tensor, "n 3 h w"], device: torch.device) -> Float[Tensor, "n d"]:
    """The same, without a memory; on the CPU."""
    teacher = teacher.to(device)
    with torch.no_grad():
        return torch.cat([teacher.features(teacher.normalise(piece.to(device))).cpu() for piece in images.split(PIECE)])


def _key(teacher: Backbone, images: UInt8[Tensor, "n 3 h w"], device: torch.device) -> str:
    digest = hashlib.sha256(images.numpy().tobytes())
    for name, value in teacher.state_dict().items():
        digest.update(name.encode())
        digest.update(value.cpu().numpy().tobytes())
    # Sums of floats differ in their last bits by what adds them up.
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{torch.get_num_threads()} threads"
    digest.update(f"{tuple(images.shape)} {torch.__version__} {where}".encode())
    return digest.hexdigest()[:32]


def _folder() -> Path:
    """A folder that is this user's own: whoever else could write there could change what is learnt."""
    folder = Path(tempfile.gettempdir()) / f"allwin-teacher-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    state = folder.lstat()
    if state.st_uid != os.getuid() or state.st_mode & 0o022:
        raise UserError(f"{folder} can be written by others; remove it, or set TMPDIR to a folder of your own")
    return folder


def _write(path: Path, features: Float[Tensor, "n d"]) -> None:
    """Whole or not at all: several processes may write the same file at once."""
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    with temporary.open("wb") as file:
        np.save(file, features.numpy())
    temporary.replace(path)
