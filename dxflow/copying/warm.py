"""The work of `cut` for copies with a codec: what they need is loaded once, before the process forks for each file."""

from __future__ import annotations

import numpy as np

from ..codecs.bounds import Bound
from ..codecs.frames import Encoder, Encoding
from .cut import write

__all__ = ["write"]


Encoder(Encoding("deflate", Bound(1.0)), (1, 8, 8), np.dtype("f4"))(np.ones((1, 8, 8), "f4"))
