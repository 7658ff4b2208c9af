# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Runs a reader on hostile files and records the outcome of each.

A case runs in a forked process that may allocate one GiB more than it has
and may compute for five seconds, or sleep for a minute; then it is killed.
Ends:

- ``read``: the file was accepted,
- ``refused``: an error of a documented type that names the file,
- ``unclear``: an error of another type, or one that does not name the file,
- ``memory``, ``hang``, ``crash``: the limits were met, or the process died,
- ``executed``: something from the file ran.
"""

from __future__ import annotations

import faulthandler
import json
import multiprocessing
import os
import pickle
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from .mutators import mutate_bytes, mutate_value

ENDS = (
    *('read', 'refused', 'unclear', 'memory', 'hang', 'crash', 'executed'),
)
MEMORY = 1 << 30
SECONDS = 5.0
PATIENCE = 60.0
CANARY = 'something_ran'
"""Hostile code makes a file of this name beside the file that is read."""

_FORBIDDEN = ('os.system', 'subprocess.Popen', 'os.exec', 'os.posix_spawn')


def write_file(content: Any, path: Path) -> None:
    """Write a file in the format of its suffix: ``.npz``, ``.pkl`` or JSON."""
    if path.suffix == '.npz':
        np.savez(path, **content)
    elif path.suffix == '.pkl':
        path.write_bytes(pickle.dumps(content, 4))
    else:
        path.write_text(json.dumps(content), 'utf-8')


@dataclass(frozen=True)
class Reader:
    """A reader and its valid sample files.

    Args:
        name: Row of the table.
        file_name: Name of the files, such as ``'labels.npz'``.
        sample: Content of a valid file.
        write: Writes a content to a path; may fail for an odd one.
        read: Reads a path.
        errors: Types of errors that the reader documents.
        hostile: Writers of files made by hand.
    """

    name: str
    file_name: str
    sample: Any
    write: Callable[[Any, Path], object]
    read: Callable[[Path], object]
    errors: tuple[type[Exception], ...] = (ValueError, OSError)
    hostile: Sequence[Callable[[Path], object]] = ()


@dataclass(frozen=True)
class Result:
    """Outcome of a case.

    Args:
        path: The file, in a folder that names the case.
        end: One of :data:`ENDS`.
        message: Type and text of the error.
    """

    path: Path
    end: str
    message: str = ''


def make_cases(
    reader: Reader, folder: Path, count: int, seed: int = 0
) -> list[Path]:
    """Write hostile files.

    Args:
        reader: The reader to test.
        folder: Each file gets a folder in it.
        count: Number of files; every second one has an odd content, the
            others are honest ones with damaged bytes, and the files made by
            hand come first.
        seed: Of the random numbers.
    """
    random = Random(f'{reader.name} {seed}')
    honest = folder / 'honest' / reader.file_name
    honest.parent.mkdir(parents=True)
    reader.write(reader.sample, honest)
    paths = []
    for number in range(count):
        path = folder / f'{number:05}' / reader.file_name
        path.parent.mkdir()
        if number < len(reader.hostile):
            reader.hostile[number](path)
        elif number % 2 or not _write_odd(reader, path, random):
            path.write_bytes(mutate_bytes(honest.read_bytes(), random))
        paths.append(path)
    return paths


def _write_odd(reader: Reader, path: Path, random: Random) -> bool:
    """Write a mutated content; return whether that succeeded."""
    try:
        reader.write(mutate_value(reader.sample, random), path)
    except Exception:  # the writer refuses it
        path.unlink(missing_ok=True)
    return path.exists()


def run_cases(reader: Reader, paths: Iterable[Path]) -> list[Result]:
    """Read files under limits.

    Args:
        reader: Reads them.
        paths: The files.
    """
    context = multiprocessing.get_context('fork')
    left, results = list(paths), []
    while left:
        ours, theirs = context.Pipe()
        child = context.Process(target=_work, args=(reader, left, theirs))
        child.start()
        theirs.close()
        batch = []
        while len(batch) < len(left):
            try:
                if not _answers(ours, child.pid):
                    batch.append(Result(left[len(batch)], 'hang'))
                    break
                batch.append(ours.recv())
            except EOFError:
                batch.append(Result(left[len(batch)], 'crash'))
                break
        child.kill()
        child.join()
        results += batch
        left = left[len(batch) :]
    return results


def _answers(pipe: Any, pid: int) -> bool:
    """Whether a result arrives in time; the machine may be busy."""
    start, end = _computed(pid), time.monotonic() + PATIENCE
    while not pipe.poll(0.1):
        if _computed(pid) > start + SECONDS or time.monotonic() > end:
            return False
    return True


def _computed(pid: int) -> float:
    """CPU seconds of a process."""
    fields = Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()
    return sum(map(int, fields[11:13])) / os.sysconf('SC_CLK_TCK')


def _work(reader: Reader, paths: list[Path], pipe: Any) -> None:
    """Body of the forked process."""
    faulthandler.disable()  # a crash is a result
    ran: list[str] = []
    sys.addaudithook(
        lambda event, _: ran.append(event) if event in _FORBIDDEN else None
    )
    with open('/proc/self/statm') as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what libraries print
    os.dup2(1, 2)
    for path in paths:
        end, message = _read(reader, path)
        if ran or path.with_name(CANARY).exists():
            end = 'executed'
        pipe.send(Result(path, end, message))


def _read(reader: Reader, path: Path) -> tuple[str, str]:
    try:
        reader.read(path)
    except MemoryError as error:
        return 'memory', repr(error)
    except Exception as error:
        message = f'{type(error).__name__}: {error}'
        if 'MemoryError' in message:
            return 'memory', message
        clear = isinstance(error, reader.errors) and path.name in str(error)
        return ('refused' if clear else 'unclear'), message
    return 'read', ''


def table(results: dict[str, list[Result]]) -> str:
    """Markdown table of the results per reader."""
    rows = [('reader', 'cases', *ENDS)]
    for name, found in results.items():
        ends = Counter(result.end for result in found)
        counts = (str(ends[end]) for end in ENDS)
        rows.append((name, str(len(found)), *counts))
    lines = [f'| {" | ".join(row)} |' for row in rows]
    return '\n'.join([lines[0], '|---' * len(rows[0]) + '|', *lines[1:]])
