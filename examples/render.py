"""Named tasks: slaves that load a scene once, and draw frame after frame of it.

In this folder, on each machine that is to help, and then once more for the film::

    masterslave slave --handlers render:Render
    python render.py

Where no slave comes, local ones draw it; ``masterslave run render.py --here`` draws it in a thread.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence

from masterslave import Farm, Slave

WIDTH, HEIGHT = 64, 22
CENTRE = -0.743643887 + 0.131825904j
INKS = " .:-=+*#%@"


class Render(Slave):
    """Draws a film that flies into the Mandelbrot set."""

    def setup(self) -> None:
        """Make the palette: in a real film, the scene and its textures, gigabytes of them."""
        self.palette = [INKS[depth * len(INKS) // 201] for depth in range(201)]
        self.drawn = 0

    def do_frame(self, number: int) -> str:
        """Return a frame as lines of text."""
        self.drawn += 1
        width = 3.0 * 0.85**number
        rows = []
        for y in range(HEIGHT):
            self.progress(y, HEIGHT)
            points = (complex(x / WIDTH - 0.5, 0.7 * (y / HEIGHT - 0.5)) for x in range(WIDTH))
            rows.append("".join(self.palette[_depth(CENTRE + width * point)] for point in points))
        return "\n".join(rows)

    def do_drawn(self) -> int:
        """Return how many frames this process has drawn."""
        return self.drawn


def _depth(point: complex) -> int:
    value = 0j
    for depth in range(200):
        value = value * value + point
        if abs(value) > 2:
            return depth
    return 200


def main(argv: Sequence[str] | None = None) -> int:
    """Have the film drawn, and show it."""
    parser = argparse.ArgumentParser(description="Draw a film on slaves with handlers.")
    parser.add_argument("--frames", type=int, default=40, metavar="N", help="how many (40)")
    parser.add_argument("--still", action="store_true", help="show the last frame only")
    arguments = parser.parse_args(argv)
    frame = ""
    with Farm("render", handlers=Render) as farm:
        for frame in farm.imap("frame", range(arguments.frames)):
            if not arguments.still:
                print(f"\033[2J\033[H{frame}")
                time.sleep(0.05)
        slaves = ", ".join(f"{slave.name} {slave.done}" for slave in farm.slaves)
    if arguments.still:
        print(frame)
    print(f"{arguments.frames} frames; tasks done by {slaves}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
