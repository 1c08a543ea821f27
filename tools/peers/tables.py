"""What the run found, as Markdown tables for the README. Pure."""


def duration(seconds):
    """Seconds to three digits, in the unit that reads best."""
    if seconds < 1e-3:
        return f"{seconds * 1e6:.0f} µs"
    if seconds < 1:
        return f"{three_digits(seconds * 1e3)} ms"
    return f"{three_digits(seconds)} s"


def three_digits(value):
    """A number below 1,000 with three digits, a larger one without decimals."""
    for limit, decimals in ((9.995, 2), (99.95, 1)):
        if value < limit:
            return f"{value:.{decimals}f}"
    return f"{value:,.0f}"


def markdown(head, rows):
    """A table; cells are texts."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def ratio_cell(comparison):
    """The ratio, marked where it is not reached."""
    times = three_digits(comparison.ratio) if comparison.ratio < 1e6 else "over a million"
    return times if comparison.holds else f"**{times}** (of {comparison.at_least:g})"


def comparison_cells(comparison):
    """Ours, the best peer's, and the ratio."""
    return [duration(comparison.ours), f"{duration(comparison.best)} {comparison.best_name}", ratio_cell(comparison)]


def ratios(questions, comparisons, settings):
    """One row a question; for each setting (such as "warm, one core") three columns. `comparisons` maps (setting, question) to one."""
    head = ["query"]
    for setting in settings:
        head += [f"fleetlog, {setting}", "best peer", "times faster"]
    rows = []
    for question in questions:
        cells = [f"{question.name}: {question.title}"]
        for setting in settings:
            cells += comparison_cells(comparisons[setting, question.name])
        rows.append(cells)
    return markdown(head, rows)


def all_engines(questions, seconds, names):
    """One row a question, one column an engine. `seconds` maps (engine, question) to a time."""
    rows = [[question.name] + [duration(seconds[name, question.name]) for name in names] for question in questions]
    return markdown(["query", *names], rows)


def sizes(bytes_by_name, values):
    """Bytes per value of each engine, everything on the disk."""
    return markdown(["engine", "bytes", "bytes per value"], [[name, f"{size:,}", f"{size / values:.3f}"] for name, size in bytes_by_name.items()])
