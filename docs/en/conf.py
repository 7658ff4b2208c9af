# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Sphinx: ``pip install -r requirements/docs.txt``, then
``sphinx-build docs/en docs/en/_build``.
"""  # noqa: D205

import runpy
from pathlib import Path

_VERSION = Path(__file__).parents[2] / 'aios' / 'version.py'

project = 'AiOS-MM'
author = 'AiOS-MM contributors'
copyright = author
release = runpy.run_path(str(_VERSION))['__version__']

extensions = ['myst_parser', 'sphinx_copybutton']
exclude_patterns = ['_build']
myst_enable_extensions = ['dollarmath']
myst_heading_anchors = 3

html_theme = 'furo'
html_title = f'{project} {release}'
