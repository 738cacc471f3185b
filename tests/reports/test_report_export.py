import csv
import io
import json
import re
import shutil
import subprocess

import pytest
from record_factory import board_of, cost, failed, percent, profile, record, skipped
from rich.console import Console

from bench.record import MetricValue
from reports.export import as_json, csv_table, latex, latex_text, markdown
from reports.terminal import plain, rich_table


@pytest.fixture
def board():
    """Two methods on two seeds, one failed, one skipped; means and half widths can be checked by hand."""
    # nnpu: 8 and 10, mean 9, half width 12.706 x 1.4142 / 1.4142 = 12.706. upu: 18 and 20, likewise.
    records = [record("nnpu", seed, error=8.0 + 2 * seed, costs=profile(2.0, 5e5)) for seed in range(2)]
    records += [record("upu", seed, error=18.0 + 2 * seed, costs=profile(1.0, 5e5)) for seed in range(2)]
    return board_of([*records, failed("broken", 0, "oom"), skipped("absent", 1)])


MARKDOWN = """\
## pu on mnist5k

Budget small, device cpu, Xeon 6973P, 2 cores; 2 seeds. All figures: reproduced by this harness.

| \\# | method | seeds | error (%) ↓ | latency (ms) ↓ | throughput (items/s) ↑ | MACs (k) ↓ | parameters (k) ↓ \
| peak memory (MiB) ↓ | energy (J) ↓ | from the best | trouble |
| --: | :-- | --: | --: | --: | --: | --: | --: | --: | --: | --: | :-- |
| 1 | nnpu | 2 / 2 | 9 ± 13 | 2.00 | 128,000 | 500 | 250 | 64.0 | ∅ [1] |  |  |
| 2 | upu | 2 / 2 | 19 ± 13 | 1.00 | 256,000 | 500 | 250 | 64.0 | ∅ [1] | +10.0 [10.0, 10.0] |  |
| – | absent | 0 / 2 | ⊘ | ⊘ | ⊘ | ⊘ | ⊘ | ⊘ | ⊘ |  | 1 skipped, 1 not run (missing-data) |
| – | broken | 0 / 2 | ✗ | ✗ | ✗ | ✗ | ✗ | ✗ | ✗ |  | 1 failed, 1 not run (oom) |

Ranked by the mean of error (%) over seeds; lower is better. ± is the half width of a 95 % t interval over seeds. \
n &lt; 5: no test. There are fewer than 5 paired seeds, so that the rank there is the plain order of the means. \
Failed and skipped trials are counted in their row and are in no mean.

- A/A noise floor: not measured, since it needs 4 seeds of one method.

1. energy: no RAPL zones here; run on bare metal

Blanks: ✗ failed (the trial was tried and left no result); ⊘ skipped (the trial was not tried, for the reason given); \
∅ not measured (the trial ran, but the instrument could not read this, for the reason given); · not run (no trial, or \
the stage that gives this was not asked for).
"""


def test_markdown_is_as_agreed(board):
    assert markdown(board) == MARKDOWN


LATEX_BODY = """\
    \\toprule
     & Method & Seeds & error (\\%) $\\downarrow$ & latency (ms) $\\downarrow$ & throughput (items/s) $\\uparrow$ & \
MACs (k) $\\downarrow$ & parameters (k) $\\downarrow$ & peak memory (MiB) $\\downarrow$ \\\\
    \\midrule
    1 & nnpu & 2 / 2 & 9 $\\pm$ 13 & 2.00 & 128,000 & 500 & 250 & 64.0 \\\\
    2 & upu & 2 / 2 & 19 $\\pm$ 13 & 1.00 & 256,000 & 500 & 250 & 64.0 \\\\
    -- & absent & 0 / 2 & $\\oslash$ & $\\oslash$ & $\\oslash$ & $\\oslash$ & $\\oslash$ & $\\oslash$ \\\\
    -- & broken & 0 / 2 & $\\times$ & $\\times$ & $\\times$ & $\\times$ & $\\times$ & $\\times$ \\\\
    \\bottomrule
"""


def test_latex_is_a_booktabs_table_without_columns_that_nobody_measured(board):
    text = latex([board])
    assert LATEX_BODY in text
    assert "No row has a value for: energy." in text
    assert "\\begin{tabular}{rlrrrrrrr}" in text


@pytest.mark.skipif(
    not any(map(shutil.which, ("tectonic", "pdflatex"))), reason="neither tectonic nor pdflatex is here"
)
def test_latex_compiles_as_it_stands_in_a_paper(board, tmp_path):
    preamble = "\\documentclass{article}\n\\usepackage[T1]{fontenc}\n\\usepackage{amssymb,booktabs}\n"
    hostile = board_of([record('50% of a_b & {c} \\input{x} #1 $y ^~<>|"±−×≈↑↓…–✗⊘∅·', costs=profile(1.0, 1e6))])
    body = latex([board, hostile])
    (tmp_path / "paper.tex").write_text(f"{preamble}\\begin{{document}}\n{body}\\end{{document}}\n")
    program = next(filter(shutil.which, ("tectonic", "pdflatex")))
    options = [] if program == "tectonic" else ["-interaction=nonstopmode", "-halt-on-error"]
    done = subprocess.run([program, *options, "paper.tex"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "paper.pdf").stat().st_size > 1000


def opened(text):
    """What a TeX source leaves open: groups, environments and mathematics, told apart as TeX does."""
    stack = []
    for found in re.finditer(r"\\(begin|end)\{(\w+)\}|\\.|[{}$]|(?<!\\)%[^\n]*", text):
        token = found[0]
        if found[1] == "begin":
            stack.append(found[2])
        elif found[1] == "end":
            assert stack.pop() == found[2]
        elif token == "{":
            stack.append("{")
        elif token == "}":
            assert stack.pop() == "{"
        elif token == "$":
            stack.pop() if stack and stack[-1] == "$" else stack.append("$")
    return stack


def test_the_structure_of_the_latex_is_closed_even_if_a_name_is_hostile(board):
    hostile = board_of([record("a}{$ \\end{table} % & #", costs=profile(1.0, 1e6))])
    text = latex([board, hostile])
    assert opened(text) == []
    assert opened(r"\begin{table}{a$") == ["table", "{", "$"]
    # Outside of mathematics nothing stands that T1 has no glyph for.
    assert {c for c in text if ord(c) > 126} == set()
    assert [line for line in text.splitlines() if re.search(r"(?<!\\)#", line)] == []


def test_every_latex_row_has_as_many_cells_as_the_table_has_columns(board):
    text = latex([board])
    columns = len(re.search(r"begin\{tabular\}\{(\w+)\}", text)[1])
    rows = [line for line in text.splitlines() if line.endswith("\\\\")]
    assert {len(re.findall(r"(?<!\\)&", row)) + 1 for row in rows} == {columns}


@pytest.fixture
def mixed():
    """A row as the paper prints it beside one that was reproduced."""
    return board_of([record("ours", error=10.0), record("theirs", error=9.0, claim_level="paper")])


def test_where_rows_differ_in_their_claim_level_each_tells_its_own(mixed):
    assert "| 1 | theirs | 1 / 1 | 9.00 |  | paper |  |" in markdown(mixed)
    assert "| 2 | ours | 1 / 1 | 10.00 | +1.00 | reproduced |  |" in markdown(mixed)
    assert "& 9.00 & paper \\\\" in latex([mixed])
    assert "\\begin{tabular}{rlrrl}" in latex([mixed])
    assert "Claim levels: theirs paper, ours reproduced." in plain(mixed)


def test_where_rows_share_their_claim_level_one_sentence_says_so(board):
    assert "claim level" not in markdown(board)
    assert "All figures: reproduced by this harness." in latex([board])
    assert "All figures: reproduced by this harness." in plain(board)


def test_csv_and_json_tell_claim_level_and_protocol_of_every_row(mixed):
    rows = list(csv.DictReader(io.StringIO(csv_table([mixed]))))
    assert [(row["method"], row["claim level"], row["protocol"]) for row in rows] == [
        ("theirs", "paper", "v1, mnist5k v1"),
        ("ours", "reproduced", "v1, mnist5k v1"),
    ]
    (told,) = as_json([mixed])
    assert (told["protocol"], told["rows"][0]["claim_level"]) == ("v1, mnist5k v1", "paper")


def test_what_latex_reads_as_a_command_is_escaped():
    assert latex_text(r"50% of a_b & {c} \input{x} #1 $y ^~") == (
        r"50\% of a\_b \& \{c\} \textbackslash{}input\{x\} \#1 \$y \textasciicircum{}\textasciitilde{}"
    )


def test_csv_has_raw_values_with_units_in_the_headers(board):
    rows = list(csv.DictReader(io.StringIO(csv_table([board]))))
    assert [row["method"] for row in rows] == ["nnpu", "upu", "absent", "broken"]
    first = rows[0]
    assert float(first["metric.error (%)"]) == 9.0
    assert float(first["metric.error (%) half width"]) == pytest.approx(12.706, rel=1e-4)
    assert float(first["cost.macs (MAC)"]) == 500_000
    assert first["cost.energy_j (J)"] == ""
    assert first["cost.energy_j (J) mark"] == "not measured"
    assert rows[3]["metric.error (%) mark"] == "failed"
    assert rows[3]["causes"] == "oom:1"


def test_quantities_of_one_name_but_two_units_keep_columns_of_their_own():
    percents = board_of([record("a", error=10.0)])
    shares = board_of(
        [record("a", metrics={"error": percents_as_share()}, task="other", costs={"latency_ms": cost(1.0, "ms")})]
    )
    rows = list(csv.DictReader(io.StringIO(csv_table([percents, shares]))))
    assert (rows[0]["metric.error (%)"], rows[1]["metric.error"]) == ("10.0", "0.1")
    assert (rows[0]["metric.error"], rows[0]["metric.error mark"]) == ("", "")


def percents_as_share():
    return MetricValue(value=0.1, unit="", better="low", items=10)


@pytest.mark.parametrize("name", ["=HYPERLINK(1)", "+1", "-x", "@cmd"])
def test_a_method_name_is_no_formula_in_a_spreadsheet(name):
    (row,) = csv.DictReader(io.StringIO(csv_table([board_of([record(name)])])))
    assert row["method"] == f"'{name}"


def test_a_method_name_is_neither_markup_nor_a_cell_in_markdown():
    text = markdown(board_of([record("a|b <script>*x*</script>")]))
    assert "a\\|b &lt;script&gt;\\*x\\*&lt;/script&gt;" in text


def test_json_is_plain_data_with_raw_values_and_named_marks(board):
    (told,) = json.loads(json.dumps(as_json([board]), allow_nan=False))
    assert told["quantities"][0] == {
        "key": "metric.error",
        "unit": "%",
        "better": "low",
        "group": "metric",
        "name": "error",
    }
    assert told["rows"][0]["cells"]["metric.error"]["mean"] == 9.0
    assert told["rows"][3]["cells"]["metric.error"]["mark"] == "failed"


def test_plain_text_is_aligned_and_names_the_columns_that_did_not_fit(board):
    text = plain(board, width=80)
    header, first, second = text.splitlines()[2:5]
    assert header.index("seeds") + 5 == first.index("2 / 2") + 5 == second.index("2 / 2") + 5
    assert max(len(line) for line in text.splitlines()[2:7]) <= 80
    assert "Not shown: " in text
    assert "energy" in text
    assert "✗ failed" in text


def test_where_room_is_short_costs_come_before_the_fourth_metric_and_columns_keep_their_order():
    scores = {f"iou_{letter}": percent(50.0) for letter in "abcdefgh"}
    text = plain(board_of([record(metrics=scores, costs=profile(1.0, 1e6))]), width=90)
    header, below = text.splitlines()[2], text[text.index("Not shown: ") :]
    assert header.index("iou c") < header.index("latency")
    assert "iou d" not in header
    assert "iou d" in below


def test_the_rich_table_takes_no_markup_from_a_name():
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(rich_table(board_of([record("[red]nnpu[/red]")]), 100))
    assert "[red]nnpu[/red]" in console.export_text()
