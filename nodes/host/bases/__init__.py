"""ComfyUI's half of every base, one file each, in the order of pusa_core.bases.BASES."""

from __future__ import annotations

from ....pusa_core.bases import Base
from .host_base import HostBase
from .ltxv import LTXVHost
from .mochi import MochiHost
from .wan import WanHost
from .wan22_5b import Wan225bHost
from .wan_vace import WanVaceHost

HOSTS: tuple[HostBase, ...] = (WanHost(), Wan225bHost(), MochiHost(), LTXVHost())

VARIANTS: tuple[HostBase, ...] = (WanVaceHost(),)
"""Models of a base whose forward is another."""

_BY_ID = {host.base.id: host for host in HOSTS}

PATCHES = tuple(dict.fromkeys(patch for host in (*HOSTS, *VARIANTS) for patch in host.patches))
"""Functions whose bound methods the bases put on a DiT."""

__all__ = ["HOSTS", "PATCHES", "VARIANTS", "HostBase", "host_of"]


def host_of(base: Base) -> HostBase:
    """ComfyUI's half of a base."""
    return _BY_ID[base.id]
