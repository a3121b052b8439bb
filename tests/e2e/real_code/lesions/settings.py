from __future__ import annotations

WIDTH = 4
