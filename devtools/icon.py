"""Draws the pack's icon and banner, assets/icon.svg and assets/banner.svg: one given frame, and the others on noise of their own.

python -m devtools.icon
"""

import random
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "assets"
BACKGROUND, GIVEN, FREE = "#15171c", "#f08000", "#7f8ea3"  # those of the timeline and the thumbnails
DOTS = 8  # along each side of a frame
BALL = 0.27  # radius of the thing in the picture, of a frame's side
ICON, BANNER = (400, 400), (1260, 540)  # pixels; the registry's limits: 400 x 400, and 21 to 9


def frame(left: float, top: float, side: float, noise: float, place: float, seed: int) -> list[str]:
    """A frame of the video; noise: share of the dots that are noise, 0 for a given one; place: of the ball, 0 left to 1 right."""
    source = random.Random(seed)
    color = GIVEN if noise == 0 else FREE
    parts = [f'<rect x="{left:g}" y="{top:g}" width="{side:g}" height="{side:g}" rx="{side / 8:g}" fill="#20242c" stroke="{color}" stroke-width="{side / 20:g}"/>']  # fmt: skip
    x = left + side * (BALL + 0.08 + place * (1 - 2 * BALL - 0.16))
    parts.append(
        f'<circle cx="{x:.1f}" cy="{top + side / 2:.1f}" r="{side * BALL:.1f}" fill="{GIVEN}" opacity="{1 - 0.75 * noise:.2f}"/>'
    )
    step = side / (DOTS + 1)
    for row in range(1, DOTS + 1):
        for column in range(1, DOTS + 1):
            if source.random() < noise:
                shade = source.choice(("#dfe6f0", "#7f8ea3", "#3b4350"))
                parts.append(
                    f'<circle cx="{left + column * step:.1f}" cy="{top + row * step:.1f}" r="{step * 0.3:.1f}" fill="{shade}"/>'
                )
    return parts


def svg(size: tuple[int, int], corner: int, parts: list[str]) -> str:
    """A whole picture."""
    width, height = size
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">'
    back = f'<rect width="{width}" height="{height}" rx="{corner}" fill="{BACKGROUND}"/>'
    return "\n".join([head, back, *parts, "</svg>"]) + "\n"


def icon() -> str:
    """Four frames in a square, the first one given."""
    side, gap = 152, 24
    edge = (ICON[0] - 2 * side - gap) / 2
    parts = []
    for number in range(4):
        left, top = (edge + index * (side + gap) for index in (number % 2, number // 2))
        parts += frame(left, top, side, number * 0.22, number / 3, number)
    return svg(ICON, 64, parts)


def banner() -> str:
    """Seven frames in a row, the first and the last one given, above the words."""
    count, gap = 7, 20
    side = (BANNER[0] - 2 * 70 - (count - 1) * gap) / count
    parts = []
    for number in range(count):
        inner = min(number, count - 1 - number)
        parts += frame(70 + number * (side + gap), 120, side, inner * 0.24, number / (count - 1), number)
    words = '<text x="70" y="{y}" font-family="Inter, Helvetica, Arial, sans-serif" font-size="{size}" fill="{fill}">{text}</text>'
    parts.append(words.format(y=390, size=88, fill="#ffffff", text="Pusa"))
    parts.append(
        words.format(y=448, size=36, fill="#aab4c3", text="every frame of a video on a timestep of its own")
    )
    return svg(BANNER, 0, parts)


def main() -> None:
    """Writes both."""
    FOLDER.mkdir(exist_ok=True)
    for name, text in (("icon.svg", icon()), ("banner.svg", banner())):
        (FOLDER / name).write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
