"""Wan2.2's two experts behind one MODEL: two stages that change at a sigma."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...pusa_core.errors import PusaError
from ...pusa_core.experts import StageEnd, check_boundary
from .features import apply, feature_of
from .models import base_of
from .stages import Stage, Stages


@dataclass(frozen=True, eq=False)
class ExpertSwitch(Stages):
    """Steps from sigma >= boundary on the high-noise expert, the rest on the low-noise one."""

    name = "Wan2.2 MoE Switch"
    some = "one of the two experts"
    remedy = "Connect the loaded models themselves to Wan2.2 MoE Switch."

    @property
    def high(self) -> Any:
        """The high-noise expert's MODEL."""
        return self.stages[0].model

    @property
    def low(self) -> Any:
        """The low-noise expert's MODEL."""
        return self.stages[1].model

    @property
    def boundary(self) -> float:
        """Sigma in [0, 1] below which the low-noise expert runs."""
        return self.stages[0].end.sigma

    @property
    def high_cfg(self) -> float:
        """Guidance of the high-noise expert, 0 takes the sampler's."""
        return self.stages[0].cfg

    @property
    def low_cfg(self) -> float:
        """Guidance of the low-noise expert, 0 takes the sampler's."""
        return self.stages[1].cfg

    def low_after(self, switched: Any) -> Any:
        """The low-noise expert with all that was done to `switched` after the switch."""
        return self.later_models(switched)[0]


def switch_experts(high: Any, low: Any, boundary: float, high_cfg: float = 0.0, low_cfg: float = 0.0) -> Any:
    """One MODEL that runs both experts of Wan2.2."""
    end = StageEnd(sigma=check_boundary(boundary))
    for name, model in (("high_noise", high), ("low_noise", low)):
        base = base_of(model)
        if base.boundary is None:
            raise PusaError(
                f"{name} is {base.title}, which has no two experts. Connect it to the sampler without Wan2.2 MoE Switch."
            )
        if feature_of(model, Stages) is not None:
            raise PusaError(
                f"{name} already holds two experts. Connect the loaded models themselves to Wan2.2 MoE Switch."
            )
    stages = (Stage(high, end, high_cfg, "high_noise_cfg"), Stage(low, None, low_cfg, "low_noise_cfg"))
    return apply(high, ExpertSwitch(stages))


def experts_of(model: Any) -> ExpertSwitch | None:
    """The switch inside a MODEL, None where it is a single model."""
    return feature_of(model, ExpertSwitch)
