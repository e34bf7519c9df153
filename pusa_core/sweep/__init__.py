"""A small grid of settings tried on one picture: the grid, what is measured of each tile, which one is best, and the sheet."""

from .choice import Choice, best_of
from .grid import MOST_TILES, Tile, plan_tiles
from .measures import Measures, measure
from .sheet import Sheet, draw_sheet, draw_video, tile_text

__all__ = [
    "MOST_TILES",
    "Choice",
    "Measures",
    "Sheet",
    "Tile",
    "best_of",
    "draw_sheet",
    "draw_video",
    "measure",
    "plan_tiles",
    "tile_text",
]
