"""Attentional pooling, InfoNCE, queue and heads of CSG."""

import copy
import math

import pytest
import torch
from torch.nn.functional import normalize

from bench import Unsupported
from bench.run import Run
from methods.syn2real._apool import attention, attentional_pool, patches
from methods.syn2real._contrast import Contrast, KeyQueue, info_nce, projection_head
from methods.syn2real.csg import CSG
from tasks.syn2real import Syn2RealProblem

TEMPERATURE = 0.07


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed))


def unit(*shape, seed=0):
    return normalize(noise(*shape, seed=seed), dim=1)


# Attentional pooling --------------------------------------------------------------------------------------------------

MAPS = noise(2, 5, 4, 6).relu()


def test_attention_is_the_agreement_with_the_mean_and_sums_to_one():
    maps = torch.tensor([[[[3.0, 1.0]], [[0.0, 2.0]]]])  # places (3, 0) and (1, 2); their mean is (2, 1)
    torch.testing.assert_close(attention(maps), torch.tensor([[[6 / 10, 4 / 10]]]))
    torch.testing.assert_close(attentional_pool(maps), torch.tensor([[0.6 * 3 + 0.4 * 1, 0.4 * 2]]))
    torch.testing.assert_close(attention(MAPS).sum((1, 2)), torch.ones(2))


def test_a_constant_source_of_attention_gives_the_mean():
    constant = noise(2, 3, 1, 1).abs().expand(2, 3, 4, 6)
    torch.testing.assert_close(attentional_pool(MAPS, constant), MAPS.mean((2, 3)), atol=1e-6, rtol=0)


def test_a_single_place_returns_its_vector():
    maps = torch.zeros(1, 5, 4, 6)
    maps[0, :, 2, 3] = MAPS[0, :, 1, 1] + 1
    torch.testing.assert_close(attentional_pool(maps)[0], maps[0, :, 2, 3])


def test_attention_does_not_depend_on_the_scale_of_its_source():
    torch.testing.assert_close(attentional_pool(MAPS, 5 * MAPS), attentional_pool(MAPS))


def test_pooling_is_linear_under_a_fixed_source():
    other, source = noise(2, 5, 4, 6, seed=1).relu(), noise(2, 3, 4, 6, seed=2).relu()
    mixed = attentional_pool(2 * MAPS + 3 * other, source)
    torch.testing.assert_close(mixed, 2 * attentional_pool(MAPS, source) + 3 * attentional_pool(other, source))


def test_a_map_of_zeros_is_pooled_to_zeros():
    assert torch.equal(attentional_pool(torch.zeros(1, 5, 2, 2)), torch.zeros(1, 5))


def test_gradients_pass_through_the_attention():
    fixed, moving = MAPS.clone().requires_grad_(), MAPS.clone().requires_grad_()
    attentional_pool(fixed, MAPS).square().sum().backward()
    attentional_pool(moving).square().sum().backward()
    assert not torch.allclose(fixed.grad, moving.grad)


def test_patches_lie_row_by_row_and_one_patch_is_the_map():
    maps = torch.arange(16.0).reshape(1, 1, 4, 4)
    assert patches(maps, 2)[:, 0].tolist() == [
        [[0, 1], [4, 5]],
        [[2, 3], [6, 7]],
        [[8, 9], [12, 13]],
        [[10, 11], [14, 15]],
    ]
    assert torch.equal(patches(MAPS, 1), MAPS)


def test_as_many_patches_as_places_return_the_map():
    maps = noise(3, 5, 8, 8).relu() + 0.1
    pooled = attentional_pool(patches(maps, 8))
    torch.testing.assert_close(pooled.reshape(3, 8, 8, 5).permute(0, 3, 1, 2), maps)


def test_patches_that_do_not_fit_are_told():
    with pytest.raises(ValueError, match="maps of 4 x 6 places cannot be cut into 4 x 4 equal patches"):
        patches(MAPS, 4)


# InfoNCE --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [512, 4096])
def test_at_the_start_the_loss_is_that_of_a_gaussian_queue(length):
    # A cosine of 1 with the own key, and cosines of variance 1/128 with noise: their exponentials have a known mean.
    keys = unit(16, 128)
    queue = KeyQueue(length, 128, generator(1)).keys
    assert queue.norm(dim=1) == pytest.approx(torch.ones(length), abs=1e-5)
    others = length * math.exp(1 / (2 * 128 * TEMPERATURE**2) - 1 / TEMPERATURE)
    loss = info_nce(keys, keys, queue, TEMPERATURE).item()
    assert loss == pytest.approx(math.log1p(others), rel=0.15)
    assert loss == pytest.approx({512: 0.00071, 4096: 0.0057}[length], rel=0.15)


@pytest.mark.parametrize(("length", "loss"), [(512, 6.2403), (65_536, 11.0904)])
def test_equal_similarities_cost_the_logarithm_of_their_number(length, loss):
    keys = unit(1, 8)
    assert info_nce(keys, keys, keys.expand(length, 8), TEMPERATURE).item() == pytest.approx(loss, abs=1e-4)
    orthogonal = torch.eye(3)
    assert info_nce(orthogonal[:1], orthogonal[1:2], orthogonal[2:].expand(length, 3), 1.0).item() == pytest.approx(
        math.log(length + 1), abs=1e-4
    )


def test_the_own_key_is_pulled_and_the_queue_pushed():
    # exp(1) for the own key against exp(-1) and exp(0): the mean over both queries is that of either.
    queries, queue = torch.tensor([[1.0, 0.0], [1.0, 0.0]]), torch.tensor([[-1.0, 0.0], [0.0, 1.0]])
    loss = info_nce(queries, queries, queue, 1.0)
    assert loss.item() == pytest.approx(math.log((math.e + 1 / math.e + 1) / math.e))


def test_the_order_of_the_queue_does_not_matter():
    queries, keys, queue = unit(4, 8), unit(4, 8, seed=1), unit(20, 8, seed=2)
    mixed = queue[torch.randperm(20, generator=generator())]
    torch.testing.assert_close(info_nce(queries, keys, queue, TEMPERATURE), info_nce(queries, keys, mixed, TEMPERATURE))


# Queue ----------------------------------------------------------------------------------------------------------------


def numbered(first, last):
    return torch.arange(float(first), float(last))[:, None]


@pytest.mark.parametrize("batch", [3, 4, 7])
def test_a_ring_keeps_the_last_keys_in_their_places(batch):
    queue = KeyQueue(7, 1, generator())
    pushed = 0
    while pushed < 7 + 2 * batch:
        queue.push(numbered(pushed, pushed + batch))
        pushed += batch
    # Key number i lies at i modulo 7, and the place after the newest is the next.
    wanted = {number % 7: float(number) for number in range(pushed - 7, pushed)}
    assert queue.keys[:, 0].tolist() == [wanted[place] for place in range(7)]
    assert queue.place.item() == pushed % 7


def test_of_more_keys_than_fit_the_last_stay():
    queue = KeyQueue(4, 1, generator())
    queue.push(numbered(0, 10))
    assert sorted(queue.keys[:, 0].tolist()) == [6, 7, 8, 9]
    assert queue.keys[9 % 4, 0] == 9
    assert queue.place.item() == 10 % 4


# One layer ------------------------------------------------------------------------------------------------------------


def contrast(momentum=0.999, **words):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Contrast(
            6,
            **{"dimensions": 4, "queue": 8, "temperature": TEMPERATURE, "generator": generator(), **words},
            momentum=momentum,
        )


def test_the_head_is_two_layers_as_wide_as_the_map():
    shapes = [tuple(p.shape) for p in projection_head(672, 128).parameters()]
    assert shapes == [(672, 672), (672,), (128, 672), (128,)]


def test_gradients_reach_the_head_and_the_student_alone():
    layer = contrast()
    student, teacher = noise(5, 6).requires_grad_(), noise(5, 6, seed=1).requires_grad_()
    layer(student, teacher).backward()
    assert student.grad.abs().sum() > 0
    assert all(parameter.grad.abs().sum() > 0 for parameter in layer.head.parameters())
    assert teacher.grad is None
    assert not any(parameter.requires_grad for parameter in layer.averaged.parameters())
    assert not layer.queue.keys.requires_grad


def test_the_average_follows_at_the_start_of_a_step():
    layer = contrast()
    layer(noise(5, 6), noise(5, 6))
    before = copy.deepcopy(layer.averaged.module)
    with torch.no_grad():
        for parameter in layer.head.parameters():
            parameter.add_(1.0)
    vectors = noise(5, 6, seed=1)
    layer(vectors, vectors)
    for now, was, head in zip(
        layer.averaged.module.parameters(), before.parameters(), layer.head.parameters(), strict=True
    ):
        torch.testing.assert_close(now, 0.999 * was + 0.001 * head)
    # The keys in the queue are already those of the moved average.
    torch.testing.assert_close(layer.queue.keys[5:8], normalize(layer.averaged(vectors), dim=1)[:3])


def test_without_momentum_the_teacher_goes_through_the_students_head():
    layer = contrast(momentum=0.0)
    for _ in range(2):
        with torch.no_grad():
            layer.head[0].weight.add_(0.1)
        layer(noise(5, 6), noise(5, 6))
        torch.testing.assert_close(layer.averaged.module.state_dict(), layer.head.state_dict())


def test_a_loss_is_formed_before_its_keys_are_queued():
    layer = contrast()
    queue = layer.queue.keys.clone()
    vectors = noise(3, 6)
    loss = layer(vectors, vectors)
    projected = normalize(layer.head(vectors), dim=1)
    torch.testing.assert_close(loss, info_nce(projected, projected, queue, TEMPERATURE))
    torch.testing.assert_close(layer.queue.keys[:3], projected.detach())


def test_lengths_before_the_unit_sphere_do_not_matter():
    layer = contrast()
    other = copy.deepcopy(layer)
    with torch.no_grad():
        for parameter in other.head[2].parameters():
            parameter.mul_(5.0)
    torch.testing.assert_close(layer(noise(3, 6), noise(3, 6)), other(noise(3, 6), noise(3, 6)))


def test_a_contrast_goes_on_where_it_was_saved():
    first, second = contrast(), contrast()
    first(noise(5, 6), noise(5, 6))
    second.load_state_dict(first.state_dict())
    losses = [layer(noise(5, 6, seed=2), noise(5, 6, seed=3)) for layer in (first, second)]
    assert torch.equal(*losses)
    torch.testing.assert_close(first.state_dict(), second.state_dict(), rtol=0, atol=0)


def test_patches_of_a_batch_are_so_many_queries_and_the_loss_is_a_mean():
    maps = noise(2, 6, 1, 1).abs().expand(2, 6, 8, 8)
    one, many = contrast(queue=4), contrast(queue=4)
    rows = attentional_pool(patches(maps, 8))
    assert len(rows) == 2 * 64
    whole = attentional_pool(maps)
    # A constant map has the same vector everywhere, so that 64 times the queries cost the same.
    torch.testing.assert_close(many(rows, rows), one(whole, whole))


# Patches of a problem's maps ------------------------------------------------------------------------------------------


def scenes(backbone, crop):
    images, labels = torch.zeros(1, 3, 8, 8, dtype=torch.uint8), torch.zeros(1, 8, 8, dtype=torch.uint8)
    return Syn2RealProblem(images, labels, images, labels, ("a", "b"), True, backbone, crop, 0)


@pytest.mark.parametrize(("stages", "side"), [((3, 4), 45), ((4,), 23)])
def test_a_grid_that_maps_of_crops_do_not_have_is_refused_before_weights_are_read(stages, side, monkeypatch, tmp_path):
    monkeypatch.setenv("ALLWIN_DATA", str(tmp_path))
    with pytest.raises(Unsupported, match=rf"^csg: the map .* has {side} x {side} places .*csg\.patches=1.*$"):
        CSG(stages=stages).fit(scenes("vgg16", 512), Run(seed=0))


@pytest.mark.parametrize(
    ("backbone", "crop", "settings"),
    [("vgg16", 512, {"patches": 1}), ("resnet50", 512, {}), ("efficientnet-lite0", 64, {})],
)
def test_a_grid_that_maps_of_crops_have_is_taken(backbone, crop, settings):
    CSG(**settings)._check(scenes(backbone, crop))
