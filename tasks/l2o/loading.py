"""From a data set's name and a seed to its problem and its test, each part with a seed of its own."""

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from bench.data import locate
from bench.seeds import derive_seed
from tasks.l2o import patches
from tasks.l2o.functions import Functions, Kind
from tasks.l2o.lasso import (
    coherent_dictionary,
    gaussian_dictionary,
    ill_conditioned_dictionary,
    measure,
    perturbed_dictionary,
    unit_columns,
)
from tasks.l2o.networks import Networks
from tasks.l2o.problems import FunctionProblem, Samples, SparseProblem, SparseSource
from tasks.l2o.recipes import NetworkRecipe, SparseRecipe, card
from tasks.l2o.shifts import FunctionTest, NetworkTest, PatchTest, Shifted, SparseTest, judged
from tasks.readers import Images

if TYPE_CHECKING:
    from tasks.l2o import L2O

DENSER = 2.0
NOISY_DB = 20.0
NOISIER_DB = 10.0
"""Below the noise that was learnt on, where that is already as much as `NOISY_DB`."""
PERTURBATION = 0.05
LOUDER = 10.0
WIDER = 5.0
LARGER = 5
SCALE = 10.0
LONGER = 4
TEST_SHARE = 0.2
"""Of images without a test part of their own."""


def load_sparse(task: "L2O", recipe: SparseRecipe, seed: int) -> tuple[SparseProblem, SparseTest]:
    measurements, unknowns = recipe.shape or (task.measurements, task.unknowns)
    dictionary_seed = derive_seed(seed, "l2o", "dictionary")
    match recipe.dictionary:
        case "gaussian":
            drawn = gaussian_dictionary(measurements, unknowns, dictionary_seed)
        case "ill-conditioned":
            drawn = ill_conditioned_dictionary(measurements, unknowns, task.condition, dictionary_seed)
        case "coherent":
            drawn = coherent_dictionary(measurements, unknowns, task.correlation, dictionary_seed)
    dictionary = unit_columns(drawn)
    sparsity = task.sparsity if recipe.sparsity is None else recipe.sparsity
    source = SparseSource(dictionary, task.weight, sparsity, recipe.snr_db)
    validation = source.draw(task.validation_instances, derive_seed(seed, "l2o", "validation"))
    problem = SparseProblem(dictionary, task.weight, source, recipe.goal, task.steps, validation)
    noisier = NOISY_DB if recipe.snr_db > NOISY_DB else recipe.snr_db - NOISIER_DB
    perturbed = perturbed_dictionary(dictionary, PERTURBATION, derive_seed(seed, "l2o", "perturbation"))
    sources = {
        "denser": replace(source, sparsity=DENSER * sparsity),
        "noisier": replace(source, snr_db=noisier),
        "perturbed": replace(source, dictionary=perturbed),
        "louder": replace(source, amplitude=LOUDER),
    }
    count = task.test_instances
    test = judged(source.draw(count, derive_seed(seed, "l2o", "test")), recipe.goal)
    shifts = {
        name: judged(shift.draw(count, derive_seed(seed, "l2o", "test", name)), recipe.goal)
        for name, shift in sources.items()
    }
    return problem, SparseTest(test, recipe.goal, task.steps, shifts)


def load_patches(task: "L2O", dataset: str, seed: int) -> tuple[SparseProblem, PatchTest]:
    if dataset == "cs-photos":
        train_images, test_images = patches.embedded_photographs()
    else:
        folder = locate(card(dataset))
        train_images, test_images = (patches.zipped_images(folder / f"{name}.zip") for name in ("BSD200", "Set14"))
    side = task.patch_side
    generator_seed = derive_seed(seed, "l2o", "sensing")
    sensing = gaussian_dictionary(side**2 // 2, side**2, generator_seed)
    atoms = patches.patch_dictionary(side)
    lengths = (sensing @ atoms).norm(dim=0)
    dictionary, synthesis = sensing @ atoms / lengths, atoms / lengths
    source = patches.PatchSource(train_images, side, sensing, dictionary, task.weight)
    validation = source.draw(task.validation_instances, derive_seed(seed, "l2o", "validation"))
    problem = SparseProblem(dictionary, task.weight, source, "signal", task.steps, validation, synthesis)
    tiles = patches.tiles(test_images, side)
    order = torch.randperm(len(tiles), generator=torch.Generator().manual_seed(derive_seed(seed, "l2o", "test")))
    tiles = tiles[order[: task.test_instances]]
    clean = source.measured(patches.without_mean(tiles))
    generator = torch.Generator().manual_seed(derive_seed(seed, "l2o", "test", "noisier"))
    noisy = measure(sensing, clean.signals, NOISY_DB, generator)
    noisier = Samples(replace(clean.instances, measurements=noisy), clean.signals)
    return problem, PatchTest(clean, tiles, synthesis, task.steps, {"noisier": noisier})


def load_functions(task: "L2O", kind: Kind, unknowns: int, seed: int) -> tuple[FunctionProblem, FunctionTest]:
    family = Functions(kind, unknowns)
    count, steps = task.functions, task.function_steps
    problem = FunctionProblem(family, steps, family.draw(count, derive_seed(seed, "l2o", "validation")))
    families = {"wider": replace(family, spread=WIDER), "scaled": replace(family, scale=SCALE)}
    if kind != "rosenbrock":
        families["larger"] = replace(family, unknowns=LARGER * unknowns)
    shifts = {
        name: Shifted(shifted.draw(count, derive_seed(seed, "l2o", "test", name)), steps, shifted.scale)
        for name, shifted in families.items()
    }
    return problem, FunctionTest(family.draw(count, derive_seed(seed, "l2o", "test")), steps, shifts)


def load_networks(task: "L2O", recipe: NetworkRecipe, seed: int) -> tuple[FunctionProblem, NetworkTest]:
    pooling = task.pooling if recipe.pooled else 1
    parts = [prepared(part, pooling) for part in _train_and_test(recipe, seed)]
    (images, labels), (test_images, test_labels) = parts
    family = Networks(recipe.architecture, images, labels, task.minibatch)
    count, steps = task.networks, task.training_steps
    problem = FunctionProblem(family, steps, family.draw(count, derive_seed(seed, "l2o", "validation")))
    trainings = family.draw(count, derive_seed(seed, "l2o", "test"))
    shifts = {
        name: Shifted(
            replace(family, architecture=architecture).draw(count, derive_seed(seed, "l2o", "test", name)), steps
        )
        for name, architecture in recipe.shifts.items()
    }
    if recipe.longer:
        shifts["longer"] = Shifted(trainings, LONGER * steps)
    return problem, NetworkTest(trainings, test_images, test_labels, steps, shifts)


def prepared(part: Images, pooling: int) -> tuple[Float[Tensor, "i c h w"], Int64[Tensor, " i"]]:
    """Images from 0 to 1, smaller by averages."""
    return nn.functional.avg_pool2d(part.pixels.float() / 255, pooling), part.classes


def _train_and_test(recipe: NetworkRecipe, seed: int) -> tuple[Images, Images]:
    """The parts of a data set; of a single one a share of each class is for the test."""
    match recipe.read():
        case (train, test):
            return train, test
        case (whole,):
            generator = torch.Generator().manual_seed(derive_seed(seed, "l2o", "split"))
            order = torch.randperm(len(whole.classes), generator=generator)
            # Within a class in random order: the first of each class are for the test.
            grouped = order[whole.classes[order].sort(stable=True).indices]
            place = torch.cat([torch.arange(n) / n for n in whole.classes.bincount().tolist() if n])
            rows = grouped[place >= TEST_SHARE], grouped[place < TEST_SHARE]
            train, test = (Images(whole.pixels[part], whole.classes[part]) for part in rows)
            return train, test
        case parts:
            raise AssertionError(f"a data set has one or two parts, got {len(parts)}")
