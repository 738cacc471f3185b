import pytest

from reports.numbers import decimals, fixed, p_value, scale, signed, significant
from reports.text import label, lines, printable, shortened, slug, traceback_tail


def test_a_column_shows_two_digits_of_its_typical_interval():
    assert decimals([10.094, 12.26], [0.369, 0.255]) == 2
    assert decimals([8123.0], [140.0]) == 0


def test_without_intervals_a_column_shows_four_digits_of_its_largest_value():
    assert decimals([0.97312, 0.01], []) == 4
    assert decimals([10.0], []) == 2


@pytest.mark.parametrize(
    ("value", "text"),
    [(1234.5678, "1,234.57"), (-34.126, "−34.13"), (0.00123, "1.2e−03"), (0.0, "0.00"), (-0.0, "0.00")],
)
def test_fixed_decimals_never_print_a_value_as_zero_that_is_none(value, text):
    assert fixed(value, 2) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0123456, "0.0123"), (9.996, "10.0"), (1234567.0, "1,230,000"), (1e-7, "1.00e−07"), (0.0, "0"), (-2.5, "−2.50")],
)
def test_three_significant_digits(value, text):
    assert significant(value) == text


def test_signs_are_always_told():
    assert (signed(2.0, 1), signed(-2.0, 1)) == ("+2.0", "−2.0")


def test_prefixes_fit_the_smallest_value():
    assert scale("MAC", [2.5e6, 8e6]) == (1e6, "M")
    assert scale("parameter", [32, 64_000]) == (1.0, "")
    assert scale("byte", [3 * 2**30]) == (2.0**30, "GiB")
    assert scale("ms", [0.001]) == (1.0, "ms")


def test_prefixes_grow_where_the_largest_value_would_have_seven_digits():
    # 1 and 2,000,000 in units; in k the largest has four digits.
    assert scale("parameter", [1, 2_000_000]) == (1e3, "k")


def test_a_p_of_zero_is_never_printed():
    assert p_value(1e-9) == "p < 0.001"
    assert p_value(0.0132) == "p = 0.013"


def test_characters_that_steer_a_terminal_or_the_reading_direction_are_dropped():
    assert printable("a\x1b[31mb\u202ec\nd") == "a[31mbc d"
    assert lines("a\n\tb\x07") == "a\n    b"


def test_long_texts_keep_their_start_and_end():
    text = shortened("a" * 50 + "z" * 50, 30)
    assert len(text) == 30
    assert text.startswith("aaa")
    assert text.endswith("zzz")
    assert len(label("x" * 1_000_000)) == 60


def test_a_traceback_keeps_its_end_and_says_what_is_missing():
    told = traceback_tail("x" * 5000 + "\nValueError: the end")
    assert told.endswith("ValueError: the end")
    assert told.startswith("[3,020 characters before this are in the record]")


def test_file_names_are_plain_whatever_the_record_says():
    assert slug("../../etc/pass wd<script>") == "etc-pass-wd-script"
    assert slug("日本") == "x"
