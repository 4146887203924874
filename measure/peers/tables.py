"""Results as tables in Markdown."""
MIB = 1 << 20


def show(entry: dict):
    """A line for each cell and a column for each program; of a program's settings that which is fastest in the cell."""
    rows = entry["rows"]
    embeds = rows[0]["test"] == "embed"
    columns = list(dict.fromkeys(row["program"] if row["program"].startswith("nearfield") else row["program"].split()[0] for row in rows))
    ours = [column for column in columns if column.startswith("nearfield")]
    unit = "seconds, and texts/s" if embeds else "tokens/s, of all sequences together" if entry["piece"] == "sequences" else "tokens/s"
    print(f"\n**{entry['model']}**, {entry['repetitions']} rounds: {unit} (median, min..max; * others took more than 6 % of a core)\n")
    of_one = ["of one sequence"] if entry["piece"] == "sequences" else []
    heads = ["", *columns, "nearfield / llama.cpp", *of_one]
    print("| " + " | ".join(heads) + " |\n|" + "---|" * len(heads))
    cells = list(dict.fromkeys(cell_of(row) for row in rows))
    for cell in cells:
        here = {column: fastest(rows, cell, column) for column in columns}
        words = [name(cell), *(write(here[column], embeds) for column in columns)]
        theirs = here.get("llama.cpp")
        words.append(", ".join(ratio(here[column], theirs) for column in ours if here[column]) if theirs else "")
        if of_one:
            ones = (fastest(rows, (*cell[:-1], 1), column) for column in columns)
            words.append(" / ".join(ratio(here[column], one, "") for column, one in zip(columns, ones)))
        print("| " + " | ".join(words) + " |", flush=True)


def cell_of(row: dict) -> tuple:
    return tuple(row[field] for field in ("test", "n", "threads", "depth", "count"))


def name(cell: tuple) -> str:
    test, n, threads, depth, count = cell
    what = {
        "pp": f"prefill of {n}",
        "tg": f"decode {n}" if count == 1 else f"{count} sequences decode {n} each",
        "embed": f"{count} texts of {n} tokens" if count > 1 else f"one text of {n} tokens",
    }[test]
    return f"{what}{f' at depth {depth}' if depth else ''}, {threads} thread{'s' if threads > 1 else ''}"


def fastest(rows: list[dict], cell: tuple, column: str) -> dict | None:
    """The best setting, among those that were in every round."""
    rows = [row for row in rows if cell_of(row) == cell and (row["program"] == column or row["program"].split()[0] == column)]
    most = max((len(row["samples_tokens_per_second"]) for row in rows), default=0)
    rows = [row for row in rows if len(row["samples_tokens_per_second"]) == most]
    return max(rows, key=lambda row: row["tokens_per_second"], default=None)


def write(row: dict | None, embeds: bool) -> str:
    if row is None:
        return ""
    rates = [row[field] for field in ("tokens_per_second", "tokens_per_second_min", "tokens_per_second_max")]
    setting = row["program"].partition(" ")[2] if row["program"].startswith("llama.cpp") else ""
    mark = "*" if row["disturbed_repetitions"] else ""
    if embeds:
        median, most, least = (row["n"] * row["count"] / rate for rate in rates)
        figures = f"{digits(median)}{mark} ({digits(least)}..{digits(most)}), {digits(rates[0] / row['n'])}/s"
    else:
        figures = f"{digits(rates[0])}{mark} ({digits(rates[1])}..{digits(rates[2])})"
    return f"{figures}{f', {setting}' if setting else ''}"


def ratio(row: dict | None, other: dict | None, unit: str = "x") -> str:
    return f"{row['tokens_per_second'] / other['tokens_per_second']:.2f}{unit}" if row and other else "-"


def digits(x: float) -> str:
    """Three digits, and all of a whole number."""
    return f"{x:,.0f}" if x >= 100 else f"{x:.3g}"


def show_memory(model: str, n_ctx: int, rows: list[dict]):
    print(f"\n**{model}**: peak resident memory with a context of {n_ctx} tokens\n\n| program | MiB |\n|---|---:|")
    for row in rows:
        print(f"| {row['program']} | {row['bytes'] / MIB:.0f} |")
