"""``mk plot``."""

from pathlib import Path

import click

from modekeeper.artifacts.store import FolderStore
from modekeeper.cli.console import say
from modekeeper.cli.options import examples
from modekeeper.reports.figure.picture import write_picture
from modekeeper.reports.page.report_page import render_page
from modekeeper.reports.recorded import load_recorded

__all__ = ["draw_into", "plot"]


@click.command(
    epilog=examples("mk plot --in report/plan", "mk plot --in report/watch --out pictures --format html --format png")
)
@click.option(
    "--in", "folder", default="report/plan", show_default=True, metavar="FOLDER", help="Folder of a recorded run."
)
@click.option(
    "--format",
    "forms",
    type=click.Choice(["html", "svg", "png"]),
    multiple=True,
    default=("html", "svg", "png"),
    show_default=True,
    help="May be repeated.",
)
@click.option("--out", metavar="FOLDER", help="Folder the pictures go to; the one of the run by default.")
def plot(folder: str, forms: tuple[str, ...], out: str | None) -> int:
    """Draw a recorded run: step time, detected changes, modes and actions.

    report.html is one self-contained page; report.svg and report.png are the picture alone. Everything is drawn
    from the artifacts in the folder: the telemetry is not read again.
    """
    for path in draw_into(Path(folder), Path(out or folder), forms):
        say(path)
    return 0


def draw_into(folder: Path, out: Path, forms: tuple[str, ...] = ("html", "svg", "png")) -> list[str]:
    """Write the pictures of the run in ``folder`` into ``out``; their paths.

    Raises:
        BadInputError: there is no recorded run, or no library to draw with.
    """
    recorded = load_recorded(folder)
    store = FolderStore(out)
    paths = []
    for form in dict.fromkeys(forms):
        data = render_page(recorded) if form == "html" else write_picture(recorded, "svg" if form == "svg" else "png")
        paths.append(store.write_bytes(f"report.{form}", data).as_posix())
    return paths
