from devtools import bench_plan


def test_the_page_is_what_the_arithmetic_and_the_last_benchmark_give(pack_root):
    """python dev.py bench --plan"""
    text = (pack_root / "docs" / "PLAN.md").read_text("utf-8")
    assert text.splitlines() == list(bench_plan.page(bench_plan.measured_rows()))


def test_four_steps_with_half_size_above_the_boundary_need_at_most_six_tenths_at_720p():
    assert bench_plan.share(bench_plan.DISTILLED | bench_plan.HALF, bench_plan.DISTILLED, "720p") <= 0.6
