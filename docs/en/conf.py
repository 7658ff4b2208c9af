# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Sphinx.

::

    pip install -r requirements/docs.txt
    sphinx-build -W docs/en docs/en/_build
"""

import runpy
from pathlib import Path

from mmcv.transforms.utils import cache_randomness

_ROOT = Path(__file__).parents[2]
_VERSION = _ROOT / 'aios' / 'version.py'

project = 'AiOS-MM'
author = 'AiOS-MM contributors'
copyright = author
release = runpy.run_path(str(_VERSION))['__version__']

extensions = [
    'myst_parser',
    'sphinx.ext.autodoc',
    'sphinx.ext.napoleon',
    'sphinx.ext.viewcode',
    'sphinx_copybutton',
]
exclude_patterns = ['_build']
myst_enable_extensions = ['dollarmath', 'attrs_inline']
myst_heading_anchors = 3
# Code blocks of configs and logs that are no complete program.
highlight_language = 'none'
# What is copied runs.
copybutton_prompt_text = r'>>> |\.\.\. '
copybutton_prompt_is_regexp = True

# The public names of a package are what its `__all__` lists; most of them
# live in modules of it.
autodoc_default_options = {'members': True, 'imported-members': True}
autodoc_member_order = 'bysource'
autodoc_typehints = 'signature'
autodoc_class_signature = 'mixed'
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True

html_theme = 'furo'
html_title = f'{project} {release}'
html_static_path: list[str] = []

# mmcv's descriptor fails where a class, not an object, is asked.
_bind = cache_randomness.__get__
cache_randomness.__get__ = lambda self, obj, cls: (
    self.func if obj is None else _bind(self, obj, cls)
)
