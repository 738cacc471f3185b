"""The tables of architecture search: NAS-Bench-201's published facts, and the one that this project made."""

import csv

import numpy as np
import pytest
import torch
from scipy.stats import kendalltau

from bench import MissingData, UserError
from bench.data import check, locate, root
from tasks.nas import NAS
from tasks.nas.datasets import CARD, CARDS, DIGITS_CELLS, DIGITS_CELLS_TABLE, best, read_digits_cells, read_nasbench201
from tasks.nas.tabular import NAS_BENCH_201


@pytest.fixture(scope="module")
def table():
    try:
        return locate(CARD["nasbench201"]) / "nasbench201_acc.csv"
    except MissingData as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def rows(table):
    with table.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def truth(table):
    return read_nasbench201(table)


# NAS-Bench-201 --------------------------------------------------------------------------------------------------------


def test_the_table_has_every_architecture_once_in_the_published_order(rows):
    assert len(rows) == 15_625
    texts = [row["arch"] for row in rows]
    assert texts == [str(NAS_BENCH_201.from_published_index(index)) for index in range(15_625)]


@pytest.mark.parametrize(
    ("metric", "index", "highest"),
    [
        ("accuracy", 6111, 94.3733),
        ("accuracy_cifar100", 9930, 73.5133),
        ("accuracy_imagenet16", 857, 47.3111),
    ],
)
def test_the_best_are_the_published_ones(truth, metric, index, highest):
    assert truth.test[metric].max().item() == pytest.approx(highest, abs=1e-9)
    number = NAS_BENCH_201.number(NAS_BENCH_201.from_published_index(index))
    assert truth.test[metric][number] == truth.test[metric].max()


def test_the_oracle_s_best_is_the_best_on_cifar10(truth):
    # 13714 ties 6111 on CIFAR-10.
    assert NAS_BENCH_201.published_index(best(NAS_BENCH_201, truth)) in (6111, 13714)


def test_exactly_the_disconnected_cells_guess(truth):
    connected = torch.tensor([NAS_BENCH_201.connected(cell) for cell in NAS_BENCH_201.all()])
    assert (~connected).sum() == 341
    assert torch.equal(truth.test["accuracy"] == 10.0, ~connected)


def test_the_skipping_cell_is_where_published_searches_collapsed(truth):
    number = NAS_BENCH_201.number(NAS_BENCH_201.from_published_index(1835))
    told = [truth.test[name][number].item() for name in ("accuracy", "accuracy_cifar100", "accuracy_imagenet16")]
    assert [round(value, 2) for value in told] == [54.3, 15.61, 16.32]


def test_signatures_are_the_classes_of_the_table(rows):
    pairs = {
        (NAS_BENCH_201.signature(NAS_BENCH_201.from_published_index(index)), row["iso_class"])
        for index, row in enumerate(rows)
    }
    # As many pairs as there are of either: one to one.
    assert len(pairs) == len({row["iso_class"] for row in rows}) == 6_466


def test_cells_of_one_class_differ_by_the_noise_of_training_only(rows):
    accuracy = np.array([float(row["c10_test_200"]) for row in rows])
    classes = np.array([int(row["iso_class"]) for row in rows])
    members = np.bincount(classes)
    means = np.bincount(classes, accuracy) / members
    inside = np.sqrt(np.sum((accuracy - means[classes]) ** 2) / (len(rows) - len(members)))
    # Two trainings of one network differ by some tenths of a point; over all cells the deviation is 40 times that.
    assert inside < 0.35
    assert accuracy.std() > 12


@pytest.mark.parametrize(
    ("metric", "tau"), [("accuracy", 0.578), ("accuracy_cifar100", 0.553), ("accuracy_imagenet16", 0.520)]
)
def test_the_parameter_count_orders_the_space_as_far_as_is_known(truth, metric, tau):
    sizes = [NAS_BENCH_201.parameters(cell, 16, 5, 10) for cell in NAS_BENCH_201.all()]
    assert kendalltau(sizes, truth.test[metric]).statistic == pytest.approx(tau, abs=5e-4)


def test_a_search_is_told_validation_accuracies_after_12_epochs(table, rows):
    problem, _ = NAS(sample=5, images=8, inputs="noise").load("nasbench201", "smoke", 3)
    for index in (0, 6111, 15_624):
        told = problem.validation(NAS_BENCH_201.from_published_index(index))
        assert told == pytest.approx(float(rows[index]["c10_valid_12"]), abs=1e-9)
    assert problem.images.shape == (8, 3, 32, 32)


def test_the_images_of_cifar10_are_cut_into_halves_by_the_seed(table):
    try:
        locate(CARD["darts"])
    except MissingData as error:
        pytest.skip(str(error))
    task = NAS(sample=5, images=200)
    (first, _), (again, _), (other, _) = (task.load("nasbench201", "smoke", seed) for seed in (0, 0, 1))
    assert torch.equal(first.images, again.images)
    assert not torch.equal(first.images, other.images)
    halves = [{image.numpy().tobytes() for image in part} for part in (first.images, first.search_images)]
    assert not halves[0] & halves[1]
    # Black is (0 - 125.3) / 63 in the first channel; normalised images have mean 0 and deviation 1, roughly.
    assert first.background[0].item() == pytest.approx(-125.3 / 63, abs=1e-5)
    assert abs(first.images.mean().item()) < 0.2
    assert first.images.std().item() == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("|none~0|+|none~0|none~1|+|none~0|none~1|none~2|", "|none~0|", "is no architecture of nas-bench-201"),
        ("|none~0|+|none~0|none~1|+|none~0|none~1|none~2|", "|skip_connect~0|+|none~0|none~1|+|none~0|none~1|none~2|",
         "not all 15,625 architectures"),
    ],
)  # fmt: skip
def test_a_damaged_table_is_named(table, tmp_path, old, new, message):
    damaged = tmp_path / "nasbench201_acc.csv"
    damaged.write_text(table.read_text().replace(old, new))
    with pytest.raises(UserError, match=message):
        read_nasbench201(damaged)


@pytest.mark.parametrize("card", [card for card in CARDS if card.kind == "files"], ids=lambda card: card.name)
def test_the_files_here_are_those_of_the_card(card):
    base = root()
    if base is None or not (base / card.folder).is_dir():
        pytest.skip(f"no folder {card.folder}")
    assert {state.state for state in check(card, base, checksums=True)} == {"ok"}


# digits-cells ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cells():
    with DIGITS_CELLS_TABLE.open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_cell_was_trained_from_three_seeds(cells):
    assert [(int(row["cell"]), int(row["seed"])) for row in cells] == [(n, s) for n in range(125) for s in range(3)]
    for row in cells:
        assert row["architecture"] == str(DIGITS_CELLS.architecture(int(row["cell"])))


def test_the_costs_in_the_table_are_those_of_the_closed_forms(cells):
    for row in cells:
        cell = DIGITS_CELLS.architecture(int(row["cell"]))
        assert int(row["parameters"]) == DIGITS_CELLS.parameters(cell, 8, 1, 10, 1)
        assert int(row["macs"]) == DIGITS_CELLS.macs(cell, 8, 1, 10, 14, 1)


def test_each_row_names_the_record_that_it_comes_from(cells):
    assert len({row["key"] for row in cells}) == 375
    assert all(len(row["key"]) == 64 and len(row["commit"]) == 40 for row in cells)


def test_the_cells_are_worth_searching(cells):
    truth = read_digits_cells(DIGITS_CELLS_TABLE).test["accuracy"]
    connected = torch.tensor([DIGITS_CELLS.connected(cell) for cell in DIGITS_CELLS.all()])
    # What lets nothing through guesses: one digit in ten.
    assert (truth[~connected] < 15).all()
    living = truth[connected]
    assert living.max() - living.min() > 20
    sizes = [DIGITS_CELLS.parameters(cell, 8, 1, 10, 1) for cell in DIGITS_CELLS.all()]
    tau = kendalltau(sizes, truth).statistic
    assert 0.2 < tau < 0.9


def test_a_trial_is_told_one_training_and_the_judge_the_mean_of_all(cells):
    architecture = DIGITS_CELLS.architecture(93)
    mine = [row for row in cells if row["cell"] == "93"]
    for seed in range(4):
        problem, held_out = NAS(sample=3, images=8).load("digits-cells", "smoke", seed)
        assert problem.validation(architecture) == pytest.approx(float(mine[seed % 3]["validation"]))
        assert held_out.test["accuracy"][93].item() == pytest.approx(np.mean([float(row["test"]) for row in mine]))
        assert held_out.test_part is None
