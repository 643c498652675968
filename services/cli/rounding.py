"""Figures in tables."""


def rounded(value: float | None) -> str:
    """Three decimals, or a dash for None."""
    return "\u2013" if value is None else f"{value:.3f}"
