"""An algorithm that does nothing: what reading alone takes."""

from __future__ import annotations

from collections.abc import Mapping

from ..declare.algorithm import Algorithm
from ..declare.inputs import Frames
from ..declare.outputs import Output, Partial
from ..declare.views import ModuleBlock
from ..run.info import RunInfo


class Nothing(Algorithm):
    """Read the frames, block by block, and do nothing with them."""

    ALG_ID = "nothing"
    HELP = "nothing: what reading alone takes"
    inputs = {"img": Frames("image.data")}

    def outputs(self, info: RunInfo) -> Mapping[str, Output]:
        """Declare a number per frame, since a result holds something."""
        return {"nothing": Output(per="img", dtype="?")}

    def process_module_data(self, block: ModuleBlock, out: Partial) -> None:
        """Do nothing."""
