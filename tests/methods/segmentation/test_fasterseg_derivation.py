"""FasterSeg's derivation: from the released logits to the published networks, and its rules one by one."""

import pytest
import torch

from methods.segmentation.fasterseg.derivation import (
    FULL,
    Cell,
    Keying,
    Logits,
    Scale,
    derive,
    downs_of,
    least_layers,
    logits_from,
    objective,
    path_to,
    scales_of,
    shared_layers,
)
from methods.segmentation.fasterseg.genotype import released, student, teacher
from methods.segmentation.fasterseg.operators import OPS

STUDENT = logits_from(released("released_logits.json")["student"], 1e-5)
TEACHER = logits_from(released("released_logits.json")["teacher"], 1e-5)
THIN = Scale(base=12, stem=2, head=2)
FULLY = Scale(base=12, stem=FULL, head=FULL)


# The released logits --------------------------------------------------------------------------------------------------


def test_the_students_logits_give_the_published_student() -> None:
    assert derive(STUDENT, (32, 16), THIN, keying="released") == student()


def test_the_teachers_logits_give_the_published_teacher() -> None:
    assert derive(TEACHER, (32, 16), FULLY, skips=False, keying="released") == teacher()


def test_the_students_other_exit_is_the_one_that_was_decoded() -> None:
    path = derive(STUDENT, (32, 8), THIN, keying="released").path(8)
    assert [(layer.op, layer.inputs, layer.outputs) for layer in path] == [
        ("conv2", 64, 32),
        ("conv2", 32, 32),
        ("zconv2", 32, 32),
        ("zconv2", 32, 32),
        ("conv2", 32, 32),
        ("conv2", 32, 32),
        ("zconv2", 32, 32),
        ("conv2", 32, 96),
        ("zconv2", 96, 64),
    ]


@pytest.mark.parametrize(
    ("logits", "keying", "to_16", "to_32"),
    [
        (STUDENT, "released", (12,), (9, 13)),
        (TEACHER, "released", (4,), (5, 13)),
        # Mended: one layer on for the exit at a sixteenth; and the last row for a 32nd, the student's largest, counts.
        (STUDENT, "mended", (13,), (9, 14)),
        (TEACHER, "mended", (5,), (5, 13)),
    ],
)
def test_layers_of_stride_two(logits: Logits, keying: Keying, to_16: tuple[int, ...], to_32: tuple[int, ...]) -> None:
    assert downs_of(logits, 8, keying) == ()
    assert downs_of(logits, 16, keying) == to_16
    assert downs_of(logits, 32, keying) == to_32


@pytest.mark.parametrize(
    ("miou", "latency_ms", "expected"),
    [(0.06233587, 6.413977, 0.06347089), (0.02754822, 6.260467, 0.02809742)],
)
def test_the_objective_of_the_released_exits(miou: float, latency_ms: float, expected: float) -> None:
    assert objective(miou, latency_ms) == pytest.approx(expected, abs=1e-8)


def test_a_slower_network_needs_a_better_score() -> None:
    assert objective(0.5, 10.0) < objective(0.5, 8.3) == 0.5 < objective(0.5, 5.0)


# Rules ----------------------------------------------------------------------------------------------------------------


def logits(layers: int, **changes: dict[tuple[int, ...], float]) -> Logits:
    """All operators conv, all ways even, all widths the thinnest, but for `name_scale={(row, column): logit}`."""
    alpha = [torch.zeros(layers - scale, 5) for scale in range(3)]
    beta = [torch.zeros(layers - 2, 2), torch.zeros(layers - 3, 2)]
    gamma = [torch.zeros(layers - 1, 5), torch.zeros(layers - 1, 5), torch.zeros(layers - 2, 5)]
    for part in alpha:
        part[:, OPS.index("conv")] = 1
    for part in gamma:
        part[:, 0] = 1
    for name, entries in changes.items():
        kind, scale = name.split("_")
        parts = {"alpha": alpha, "beta": [None, *beta], "gamma": gamma}[kind]
        for place, value in entries.items():
            parts[int(scale)][place] = value
    return Logits(tuple(alpha), tuple(beta), tuple(gamma))


def skips(*layers: int, scale: int = 0, logit: float = 5.0) -> dict[tuple[int, ...], float]:
    return {(layer - scale, 0): logit for layer in layers}


def test_a_path_goes_down_where_the_ways_from_above_are_likeliest() -> None:
    # Row i of a sixteenth is the way into cell i + 2, which a layer of stride 2 at i + 1 feeds; row k of a 32nd: k + 2.
    found = logits(16, beta_1={(3, 0): 4.0}, beta_2={(8, 0): 4.0})
    assert downs_of(found, 16) == (4,)
    assert downs_of(found, 32) == (4, 10)


@pytest.mark.parametrize("layers", [6, 7, 8, 12, 16])
@pytest.mark.parametrize("keying", ["mended", "released"])
def test_a_path_only_goes_down_and_visits_each_scale(layers: int, keying: Keying) -> None:
    generator = torch.Generator().manual_seed(layers)
    for _ in range(20):
        drawn = logits(layers)
        for part in (*drawn.alpha, *drawn.beta, *drawn.gamma):
            part.normal_(generator=generator)
        for exit_number, stride in enumerate((8, 16, 32)):
            scales = scales_of(downs_of(drawn, stride, keying), layers)
            assert scales == sorted(scales)
            assert set(scales) == set(range(exit_number + 1))
            assert len(path_to(drawn, stride, 2, keying=keying)) >= least_layers(layers, stride)


def test_at_least_five_seven_or_nine_layers_of_sixteen_stay() -> None:
    assert [least_layers(16, stride) for stride in (8, 16, 32)] == [5, 7, 9]
    by_scale = [skips(*range(scale, 16), scale=scale) for scale in range(3)]
    all_skip = logits(16, alpha_0=by_scale[0], alpha_1=by_scale[1], alpha_2=by_scale[2])
    assert [len(path_to(all_skip, stride, 2)) for stride in (8, 16, 32)] == [5, 7, 9]


def test_skipped_layers_go_and_the_likeliest_of_too_many_first() -> None:
    # 16 columns at an eighth, 5 stay: of 13 skips 11 go, and layers 3 and 9, the least sure, become their second best.
    sure, unsure = [0, 1, 2, 4, 5, 6, 7, 8, 10, 11, 12], [3, 9]
    found = path_to(logits(16, alpha_0=skips(*sure) | skips(*unsure, logit=2.0)), 8, 2)
    assert [cell.layer for cell in found] == [3, 9, 13, 14, 15]
    assert {cell.op for cell in found} == {OPS.index("conv")}


def test_what_is_removed_takes_the_width_of_its_output_with_it() -> None:
    # Row l of the widths is what leaves layer l: layer 1 is removed with its width 3, and layer 0 keeps its own.
    found = path_to(logits(16, alpha_0=skips(1), gamma_0={(0, 2): 4.0, (1, 3): 4.0}), 8, 2)
    assert [(cell.layer, cell.width) for cell in found[:3]] == [(0, 2), (2, 0), (3, 0)]


def test_where_the_last_layer_goes_the_one_before_ends_the_branch() -> None:
    found = path_to(logits(16, alpha_0=skips(15), gamma_0={(14, 3): 4.0}), 8, 2)
    assert [(cell.layer, cell.width) for cell in found[-2:]] == [(13, 0), (14, 2)]


def test_a_layer_of_stride_two_is_never_skipped() -> None:
    found = path_to(logits(16, beta_1={(4, 0): 9.0}, alpha_0=skips(5)), 16, 2)
    (down,) = [cell for cell in found if cell.stride == 2]
    assert (down.layer, down.op) == (5, OPS.index("conv"))


def test_after_a_down_sampling_one_layer_stays() -> None:
    """The one that skips least, as its second-best operator; of the others those go that may."""
    changes = skips(*range(13, 16), scale=1) | skips(14, scale=1, logit=3.0)
    found = path_to(logits(16, beta_1={(11, 0): 9.0}, alpha_1=changes), 16, 2)
    assert [(cell.layer, cell.op) for cell in found if cell.layer > 12] == [(14, OPS.index("conv"))]


def test_a_teacher_keeps_all_its_layers() -> None:
    found = path_to(logits(16, alpha_0=skips(*range(16))), 8, FULL, skips=False)
    assert [cell.layer for cell in found] == list(range(16))
    assert {cell.op for cell in found} == {OPS.index("conv")}


def cell(op: int, width: int = 0, stride: int = 1) -> Cell:
    return Cell(0, 0, op, stride, width)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ([cell(1), cell(2), cell(3)], [cell(1), cell(2), cell(4)], 2),
        ([cell(1), cell(2), cell(3)], [cell(1), cell(4), cell(3)], 1),  # no re-joining
        ([cell(1, width=1), cell(3)], [cell(1, width=2), cell(3)], 0),
        ([cell(1), cell(2, stride=2), cell(3)], [cell(1), cell(2), cell(3)], 1),
        ([cell(1), cell(2)], [cell(1), cell(2)], 1),  # last layers never merge
        ([cell(1), cell(2)], [cell(1), cell(2), cell(3)], 1),
    ],
)
def test_branches_share_layers_while_all_agrees(first: list[Cell], second: list[Cell], expected: int) -> None:
    assert shared_layers(first, second) == expected
