"""The reader of clip files under the name that scripts written for earlier versions import; see pusa_core/clips."""

from .clips.reading import clip_of_file

__all__ = ["clip_of_file"]
