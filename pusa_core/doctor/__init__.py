"""What can be wrong with a Pusa graph, as rules on plain facts: each finding says what, why and how to mend it.

facts.py holds what is known, models.py, experts.py, schedules.py, latents.py and given.py the rules by topic, report.py the text.
"""

from ..findings import Finding
from .facts import Facts, ModelFacts
from .report import diagnose, report
from .schedules import implied_shift

__all__ = ["Facts", "Finding", "ModelFacts", "diagnose", "implied_shift", "report"]
