"""Losses over pixels: hand-worked values, what hard pixels are, and what ignored ones must not do."""

import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from methods.segmentation._losses import cross_entropy, hard_pixels, ohem
from tasks.segmentation import IGNORE


def two_classes(*probabilities: float) -> Tensor:
    """A row of pixels; the first class has these probabilities."""
    first = torch.tensor(probabilities)
    return torch.stack([first.log(), (1 - first).log()])[None, :, None]  # 1, 2, 1, n


def all_first(pixels: int) -> Tensor:
    return torch.zeros(1, 1, pixels, dtype=torch.long)


@pytest.fixture
def batch() -> tuple[Tensor, Tensor]:
    """Two images of 8 x 8 pixels, five classes, about a third of the pixels ignored."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 5, (2, 8, 8), generator=generator)
    labels[torch.rand(labels.shape, generator=generator) < 0.3] = IGNORE
    return 3 * torch.randn(2, 5, 8, 8, generator=generator), labels


def test_plain_cross_entropy_agrees_with_a_hand_worked_example():
    # -log 1/2 and -log 1/8: a mean of (1 + 3) / 2 log 2. The third pixel is ignored.
    labels = torch.tensor([[[0, 0, IGNORE]]])
    assert cross_entropy(two_classes(0.5, 0.125, 0.01), labels).item() == pytest.approx(2 * math.log(2))


def test_weights_make_a_mean_in_which_a_pixel_counts_as_much_as_its_class():
    # Class 0 weighs 1 and costs log 2; class 1 weighs 3, has 1/4 and costs 2 log 2: (1 + 6) / 4.
    labels = torch.tensor([[[0, 1, IGNORE]]])
    loss = cross_entropy(two_classes(0.5, 0.75, 0.01), labels, torch.tensor([1.0, 3.0]))
    assert loss.item() == pytest.approx(7 / 4 * math.log(2))


def test_labels_may_be_bytes(batch):
    logits, labels = batch
    assert ohem(logits, labels.to(torch.uint8)).item() == ohem(logits, labels).item()


def test_ohem_agrees_with_a_hand_worked_example():
    # Sixteen pixels, so the least number is one; 0.7 keeps 1/2 and 1/8, with a mean of 2 log 2.
    logits = two_classes(0.5, 0.125, *[0.9] * 14)
    assert ohem(logits, all_first(16)).item() == pytest.approx(2 * math.log(2))


def test_where_all_pixels_are_easy_the_least_share_of_them_is_kept():
    # 32 pixels: the two least sure stay, 0.8 and 0.9.
    logits = two_classes(0.8, 0.9, *[0.95] * 30)
    assert ohem(logits, all_first(32)).item() == pytest.approx(-(math.log(0.8) + math.log(0.9)) / 2)


def test_ignored_pixels_count_for_the_least_number():
    # 16 labelled pixels and 16 ignored ones: 2 are kept, of 16 alone it would be one.
    logits = two_classes(0.8, 0.9, *[0.95] * 30)
    labels = all_first(32)
    labels[..., 16:] = IGNORE
    assert hard_pixels(logits, labels, 0.7, 32 // 16).sum().item() == 2
    assert ohem(logits, labels).item() == pytest.approx(-(math.log(0.8) + math.log(0.9)) / 2)


def test_with_fewer_labelled_pixels_than_the_least_number_ohem_is_plain(batch):
    logits, labels = batch
    labels.flatten()[5:] = IGNORE
    labels.flatten()[:5] = logits.movedim(1, -1).reshape(-1, 5)[:5].argmax(1)
    assert ohem(logits, labels, threshold=0.0, least=0.5).item() == pytest.approx(cross_entropy(logits, labels).item())


def test_a_threshold_of_one_gives_plain_cross_entropy_on_labelled_pixels(batch):
    logits, labels = batch
    plain = functional.cross_entropy(logits, labels, ignore_index=IGNORE)
    assert ohem(logits, labels, threshold=1.0).item() == pytest.approx(plain.item(), rel=1e-6)
    assert ohem(logits, labels, threshold=0.7).item() > 1.05 * plain.item()


def test_raising_the_threshold_never_removes_a_pixel(batch):
    logits, labels = batch
    kept = [hard_pixels(logits, labels, threshold / 20, 8) for threshold in range(21)]
    for fewer, more in pairwise(kept):
        assert not (fewer & ~more).any()
    assert kept[0].sum() < kept[10].sum() < kept[20].sum()
    assert torch.equal(kept[20], labels != IGNORE)


@pytest.mark.parametrize("kept", [1, 7, 40])
def test_at_least_so_many_pixels_are_kept(batch, kept):
    logits, labels = batch
    assert hard_pixels(logits, labels, 0.0, kept).sum().item() == kept
    assert hard_pixels(logits, labels, 0.7, kept).sum().item() >= kept


def test_equally_sure_pixels_are_kept_together():
    assert hard_pixels(two_classes(*[0.9] * 16), all_first(16), 0.7, 1).sum().item() == 16


@pytest.mark.parametrize("loss", [cross_entropy, ohem])
def test_ignored_pixels_change_neither_loss_nor_gradient(batch, loss):
    logits, labels = batch
    ignored = (labels == IGNORE)[:, None]
    values, slopes = [], []
    for shift in (torch.zeros(5), torch.tensor([-9.0, 4.0, 30.0, 0.0, 1.0])):
        leaf = torch.where(ignored, logits + shift[None, :, None, None], logits).requires_grad_()
        value = loss(leaf, labels)
        (slope,) = torch.autograd.grad(value, leaf)
        values.append(value.item())
        slopes.append(slope)
    assert values[0] == values[1]
    assert torch.equal(*slopes)
    assert not slopes[0][ignored.expand_as(slopes[0])].any()


@pytest.mark.parametrize("loss", [cross_entropy, ohem])
@pytest.mark.parametrize("weights", [None, torch.ones(5)])
def test_where_all_is_ignored_the_loss_is_zero_and_so_is_its_gradient(batch, loss, weights):
    logits = batch[0].requires_grad_()
    everything = torch.full((2, 8, 8), IGNORE)
    value = loss(logits, everything, weights) if loss is cross_entropy else loss(logits, everything)
    value.backward()
    assert value.item() == 0
    assert logits.grad is not None
    assert not logits.grad.any()


def test_only_hard_pixels_have_a_gradient():
    logits = two_classes(0.5, *[0.9] * 15).requires_grad_()
    ohem(logits, all_first(16)).backward()
    assert logits.grad is not None
    assert logits.grad[0, :, 0].abs().sum(0).nonzero().flatten().tolist() == [0]
