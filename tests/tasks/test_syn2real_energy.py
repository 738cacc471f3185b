"""Hyperspherical energy against sets of points whose distances are known."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import normalize

from tasks.syn2real import energy as module
from tasks.syn2real.energy import Energy, hyperspherical_energy


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def as_tuple(energy: Energy):
    return energy.power_0, energy.power_0_published, energy.power_1, energy.power_2


def simplex(corners):
    """Corners of a regular simplex around the origin: the axes less their mean."""
    return torch.eye(corners, dtype=torch.float64) - 1 / corners


@pytest.mark.parametrize(
    ("features", "distance"),
    [
        (torch.eye(7), math.sqrt(2)),
        (torch.tensor([[1.0, 0.0], [-1.0, 0.0]]), 2.0),
        # Five corners: neighbours see one another under the cosine -1/4.
        (simplex(5), 1.58114),
    ],
)
def test_points_at_one_distance(features, distance):
    wanted = (-math.log(distance), -2 * math.log(distance), 1 / distance, 1 / distance**2)
    assert as_tuple(hyperspherical_energy(features)) == pytest.approx(wanted, abs=1e-5)


def test_three_points_on_a_circle_by_hand():
    # At 0, 90 and 180 degrees: two pairs at the root of 2, one at 2.
    points = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    wanted = (-(math.log(2) / 2 * 2 + math.log(2)) / 3, (2 / math.sqrt(2) + 0.5) / 3, (2 / 2 + 0.25) / 3)
    energy = hyperspherical_energy(points)
    assert (energy.power_0, energy.power_1, energy.power_2) == pytest.approx(wanted, abs=1e-9)


def test_lengths_and_rotations_do_not_matter():
    points = noise(20, 6)
    rotation = torch.linalg.qr(noise(6, 6, seed=1)).Q
    lengths = 1 + noise(20, 1, seed=2).abs()
    wanted = pytest.approx(as_tuple(hyperspherical_energy(points)), abs=1e-9)
    assert as_tuple(hyperspherical_energy(points @ rotation)) == wanted
    assert as_tuple(hyperspherical_energy(lengths * points)) == wanted


@given(images=st.integers(2, 12), width=st.integers(2, 6), seed=st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_means_are_in_jensens_order(images, width, seed):
    energy = hyperspherical_energy(noise(images, width, seed=seed))
    assert math.exp(energy.power_0) <= energy.power_1 * (1 + 1e-9)
    assert energy.power_1**2 <= energy.power_2 * (1 + 1e-9)


def test_features_that_are_all_the_same_give_a_huge_energy():
    # The least distance is 1e-6: 1e12 for the power of 2, in single precision too.
    energy = hyperspherical_energy(noise(1, 8).float().expand(5, 8))
    assert as_tuple(energy) == pytest.approx((6 * math.log(10), 12 * math.log(10), 1e6, 1e12), rel=1e-9)


def test_blocks_of_rows_change_nothing(monkeypatch):
    points = noise(23, 4)
    whole = as_tuple(hyperspherical_energy(points))
    monkeypatch.setattr(module, "ROWS", 5)
    assert as_tuple(hyperspherical_energy(points)) == pytest.approx(whole, rel=1e-12)
    unit = normalize(points, dim=1)
    assert whole[2] == pytest.approx((1 / torch.nn.functional.pdist(unit)).mean().item(), rel=1e-9)


def test_one_image_has_no_energy():
    with pytest.raises(ValueError, match="at least 2 images, got 1"):
        hyperspherical_energy(noise(1, 3))
