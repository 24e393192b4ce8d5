"""A figure that needs no window: it saves itself, and notebooks show it. Imports matplotlib."""

from __future__ import annotations

import io
import os
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from convkit._files import atomic_write


class Picture(Figure):
    """A matplotlib Figure with save(path)."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        FigureCanvasAgg(self)

    def _repr_png_(self) -> bytes:
        """Return the picture for a notebook."""
        buffer = io.BytesIO()
        self.savefig(buffer, format="png")
        return buffer.getvalue()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the picture as a PNG file, whole or not at all."""
        with atomic_write(path) as file:
            file.write(self._repr_png_())
