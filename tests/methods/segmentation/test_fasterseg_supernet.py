"""FasterSeg's supernet: superkernels against plain operators, the grid against one path, sizes, a search's steps."""

from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from methods.segmentation._recipe import drawn
from methods.segmentation.fasterseg.architecture import Architecture, Mixture, Widths
from methods.segmentation.fasterseg.derivation import FULL, WIDTHS, Scale
from methods.segmentation.fasterseg.operators import OPS, ConvBNReLU, Op, operator
from methods.segmentation.fasterseg.searching import Hard, heads_loss, pretraining_loss, weights_loss
from methods.segmentation.fasterseg.superkernel import MixedOperator, SuperOperator
from methods.segmentation.fasterseg.supernet import Supernet

HARD = Hard(0.7, 0.0625)
THIN, FULLY = Scale(3, 2, 2), Scale(3, FULL, FULL)
CLASSES = 4
CHANNELS = [8, 12, 16, 20, 24]
LAYERS = 6


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# Superkernels ---------------------------------------------------------------------------------------------------------


def plain(op: Op, inputs: int, outputs: int, stride: int) -> nn.Module:
    """What a superkernel of full width must be equal to."""
    skip = op == "skip" and stride == 1
    return ConvBNReLU(inputs, outputs, 1) if skip else operator(op, inputs, outputs, stride)


def copied(source: SuperOperator, target: nn.Module, outputs: int, inputs: int) -> nn.Module:
    """The target with the first rows and columns of the superkernel, and the norms of that width."""
    convs = [part for part in target.modules() if isinstance(part, nn.Conv2d)]
    norms = [part for part in target.modules() if isinstance(part, nn.BatchNorm2d)]
    with torch.no_grad():
        for number, (kernel, conv) in enumerate(zip(source.convs, convs, strict=True)):
            rows, columns = conv.weight.shape[:2]
            assert columns == (inputs if number == 0 or source.op == "skip" else outputs)
            conv.weight.copy_(kernel.weight[:rows, :columns])
        for switchable, norm in zip(source.norms, norms, strict=True):
            norm.load_state_dict(switchable.norms[str(outputs)].state_dict())
    return target


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(("inputs", "outputs"), [(24, 24), (16, 8)])
def test_a_superkernel_of_a_width_is_the_plain_operator_of_that_width(
    op: Op, stride: int, inputs: int, outputs: int
) -> None:
    source = drawn(partial(SuperOperator, op, 24, CHANNELS, stride), seed=0)
    target = copied(source, plain(op, inputs, outputs, stride), outputs, inputs)
    features = torch.randn(2, inputs, 8, 12, generator=generator())
    torch.testing.assert_close(source(features, outputs), target(features))


@pytest.mark.parametrize("op", OPS)
def test_a_width_uses_its_own_rows_columns_and_norms_alone(op: Op) -> None:
    """Gradients outside the slice are zero, and the norms of other widths stay as they are."""
    source = SuperOperator(op, 24, CHANNELS, 1)
    before = {name: value.clone() for name, value in source.norms.state_dict().items()}
    source(torch.randn(2, 12, 8, 8, generator=generator()), 16).square().sum().backward()
    for number, conv in enumerate(source.convs):
        grad = conv.weight.grad
        assert grad is not None
        columns = 12 if number == 0 else 16
        assert grad[:16, :columns].abs().sum() > 0
        assert grad[16:].abs().sum() == 0
        assert grad[:, columns:].abs().sum() == 0
    moved = {
        name.split(".")[2] for name, value in source.norms.state_dict().items() if not torch.equal(value, before[name])
    }
    assert moved == {"16"}


def test_a_mixed_operator_is_the_sum_of_its_operators_by_their_shares() -> None:
    mixed = MixedOperator(24, CHANNELS, 1).eval()
    features = torch.randn(1, 24, 8, 8, generator=generator())
    shares = torch.tensor([0.5, 0.0, 0.25, 0.0, 0.25])
    skip, _, zconv, _, zconv2 = (operator(features, 12) for operator in mixed.operators)
    torch.testing.assert_close(mixed(features, shares, 12), 0.5 * skip + 0.25 * zconv + 0.25 * zconv2)


# The supernet ---------------------------------------------------------------------------------------------------------


def test_the_published_supernet_has_the_released_number_of_weights() -> None:
    """252,056,494 but for 252,672: the released norms also have an affine pair of full width that is never used.

    Norms of cells, 7 an operator mix: along, 16, 15 and 14 cells of 96, 192 and 384 channels, 9,792; down, 15 of 192
    and 14 of 384, 8,256. So 2 x 7 x (9,792 + 8,256) = 252,672.
    """
    with torch.device("meta"):
        supernet = Supernet(16, {"student": Scale(12, 2, 2), "teacher": Scale(12, FULL, FULL)}, 19)
    assert sum(parameter.numel() for parameter in supernet.parameters()) + 252_672 == 252_056_494


def small(networks: tuple[str, ...] = ("student", "teacher")) -> tuple[Supernet, dict[str, Architecture]]:
    scales = {"student": THIN, "teacher": FULLY}
    scales = {name: scales[name] for name in networks}
    supernet = drawn(lambda: Supernet(LAYERS, scales, CLASSES), seed=0)
    return supernet, {
        name: Architecture(LAYERS, scale.stem, scale.head, widths=name == "student") for name, scale in scales.items()
    }


@pytest.mark.parametrize("network", ["student", "teacher"])
def test_five_outputs_at_an_eighth(network: str) -> None:
    supernet, architectures = small()
    maps = supernet(torch.rand(2, 3, 64, 96), network, architectures[network].mixture("sampled", generator()))
    assert [logits.shape for logits in maps] == [(2, CLASSES, 8, 12)] * 5


def test_with_one_way_and_one_operator_everywhere_the_grid_is_that_path() -> None:
    """Down at layers 2 and 4: what leaves the coarsest exit is what its cells give one after the other."""
    supernet, architectures = small(("student",))
    supernet.eval()
    even = architectures["student"].uniform("full", generator())
    alpha = tuple(one_hot(torch.full((len(rows),), OPS.index("conv")), 5).float() for rows in even.alpha)
    beta = [torch.tensor([0.0, 1.0]).repeat(len(rows), 1) for rows in even.beta]
    beta[0][3 - 2] = beta[1][5 - 3] = torch.tensor([1.0, 0.0])
    widths = [[1, 3, 0, 2, 4], [2, 1, 3, 0, 2], [4, 0, 1, 3]]
    chosen = Widths(tuple(tuple(rows) for rows in widths), None, 2, 2)
    images = torch.rand(1, 3, 64, 64, generator=generator())

    features = supernet.ends["student"].stem(images)
    for kind, name, channels in [
        (supernet.along, "8-0", 8 * 6 // 4),  # what enters layer 1 at an eighth has width 1: 8 x 3 x 6 / 12
        (supernet.along, "8-1", 8 * 10 // 4),
        (supernet.down, "8-2", 16 * 10 // 4),  # what enters layer 3 at a sixteenth: row 2, width 3
        (supernet.along, "16-3", 16 * 4 // 4),
        (supernet.down, "16-4", 32 * 10 // 4),  # what enters layer 5 at a 32nd: row 3, width 3
        (supernet.along, "32-5", 32 * 8 // 4),  # the head's
    ]:
        features = kind[name].operators[OPS.index("conv")](features, channels)

    found: list[Tensor] = []
    supernet.ends["student"].refine32[0].arm.register_forward_pre_hook(lambda _, inputs: found.append(inputs[0]))
    supernet(images, "student", Mixture(alpha, tuple(beta), chosen))
    torch.testing.assert_close(found[0], features)


def test_scores_change_nothing_forward_and_carry_a_gradient_to_the_widths() -> None:
    supernet, architectures = small(("student",))
    supernet.eval()
    student = architectures["student"]
    mixture = student.mixture("sampled", generator(3))
    bare = Mixture(mixture.alpha, mixture.beta, Widths(mixture.widths.chosen, None, 2, 2))
    images = torch.rand(1, 3, 64, 64, generator=generator())
    with_scores, without = supernet(images, "student", mixture), supernet(images, "student", bare)
    torch.testing.assert_close(with_scores, without)
    torch.stack([logits.square().sum() for logits in with_scores]).sum().backward()
    for group in (student.alpha, student.beta, student.gamma):
        assert all(part.grad is not None and part.grad.abs().sum() > 0 for part in group)


def test_the_likeliest_widths_are_those_of_the_logits() -> None:
    student = Architecture(LAYERS, 2, 2, widths=True)
    with torch.no_grad():
        student.gamma[1][3, 2] = 1.0
    assert student.draw("likeliest", generator()).chosen[1][3] == 2
    assert student.draw("full", generator()).chosen[1][3] == len(WIDTHS) - 1
    assert student.draw("thinnest", generator()).chosen[1][3] == 0


# Losses ---------------------------------------------------------------------------------------------------------------


def test_the_loss_is_the_sum_over_heads_on_the_labels_of_the_cells_corners() -> None:
    """Logits that are right everywhere but in one of four cells, where the true class has a logit of 0 against 20."""
    labels = torch.full((1, 16, 16), 255)
    labels[0, 0, 0], labels[0, 0, 8], labels[0, 8, 0], labels[0, 8, 8] = 0, 1, 2, 3
    logits = 20 * one_hot(torch.tensor([[0, 1], [2, 0]]), CLASSES).permute(2, 0, 1)[None].float()
    # At least a sixteenth of 4 pixels, none, is kept beside the hard one: its cross entropy is ln(e^20 + 3) - 0 = 20.
    assert heads_loss([logits] * 5, labels, HARD).item() == pytest.approx(5 * 20, abs=1e-4)


def test_a_weight_step_makes_four_passes_and_reaches_all_weights_that_a_pass_can_use() -> None:
    supernet, architectures = small()
    passes: list[tuple[str, int]] = []
    supernet.register_forward_pre_hook(
        lambda _, inputs: passes.append((inputs[1], sum(map(sum, inputs[2].widths.chosen))))
    )
    images, labels = torch.rand(2, 3, 64, 64), torch.randint(0, CLASSES, (2, 64, 64))
    weights_loss(supernet, architectures, images, labels, HARD, generator()).backward()
    rows = 2 * (LAYERS - 1) + LAYERS - 2
    assert [name for name, _ in passes] == ["teacher", "student", "student", "student"]
    assert passes[0][1] == passes[2][1] == FULL * rows
    assert 0 < passes[1][1] < FULL * rows
    assert passes[3][1] == 0
    kernels = [part.weight for part in supernet.modules() if isinstance(part, nn.Conv2d)]
    assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in kernels)


def test_pretraining_makes_four_passes_with_even_shares() -> None:
    supernet, architectures = small()
    with torch.no_grad():
        architectures["student"].alpha[0][0, 1] = 5.0
    seen: list[Mixture] = []
    supernet.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[2]))
    images, labels = torch.rand(2, 3, 64, 64), torch.randint(0, CLASSES, (2, 64, 64))
    pretraining_loss(supernet, architectures, images, labels, HARD, generator())
    assert len(seen) == 4
    for mixture in seen:
        assert all(torch.equal(rows, torch.full_like(rows, 0.2)) for rows in mixture.alpha)
    assert seen[2].widths.chosen != seen[3].widths.chosen
