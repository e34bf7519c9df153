"""A graph as ComfyUI's API prompt has it: what its nodes are set to, and where given frames and samplings are lost."""

from .faults import GraphFaults, read_faults
from .settings import GraphSettings, Unknown, read_graph

__all__ = ["GraphFaults", "GraphSettings", "Unknown", "read_faults", "read_graph"]
