"""ComfyUI's half of every base, one file each, in the order of pusa_core.bases.BASES."""

from __future__ import annotations

from .host_base import HostBase
from .mochi import MochiHost
from .wan import WanHost
from .wan22_5b import Wan225bHost

HOSTS: tuple[HostBase, ...] = (WanHost(), Wan225bHost(), MochiHost())

PATCHES = tuple(dict.fromkeys(patch for host in HOSTS for patch in host.patches))
"""Functions whose bound methods the bases put on a DiT."""

__all__ = ["HOSTS", "PATCHES", "HostBase"]
