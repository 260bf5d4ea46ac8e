"""Makes pictures of the plugin into docs/, of which README and guide show each.

xvfb-run -a -s "-screen 0 1600x1000x24 +extension GLX" python -m plugins.screenshots all
xvfb-run -a -s "-screen 0 1600x1000x24 +extension GLX" python -m plugins.screenshots plugin.png pictures/cube.png
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from . import joining, looking, restoring  # noqa: F401  # they enter their pictures
from .stage import PICTURES

DOCS = Path(__file__).resolve().parents[2] / "docs"


def main() -> None:
    """Make the pictures that are named, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", choices=["all", *PICTURES], metavar="NAME", help="all, or some of these: "
                        + ", ".join(PICTURES))  # fmt: skip
    parser.add_argument("--out", type=Path, default=DOCS, help="folder of the pictures (docs)")
    given = parser.parse_args()
    with TemporaryDirectory() as home:
        # What a person set in napari is not for the pictures.
        os.environ["NAPARI_CONFIG"] = str(Path(home) / "settings.yaml")
        for name in PICTURES if "all" in given.names else given.names:
            PICTURES[name](given.out / name)
            print(given.out / name)
            sys.stdout.flush()


if __name__ == "__main__":
    main()
