# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Ship tools, configs and demo inside the package, as ``aios/.mim``.

MIM (``mim run aios TOOL ...``) looks for these folders in the installed
package. Upstream projects decide by ``'develop' in sys.argv`` whether to link
or to copy them; under PEP 660 that word is not there, and an editable
installation ends up without ``.mim``. Here the build commands themselves know
what they are building.
"""

import logging
import os
import shutil
from pathlib import Path

from setuptools import Command, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build import build
from setuptools.command.sdist import sdist

ROOT = Path(__file__).resolve().parent
MIM = Path('aios', '.mim')
# Those that are not there are left out.
ITEMS = ('tools', 'configs', 'demo', 'model-index.yml', 'dataset-index.yml')
DEBRIS = shutil.ignore_patterns('__pycache__', '*.py[cod]', '*.log')


def mim_sources():
    """List what goes into ``.mim``, relative to the project's root."""
    return [Path(item) for item in ITEMS if (ROOT / item).exists()]


def mim_files():
    """List the files in :func:`mim_sources`."""
    for item in mim_sources():
        source = ROOT / item
        found = sorted(source.rglob('*')) if source.is_dir() else [source]
        for path in found:
            if path.is_file() and not DEBRIS(None, path.parts):
                yield path.relative_to(ROOT)


def remove(path):
    """Delete a link, a file or a folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def copy_mim(package_root):
    """Write real copies to ``<package_root>/aios/.mim``."""
    copy_files(Path(package_root, MIM))


def copy_files(target):
    """Write real copies to a folder."""
    remove(target)
    for path in mim_files():
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / path, target / path)


def link_mim():
    """Link ``aios/.mim`` of this checkout to its own folders."""
    target = ROOT / MIM
    remove(target)
    target.mkdir(parents=True)
    for item in mim_sources():
        try:
            (target / item).symlink_to(
                Path(os.path.relpath(ROOT / item, target)),
                target_is_directory=(ROOT / item).is_dir(),
            )
        except OSError:  # Windows without the right to make links
            logging.warning('%s: no right to make links, copying', MIM)
            copy_mim(ROOT)
            return


class BuildMim(Command):
    """Sub-command of ``build``, in setuptools' ``SubCommand`` protocol."""

    description = 'put tools, configs and demo into aios/.mim'
    user_options = []

    def initialize_options(self):  # noqa: D102
        self.build_lib = None
        self.editable_mode = False

    def finalize_options(self):  # noqa: D102
        self.set_undefined_options('build', ('build_lib', 'build_lib'))

    def run(self):  # noqa: D102
        if self.editable_mode:
            link_mim()
        else:
            copy_mim(self.build_lib)

    def get_source_files(self):
        """Name the files that an sdist needs."""
        return [path.as_posix() for path in mim_files()]

    def get_output_mapping(self):
        """Map every file of the build to its source."""
        return {
            str(Path(self.build_lib, MIM, path)): path.as_posix()
            for path in mim_files()
        }

    def get_outputs(self):
        """Name the files of the build."""
        return list(self.get_output_mapping())


class SdistWithMim(sdist):
    """An sdist that holds ``aios/.mim`` too, as real files."""

    def make_release_tree(self, base_dir, files):  # noqa: D102
        super().make_release_tree(base_dir, files)
        copy_mim(base_dir)


build.sub_commands = [*build.sub_commands, ('build_mim', None)]


class WheelWithMim(bdist_wheel):
    """A wheel that has ``.mim`` a second time, beside its metadata.

    onedl-mim 0.5.1 takes the first installed file, in alphabetical order, to
    be in the package. That is wrong for every distribution that has the name
    of its module: ``aios-0.1.0.dist-info/`` comes before ``aios/``. So it
    looks for tools and configs there. For the same reason there is no console
    script, for ``../../../bin/aios`` would come first.
    """

    def write_wheelfile(self, wheelfile_base, *args, **kwargs):  # noqa: D102
        super().write_wheelfile(wheelfile_base, *args, **kwargs)
        # Not for an editable installation, whose folder MIM finds.
        if self.bdist_dir and Path(wheelfile_base).parent == Path(
            self.bdist_dir
        ):
            copy_files(Path(wheelfile_base, MIM.name))


if __name__ == '__main__':
    setup(
        cmdclass={
            'bdist_wheel': WheelWithMim,
            'build_mim': BuildMim,
            'sdist': SdistWithMim,
        }
    )
