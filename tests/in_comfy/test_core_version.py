"""Claims: on this version of ComfyUI nothing of the pack steps aside for ComfyUI's own code (dev.py compat records it)."""

import pytest

from comfyui_pusa.nodes.host import forward, frozen_cache


@pytest.mark.parametrize("feature", ["frame-wise modulation", "Frozen Frame Cache"])
def test_it_does_not_step_aside(feature, load_tiny_wan, record_property):
    reasons = {
        "frame-wise modulation": lambda: forward.reason_against(load_tiny_wan()),
        "Frozen Frame Cache": frozen_cache.reason_against_attention,
    }
    reason = reasons[feature]()
    if reason is not None:
        record_property("steps_aside", f"{feature}: {reason}")
    assert reason is None


@pytest.mark.core("0.18")
def test_a_test_of_newer_versions_runs_on_those(load_tiny_wan):
    import comfy.memory_management

    assert hasattr(comfy.memory_management, "aimdo_enabled")


@pytest.mark.core(before="0.4")
def test_a_test_of_older_versions_runs_on_those(load_tiny_wan):
    assert not hasattr(load_tiny_wan(), "is_dynamic")
