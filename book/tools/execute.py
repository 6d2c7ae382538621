"""Execute chapters and appendices in place and write their run time, measured, and their reading time into them.

    python book/tools/execute.py                       # all of them
    python book/tools/execute.py book/04_made.ipynb    # some
    python book/tools/execute.py --first-cell          # execute none, only bring the first code cells up to date

Executing a chapter again leaves the file unchanged unless its results changed.
"""

import hashlib
import math
import sys
import time
from pathlib import Path

import chapters
import launch
import nbformat
from nbclient import NotebookClient

BUDGET = 60  # seconds a chapter may take on two cores
SECONDS_STEP, MEMORY_STEP = 5, 0.1
USAGE = """
import resource, sys
usage = resource.getrusage(resource.RUSAGE_SELF)
print(usage.ru_utime + usage.ru_stime, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024))
"""


def execute(notebook):
    """Run all cells; return the time in seconds and the peak memory of the kernel in GB.

    The time is wall time, or the kernel's processor time where that is less: the machine was busy with other things.
    """
    probe = nbformat.v4.new_code_cell(USAGE)
    notebook.cells.append(probe)  # the kernel itself is asked last, when it knows its peak
    client = NotebookClient(
        notebook,
        timeout=10 * BUDGET,
        record_timing=False,
        coalesce_streams=True,
        resources={"metadata": {"path": str(chapters.BOOK)}},
    )
    start = time.perf_counter()
    client.execute()
    seconds = time.perf_counter() - start
    work, memory = map(float, notebook.cells.pop().outputs[0].text.split())
    return min(seconds, work), memory / 1e9


def normalise(notebook):
    """Drop what differs between two runs or two machines but means nothing."""
    notebook.metadata = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    notebook.metadata["language_info"] = {"name": "python"}
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    first = chapters.code_cells(notebook)[0]
    first.source = launch.with_opening(first.source, *launch.repository())
    seen = set()
    for cell in notebook.cells:
        cell.metadata = {key: cell.metadata[key] for key in ("answers", "mystnb", "tags") if key in cell.metadata}
        # An identity made from the text survives a conversion; jupytext would draw a new one at random.
        identity, salt = "", 0
        while not identity or identity in seen:
            identity = hashlib.sha256(f"{salt}{cell.cell_type}{cell.source}".encode()).hexdigest()[:8]
            salt += 1
        cell.id = identity
        seen.add(identity)


def with_run_time(text, seconds, memory):
    """Rewrite the line of `text` that states the run time, if it is off by more than one step.

    >>> with_run_time("# A\\n\\n**Run time.** To be measured.", 12.3, 0.51)
    '# A\\n\\n**Run time.** About 15 seconds and 0.6 GB of memory on two cores (measured).'
    >>> with_run_time("**Run time.** About 15 seconds and 0.6 GB of memory.", 17.0, 0.55)
    '**Run time.** About 15 seconds and 0.6 GB of memory.'
    """
    if not chapters.RUN_TIME.search(text):
        raise ValueError("the first Markdown cell has no line that starts with '**Run time.**'")
    # Whole numbers of steps, since 0.1 has no exact binary form.
    new = (math.ceil(seconds / SECONDS_STEP), math.ceil(round(memory / MEMORY_STEP, 6)))
    stated = chapters.run_time(text)
    if stated:
        old = (stated[0] / SECONDS_STEP, stated[1] / MEMORY_STEP)
        if all(abs(a - b) < 1.5 for a, b in zip(old, new, strict=True)):
            return text
    seconds, memory = new[0] * SECONDS_STEP, new[1] * MEMORY_STEP
    line = f"**Run time.** About {seconds} seconds and {memory:.1f} GB of memory on two cores (measured)."
    return chapters.RUN_TIME.sub(line, text)


def with_reading_time(text, minutes):
    """Rewrite the line that states the reading time, or add it before that of the run time.

    >>> with_reading_time("# A\\n\\n**Run time.** To be measured.", 23)
    '# A\\n\\n**Reading time.** About 23 minutes.\\n\\n**Run time.** To be measured.'
    >>> with_reading_time("**Reading time.** About 23 minutes.", 24)
    '**Reading time.** About 24 minutes.'
    """
    line = f"**Reading time.** About {minutes} minutes."
    if chapters.READING_TIME.search(text):
        return chapters.READING_TIME.sub(line, text)
    return text.replace("**Run time.**", f"{line}\n\n**Run time.**", 1)


def write_first_cells():
    """Write the address of the repository, or none, and the reading time into every notebook; keep the outputs."""
    for path in [*chapters.PATHS, *chapters.APPENDICES]:
        notebook = chapters.read(path)
        first = chapters.markdown_cells(notebook)[0]
        first.source = with_reading_time(first.source, chapters.reading_minutes(notebook))
        normalise(notebook)
        nbformat.write(notebook, path)
    return 0


def main(paths):
    if paths == ["--first-cell"]:
        return write_first_cells()
    over_budget = []
    for path in map(Path, paths or [*chapters.PATHS, *chapters.APPENDICES]):
        notebook = chapters.read(path)
        seconds, memory = execute(notebook)
        first = chapters.markdown_cells(notebook)[0]
        first.source = with_run_time(first.source, seconds, memory)
        first.source = with_reading_time(first.source, chapters.reading_minutes(notebook))
        normalise(notebook)
        nbformat.validate(notebook)
        nbformat.write(notebook, path)
        print(f"{path.name}: {seconds:.1f} s, {memory:.2f} GB", flush=True)
        if seconds > BUDGET:
            over_budget.append(path.name)
    if over_budget:
        print(f"Over the budget of {BUDGET} s:", ", ".join(over_budget))
    return 1 if over_budget else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
