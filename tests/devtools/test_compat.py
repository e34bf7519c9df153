"""Claims: dev.py compat counts what pytest reports, keeps one row a core, and says which failures are ComfyUI's own."""

import xml.etree.ElementTree as ElementTree

import pytest

from devtools import compat, dynamic_vram
from devtools.environment import SetupError

REPORT = """<testsuites><testsuite><properties><property name="not_for_this_core" value="3"/></properties>
<testcase classname="in_comfy.test_registration" name="test_nodes"><properties>
 <property name="nodes" value="26 of 26"/></properties></testcase>
<testcase classname="in_comfy.test_golden_latents" name="test_server[PusaSampler-a]"><properties>
 <property name="difference" value="1.5e-05"/></properties></testcase>
<testcase classname="in_comfy.test_golden_latents" name="test_server[PusaSampler-b]"><properties>
 <property name="difference" value="4e-06"/></properties><failure/></testcase>
<testcase classname="in_comfy.test_core_version" name="test_aside"><properties>
 <property name="steps_aside" value="the cache: other bits"/></properties><failure/></testcase>
<testcase classname="in_comfy.test_x" name="test_core_fault[1]"><failure/></testcase>
<testcase classname="in_comfy.test_x" name="test_core_fault[2]"><error/></testcase>
<testcase classname="in_comfy.test_x" name="test_gpu"><skipped/></testcase>
</testsuite></testsuites>"""


@pytest.fixture
def row(monkeypatch):
    """The row that is read from REPORT."""
    faults = [
        compat.CoreFault("0.33.0", ("test_x::*",), "mended before"),
        compat.CoreFault("0.34.0", ("test_x::test_core_fault[[12]]",), "no brackets of a pattern"),
        compat.CoreFault("0.34.0", ("test_y::*", "test_x::test_core_*[*]"), "core rounds it twice"),
    ]
    monkeypatch.setattr(compat, "BECAUSE_OF_CORE", faults)
    row = compat.Row("0.33.0", "1.58.1", "2026-11-25")
    compat.read_report(ElementTree.fromstring(REPORT), row)
    return row


def test_the_report_is_counted(row):
    assert (row.passed, row.not_for_it, row.nodes) == (2, 3, "26 of 26")
    assert (row.difference, row.parity) == (1.5e-5, "1 of 2")
    assert row.steps_aside == ["the cache: other bits"]


def test_a_failure_without_a_reason_of_comfyuis_is_the_packs(row):
    assert row.failed["core rounds it twice"].splitlines() == [
        "test_x::test_core_fault[1]",
        "test_x::test_core_fault[2]",
    ]
    assert len(row.failed[""].splitlines()) == 2


def test_the_document_has_one_row_a_core_in_the_order_of_versions(row, tmp_path, monkeypatch):
    monkeypatch.setattr(compat, "ROWS", tmp_path / "rows.json")
    monkeypatch.setattr(compat, "DOCUMENT", tmp_path / "rows.md")
    older = compat.Row("0.3.75", "1.32.9", "2026-11-25")
    simulated = compat.Row(f"0.33.0, {compat.DYNAMIC}", "1.58.1", "2026-11-25")
    for rows in ([simulated, row], [row, older]):
        kept = compat.read_rows()
        compat.write_rows(kept | {each.core: each for each in rows})
    compat.write_document(compat.read_rows())
    text = compat.DOCUMENT.read_text("utf-8")
    cores = [line.split(" | ")[0] for line in text.splitlines() if line.startswith("| 0.")]
    assert cores == ["| 0.3.75", "| 0.33.0", f"| 0.33.0, {compat.DYNAMIC}"]
    assert "**0.33.0**: core rounds it twice (2)" in text
    assert "* `test_x::test_core_fault` (2)" in text
    assert "not explained yet (2)" in text


def test_the_committed_document_is_what_its_figures_give(pack_root, tmp_path, monkeypatch):
    rows = compat.read_rows()
    monkeypatch.setattr(compat, "DOCUMENT", tmp_path / "rows.md")
    compat.write_document(rows)
    written = (pack_root / "docs" / "COMPATIBILITY.md").read_text("utf-8")
    assert compat.DOCUMENT.read_text("utf-8") == written


def test_dynamic_vram_is_simulated_in_a_copy_and_refused_where_the_code_is_another(tmp_path):
    double = tmp_path / "double.py"
    double.write_text("", "utf-8")
    core, copy = tmp_path / "core", tmp_path / "copy"
    for name, changes in dynamic_vram.REROUTES.items():
        (core / name).parent.mkdir(parents=True, exist_ok=True)
        (core / name).write_text("\n".join(old for old, _ in changes), "utf-8")
    assert dynamic_vram.simulated(core, double, copy) == copy
    assert "if False:" in (copy / "comfy" / "ops.py").read_text("utf-8")
    assert "CoreModelPatcher = ModelPatcherDynamic" in (copy / "comfy" / "model_patcher.py").read_text(
        "utf-8"
    )
    (core / "comfy" / "ops.py").write_text("", "utf-8")
    with pytest.raises(SetupError, match=r"0 places .* in comfy/ops.py"):
        dynamic_vram.simulated(core, double, copy)
    with pytest.raises(SetupError, match="no file"):
        dynamic_vram.simulated(core, tmp_path / "none.py", copy)
