"""Compressive sensing of natural images: patches that are sparse in a dictionary, seen through random measurements.

As in Open-L2O and its ancestor LISTA-CPSS: a patch without its mean is f = D x, and is measured as Phi f, so that the
dictionary of the unknowns is A = Phi D, here with its columns scaled to unit length, and D with them.

Differs from the authors: D is fixed for all methods, so that these compare as solvers; theirs ends in a trainable one.
It is the union of the cosine and of the Haar basis, twice as many atoms as pixels as theirs, where their learnt one was
not published.

Dimensions: b patches, p pixels of a patch, m measurements, n atoms, i images, h w pixels of an image.
"""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float, UInt8
from PIL import Image
from sklearn.datasets import load_sample_images
from torch import Tensor

from tasks.l2o.lasso import Instances
from tasks.l2o.problems import Samples

TEST_SHARE = 1 / 3
"""Of the columns of an embedded photograph: the last ones."""


def cosine_basis(size: int) -> Float[Tensor, "p p"]:
    """The orthonormal cosine basis (DCT-II) of a line of pixels, an atom a column."""
    place, frequency = torch.arange(size).double(), torch.arange(size).double()
    atoms = torch.cos(math.pi / size * torch.outer(place + 0.5, frequency)) * math.sqrt(2 / size)
    atoms[:, 0] = math.sqrt(1 / size)
    return atoms


def haar_basis(size: int) -> Float[Tensor, "p p"]:
    """The orthonormal Haar basis of a line of pixels, an atom a column. `size` is a power of two."""
    atoms = torch.ones(1, 1).double()
    while len(atoms) < size:
        coarse = torch.kron(atoms, torch.tensor([[1.0], [1.0]]).double())
        fine = torch.kron(torch.eye(len(atoms)).double(), torch.tensor([[1.0], [-1.0]]).double())
        atoms = torch.cat([coarse, fine], dim=1) / math.sqrt(2)
    return atoms


def patch_dictionary(side: int) -> Float[Tensor, "p n"]:
    """D: the cosine and the Haar basis of square patches, side by side; columns of unit length."""
    bases = (cosine_basis(side), haar_basis(side))
    return torch.cat([torch.kron(basis, basis) for basis in bases], dim=1).float()


@dataclass(frozen=True)
class PatchSource:
    """Patches drawn from images at random, and how they are measured."""

    images: tuple[UInt8[Tensor, "_ _"], ...]
    """Grey, of any size each."""
    side: int
    sensing: Float[Tensor, "m p"]
    dictionary: Float[Tensor, "m n"]
    weight: float

    def draw(self, count: int, seed: int) -> Samples:
        generator = torch.Generator().manual_seed(seed)
        chosen = torch.randint(len(self.images), (count,), generator=generator).tolist()
        corners = torch.rand(count, 2, generator=generator).tolist()
        patches = []
        for index, (down, right) in zip(chosen, corners, strict=True):
            image = self.images[index]
            row, column = (
                int(part * (size - self.side + 1)) for part, size in zip((down, right), image.shape, strict=True)
            )
            patches.append(image[row : row + self.side, column : column + self.side].reshape(-1))
        return self.measured(without_mean(torch.stack(patches) / 255))

    def measured(self, patches: Float[Tensor, "b p"]) -> Samples:
        """Samples of these patches, which have no mean."""
        measurements = patches.to(self.sensing) @ self.sensing.T
        return Samples(Instances(self.dictionary, measurements, self.weight), patches.to(self.sensing))


def without_mean(patches: Float[Tensor, "b p"]) -> Float[Tensor, "b p"]:
    return patches - patches.mean(dim=-1, keepdim=True)


def tiles(images: Sequence[UInt8[Tensor, "_ _"]], side: int) -> Float[Tensor, "b p"]:
    """All patches of images side by side, from 0 to 1; what is left at the right and at the bottom is cut off."""
    cut = [image[: len(image) // side * side, : image.shape[1] // side * side] for image in images]
    return torch.cat([rearrange(image, "(r h) (c w) -> (r c) (h w)", h=side, w=side) for image in cut]) / 255


# The images -----------------------------------------------------------------------------------------------------------


@functools.cache
def embedded_photographs() -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """scikit-learn's two photographs: the left parts to train on, the right ones to test on."""
    images = [_grey(Image.fromarray(pixels)) for pixels in load_sample_images().images]
    cuts = [round((1 - TEST_SHARE) * image.shape[1]) for image in images]
    return (
        tuple(image[:, :cut] for image, cut in zip(images, cuts, strict=True)),
        tuple(image[:, cut:] for image, cut in zip(images, cuts, strict=True)),
    )


@functools.cache
def zipped_images(path: Path) -> tuple[Tensor, ...]:
    """The images of an archive, in the order of their names."""
    with ZipFile(path) as archive:
        names = sorted(name for name in archive.namelist() if name.lower().endswith((".png", ".jpg", ".jpeg")))
        images = []
        for name in names:
            with archive.open(name) as file, Image.open(file) as image:
                images.append(_grey(image))
        return tuple(images)


def _grey(image: Image.Image) -> UInt8[Tensor, "h w"]:
    return torch.from_numpy(np.array(image.convert("L")))
