"""A recorded run as one picture: step time, what was found, the modes, and the changes proposed."""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from modekeeper.model.errors import BadInputError
from modekeeper.reports.figure.scene import scene
from modekeeper.reports.figure.svg import slim
from modekeeper.reports.recorded import Recorded

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["NARROW_IN", "WIDE_IN", "draw", "write_picture"]

WIDE_IN = 11.0
"""Width in inches for a page, a slide or a screen."""

NARROW_IN = 4.6
"""Width in inches for a phone."""

_PNG_DPI = 144

_SETTINGS: dict[Any, Any] = {
    "font.family": ["DejaVu Sans"],
    # Names of nodes and files may hold dollar signs: text is text, never mathematics.
    "text.parse_math": False,
    "text.usetex": False,
    "svg.fonttype": "path",
    "svg.hashsalt": "modekeeper",
    "axes.formatter.use_mathtext": False,
    "hatch.linewidth": 0.6,
    "timezone": "UTC",
}


def draw(recorded: Recorded, width_in: float = WIDE_IN) -> "Figure":
    """The picture of ``recorded``: a projection of what was written down, nothing is judged anew.

    Raises:
        BadInputError: matplotlib is not installed.
    """
    with _matplotlib():
        return _drawn(recorded, width_in, titled=True)


def write_picture(
    recorded: Recorded, form: Literal["svg", "png"], width_in: float = WIDE_IN, *, titled: bool = True
) -> bytes:
    """The bytes of the picture; the same record gives the same bytes with the same version of matplotlib.

    ``titled`` is false where the title and the verdict stand beside the picture anyway.

    Raises:
        BadInputError: matplotlib is not installed.
    """
    out = io.BytesIO()
    with _matplotlib():
        figure = _drawn(recorded, width_in, titled=titled)
        if form == "png":
            figure.savefig(out, format="png", dpi=_PNG_DPI, metadata={"Software": None})
            return out.getvalue()
        nothing = {"Date": None, "Creator": None, "Format": None, "Type": None}
        figure.savefig(out, format="svg", metadata=nothing)
    answer = recorded.answer
    return slim(out.getvalue().decode(), f"{answer.title}. {answer.verdict}").encode()


def _drawn(recorded: Recorded, width_in: float, *, titled: bool) -> "Figure":
    from modekeeper.reports.figure.drawing import drawing  # noqa: PLC0415 - needs matplotlib

    return drawing(scene(recorded), width_in, titled=titled)


@contextmanager
def _matplotlib() -> Iterator[None]:
    """Matplotlib with settings of our own, whatever the user's are; none of them outlives the block."""
    try:
        import matplotlib as mpl  # noqa: PLC0415 - slow to import, and an extra
    except ImportError as error:
        raise BadInputError(
            "a picture needs matplotlib, which is not installed. Install it: pip install 'modekeeper[plot]'"
        ) from error
    with warnings.catch_warnings(), mpl.rc_context():
        # A character the font has no shape for is drawn as a box.
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        mpl.rcdefaults()
        mpl.rcParams.update(_SETTINGS)
        yield
