"""Scores of segmentation: one confusion matrix over all pixels, worked out by hand and by scikit-learn."""

import math

import pytest
import torch
from sklearn.metrics import accuracy_score, balanced_accuracy_score, confusion_matrix, jaccard_score

from tasks.segmentation.classes import IGNORE
from tasks.segmentation.scoring import class_ious, confusion, mean_accuracy, mean_iou, pixel_accuracy

# Truth, prediction: 0 is right once and called 1 once; 1 is right twice; 2 is right once and called 0 once.
TRUTH = torch.tensor([[[0, 0, 1], [1, 2, 2]]], dtype=torch.uint8)
CALLED = torch.tensor([[[0, 1, 1], [1, 2, 0]]])
HAND = torch.tensor([[1, 1, 0], [0, 2, 0], [1, 0, 1]])


def drawn(classes: int, ignored: float = 0.2) -> tuple[torch.Tensor, torch.Tensor]:
    """Random truth, some of it ignored, and a prediction that is right half of the time."""
    generator = torch.Generator().manual_seed(1)
    size = (5, 13, 17)
    truth = torch.randint(0, classes, size, generator=generator)
    called = torch.where(
        torch.rand(size, generator=generator) < 0.5, truth, torch.randint(0, classes, size, generator=generator)
    )
    hidden = torch.rand(size, generator=generator) < ignored
    return truth.masked_fill(hidden, IGNORE).to(torch.uint8), called


def test_the_matrix_has_the_truth_in_rows():
    assert torch.equal(confusion(CALLED, TRUTH, 3), HAND)


def test_scores_agree_with_a_hand_worked_example():
    # IoU: 1 / (2 + 2 - 1), 2 / (2 + 3 - 2), 1 / (2 + 1 - 1).
    assert class_ious(HAND).tolist() == pytest.approx([1 / 3, 2 / 3, 1 / 2])
    assert mean_iou(HAND) == pytest.approx(0.5)
    assert pixel_accuracy(HAND) == pytest.approx(4 / 6)
    assert mean_accuracy(HAND) == pytest.approx((1 / 2 + 1 + 1 / 2) / 3)


def test_the_mean_is_of_the_data_set_not_of_its_images():
    truth = torch.tensor([[[0, 0, 0, 1]], [[1, 1, 1, 1]]], dtype=torch.uint8)
    called = torch.tensor([[[0, 0, 0, 0]], [[1, 1, 1, 1]]])
    # Together: 3 / 4 and 4 / 5. Image by image it would be ((3 / 4 + 0) / 2 + 1) / 2 = 0.6875.
    assert mean_iou(confusion(called, truth, 2)) == pytest.approx((3 / 4 + 4 / 5) / 2)


def test_a_class_that_nobody_has_is_left_out_and_one_that_is_only_predicted_counts_zero():
    assert mean_iou(confusion(CALLED, TRUTH, 5)) == pytest.approx(0.5)
    assert math.isnan(class_ious(confusion(CALLED, TRUTH, 5))[4])
    wrong = CALLED.clone()
    wrong[0, 1, 2] = 3  # instead of 0: class 0 has now 1 / (2 + 1 - 1), class 3 has 0
    ious = class_ious(confusion(wrong, TRUTH, 5))
    assert ious[:4].tolist() == pytest.approx([1 / 2, 2 / 3, 1 / 2, 0])
    assert mean_iou(confusion(wrong, TRUTH, 5)) == pytest.approx((1 / 2 + 2 / 3 + 1 / 2) / 4)
    # The truth has no pixel of class 3, so no accuracy: 1 / 2, 1 and 1 / 2 of the others.
    assert mean_accuracy(confusion(wrong, TRUTH, 5)) == pytest.approx(2 / 3)


def test_what_is_predicted_on_ignored_pixels_changes_nothing():
    truth, called = drawn(6)
    other = torch.where(truth == IGNORE, (called + 3) % 6, called)
    assert not torch.equal(called, other)
    assert torch.equal(confusion(called, truth, 6), confusion(other, truth, 6))
    assert confusion(called, truth, 6).sum() == (truth != IGNORE).sum()


def test_other_numbers_for_the_classes_give_the_same_scores():
    truth, called = drawn(6)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    renamed = torch.where(truth == IGNORE, truth.long(), order[truth.long().clamp(max=5)]).to(torch.uint8)
    first, second = confusion(called, truth, 6), confusion(order[called], renamed, 6)
    torch.testing.assert_close(class_ious(second)[order], class_ious(first))
    for score in (mean_iou, pixel_accuracy, mean_accuracy):
        assert score(second) == pytest.approx(score(first), rel=1e-12)


def test_pieces_add_up_to_the_whole():
    truth, called = drawn(4)
    pieces = sum(confusion(c, t, 4) for c, t in zip(called.split(2), truth.split(2), strict=True))
    assert torch.equal(pieces, confusion(called, truth, 4))


def test_scikit_learn_gives_the_same_scores():
    truth, called = drawn(7)
    valid = truth != IGNORE
    flat = truth[valid].numpy(), called[valid].numpy()
    matrix = confusion(called, truth, 7)
    assert matrix.tolist() == confusion_matrix(*flat).tolist()
    assert class_ious(matrix).tolist() == pytest.approx(jaccard_score(*flat, average=None), rel=1e-12)
    assert mean_iou(matrix) == pytest.approx(jaccard_score(*flat, average="macro"), rel=1e-12)
    assert pixel_accuracy(matrix) == pytest.approx(accuracy_score(*flat), rel=1e-12)
    assert mean_accuracy(matrix) == pytest.approx(balanced_accuracy_score(*flat), rel=1e-12)


def test_without_a_pixel_there_is_no_score():
    nothing = torch.zeros(3, 3, dtype=torch.int64)
    assert all(math.isnan(score(nothing)) for score in (mean_iou, pixel_accuracy, mean_accuracy))
