"""Matplotlib figures as inline SVG that takes its text, ink and series colours from the page it stands in."""

import re
from typing import Any

# Colours no figure uses otherwise; each becomes what the page says it is, in light and in dark.
INK, FAINT, MODEL, OTHER, WARM = "#010203", "#010204", "#010205", "#010206", "#010207"
_PAGE_COLOURS = {
    INK: "currentColor",
    FAINT: "var(--faint)",
    MODEL: "var(--model)",
    OTHER: "var(--other)",
    WARM: "var(--warm)",
}
LIGHT = {"model": "#0b62c4", "other": "#727b85", "faint": "#737b84", "warm": "#b9651b"}  # on a light page
_STYLE = {
    "svg.fonttype": "none",  # text stays text: the page's font, selectable, and read by screen readers
    "svg.hashsalt": "ecgjax",
    "text.parse_math": False,  # names come from files, and may hold a dollar sign
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "text.color": INK,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "lines.solid_capstyle": "round",
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "path.simplify_threshold": 0.3,
}


def style() -> Any:
    """The context in which every figure for the page is drawn."""
    import matplotlib

    return matplotlib.rc_context(_STYLE)


def new(width: float, height: float, **subplots: Any) -> tuple[Any, Any]:
    """(figure, axes) of a size in inches, without pyplot and its global state. Call within `style()`."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(**subplots)


def labelled(svg: str, alt: str) -> dict[str, Any] | None:
    """A figure as the template wants it, with its words for who cannot see it; None for an empty one."""
    import markupsafe

    return {"svg": markupsafe.Markup(svg), "alt": alt} if svg else None  # drawn by us, text escaped by Matplotlib


def alone(svg: str) -> str:
    """The figure as a file of its own, on white."""
    colours = "".join(f"--{name}: {colour}; " for name, colour in LIGHT.items())
    look = f"svg {{ {colours}background: white; color: black; font-family: sans-serif; }}"
    return svg.replace(">", f"><style>{look}</style>", 1) + "\n"


def render(figure: Any, name: str) -> str:
    """The figure as an <svg> element. `name` keeps its ids apart from those of other figures of the page."""
    import io

    out = io.StringIO()
    figure.savefig(out, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = out.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = re.sub(r'(href="|url\()#', rf"\1#{name}-", svg)
    svg = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", svg)
    for sentinel, colour in _PAGE_COLOURS.items():
        svg = svg.replace(sentinel, colour)
    return svg.strip()
