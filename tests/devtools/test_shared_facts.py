"""js/generated_facts.js holds what pusa_core says, and JavaScript can read it."""

import re

import pytest

from devtools import shared_facts


def test_the_file_is_what_the_generator_writes():
    assert shared_facts.FILE.read_text("utf-8") == shared_facts.file_text(), (
        "run `python -m devtools.shared_facts`"
    )


def test_patterns_use_nothing_that_javascript_lacks():
    for name, value, _ in shared_facts.shared_facts():
        patterns = value.values() if isinstance(value, dict) else [value]
        for pattern in patterns:
            if isinstance(pattern, re.Pattern):
                assert not re.search(r"\(\?[aiLmsux-]+[:)]|\(\?P|\\[AZ]|\(\?#", pattern.pattern), name
                assert not pattern.flags & ~(re.IGNORECASE | re.UNICODE), name


@pytest.mark.parametrize(
    ("value", "script"),
    [
        (4, "4"),
        (16.0, "16"),
        (0.875, "0.875"),
        ('a"b', '"a\\"b"'),
        (("a", "b"), '["a", "b"]'),
        (re.compile("a/b", re.IGNORECASE), "/a\\/b/i"),
        ({"a": re.compile("b")}, "{ a: /b/ }"),
    ],
)
def test_values_are_written_as_javascript_writes_them(value, script):
    assert shared_facts.in_script(value) == script


def test_no_script_repeats_a_shared_number_or_pattern(pack_root):
    """The mirrors import their constants; a copy would go its own way."""
    names = "|".join(name for name, _, _ in shared_facts.shared_facts())
    copy = re.compile(rf"^(?:export )?const (?:{names}) = (?!.*from )", re.MULTILINE)
    for path in (pack_root / "js").glob("*.js"):
        if path != shared_facts.FILE:
            assert not copy.search(path.read_text("utf-8")), path.name


def test_scripts_name_nodes_by_the_shared_names(pack_root):
    for path in (pack_root / "js").glob("*.js"):
        if path != shared_facts.FILE:
            assert not re.search(r"\"Pusa[A-Z]\w+\"", path.read_text("utf-8")), path.name
