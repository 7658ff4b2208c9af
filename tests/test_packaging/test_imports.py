# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""What importing costs, and whether it works in any order.

Each case needs an interpreter in which nothing was imported yet.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from script_loader import run_python

ROOT = Path(__file__).parents[2]
# What may be missing, and the modules that nobody imports without it.
OPTIONAL = {'triton': ['aios.ops.msda_triton_kernels']}


_run = partial(run_python, '-W', 'error::UserWarning:aios', '-c')


def test_light_modules_import_no_framework():
    modules = 'aios.version, aios.utils.command_line, aios.__main__'
    loaded = _run(f'import sys, {modules}; print(*sys.modules)').split()
    heavy = {'torch', 'numpy', 'cv2', 'mmengine', 'mmcv', 'mmdet', 'smplx'}
    assert heavy.isdisjoint(loaded)


def test_results_need_no_framework(tmp_path):
    """Read, written, converted and drawn with NumPy and OpenCV alone."""
    code = f"""
import sys
import numpy as np
import aios.export, aios.results, aios.tracking, aios.viewer
import aios.visualization
K = np.diag([500.0, 500, 1])
persons = aios.results.complete_instances(
    transl=np.array([[0, 0, 4.0]]), bboxes=np.array([[2, 3, 9, 9]])
)
frame = aios.results.FrameResult('a', 0, 0.0, K, (32, 24), persons)
persons = aios.results.SequenceResult.from_frames([frame])
persons.save({str(tmp_path / 'params.npz')!r})
persons = aios.results.SequenceResult.load({str(tmp_path / 'params.npz')!r})
aios.export.write_mot({str(tmp_path / 'mot.txt')!r}, persons.frames())
aios.export.write_keypoints(persons, {str(tmp_path / 'keypoints.json')!r})
options = aios.visualization.OverlayOptions(layers=['boxes'])
draw = aios.visualization.OverlayDrawer(np.zeros((0, 3), int), options)
image = draw(frame, np.zeros((24, 32, 3), np.uint8))
print(image.any(), len(aios.tracking.largest_person(frame)))
print(*{{'torch', 'mmengine', 'mmcv', 'mmdet'}} & set(sys.modules))
"""
    assert _run(code).split() == ['True', '1']


LIGHT = """
import sys

class Forbidden:
    def find_spec(self, name, path=None, target=None):
        if name in ('torch', 'mmengine', 'mmcv', 'mmdet', 'numba', 'onnx'):
            raise ImportError(f'{name} is not installed')

sys.meta_path.insert(0, Forbidden())
"""


def test_onnx_runtime_sends_no_reports(tmp_path: Path):
    """Otherwise it stores an id in the user's cache when it is imported."""
    code = f"""{LIGHT}
import aios.runtime
try:
    aios.runtime.make_session(b'no network')
except ValueError as error:
    print(error)
"""
    text = _run(code, HOME=str(tmp_path), XDG_CACHE_HOME=str(tmp_path))
    assert 'the exported network: ONNX Runtime' in text
    assert not [*tmp_path.iterdir()]


def test_runtime_needs_no_framework(tmp_path: Path, free_body_dir: Path):
    """From an image to files, with a network that finds somebody."""
    code = f"""{LIGHT}
sys.path.insert(0, {str(ROOT / 'tests')!r})
import aios.apis.cli, aios.apis.live, aios.__main__
import aios.runtime.detector
from pathlib import Path
import cv2, numpy as np
from onnx_sessions import DESCRIPTION, RandomSession
body = dict(model_path={str(free_body_dir)!r})
session = RandomSession(DESCRIPTION | dict(body_model=body))
aios.runtime.detector.make_session = lambda *_: session
folder = Path({str(tmp_path)!r})
(folder / 'a.onnx').touch()
cv2.imwrite(str(folder / 'a.jpg'), np.zeros((60, 80, 3), np.uint8))
aios.__main__.main(
    ['infer', str(folder / 'a.jpg'), str(folder / 'a.onnx'), '--track',
     '--smooth', '--out-dir', str(folder / 'out'), '--save-mesh', 'obj',
     '--save-glb', '--save-bvh']
)
sys.path.insert(0, {str(ROOT / 'tools')!r})
import make_viewer, params2mesh
make_viewer.main([str(folder / 'out'), '--source', str(folder / 'a.jpg')])
params2mesh.main(
    [str(folder / 'out'), '--format', 'amass', '--height', '1.7']
)
print(*sys.modules)
"""
    loaded = _run(code).split()
    heavy = {'torch', 'mmengine', 'mmcv', 'mmdet'}
    assert heavy.isdisjoint(loaded)
    assert (tmp_path / 'out/params.npz').is_file()
    assert (tmp_path / 'out/viewer.html').is_file()
    assert list((tmp_path / 'out/params_amass').iterdir())
    assert (tmp_path / 'out/vis/a.jpg').is_file()
    assert list((tmp_path / 'out/mesh').iterdir())


def test_options_that_need_a_framework(tmp_path: Path):
    """They are errors in one line."""
    code = f"""{LIGHT}
import aios.__main__
from contextlib import redirect_stderr
for option in ('--cfg-options=a=1', '--runtime=torch'):
    with redirect_stderr(sys.stdout):
        try:
            aios.__main__.main(['infer', {str(tmp_path)!r}, option])
        except SystemExit as error:
            print('exit', error.code)
"""
    (tmp_path / 'a.jpg').touch()
    *_, first, code, second, other_code = _run(code).splitlines()
    assert '--cfg-options needs MMEngine: mmengine is not inst' in first
    assert second.startswith('error: torch is not installed. Install the ext')
    assert (code, other_code) == ('exit 2', 'exit 1')


FOUND = """
from aios.registry import DATASETS, MODELS
from mmengine.registry import MODELS as ROOT
assert MODELS.get('mmdet.DINO').__module__.startswith('mmdet')
assert MODELS.get('SMPLXLayer').__module__.startswith('aios')
assert DATASETS.get('HumanDataset').__module__.startswith('aios')
assert ROOT.get('aios.SMPLXLayer') is MODELS.get('SMPLXLayer')
import sys
assert 'torch._dynamo' not in sys.modules  # importing it takes a second
"""
# A stand-in for mmpose registers each of our names as its own.
OTHER_PROJECT = """
from aios import registry
from aios.registry import register_all_modules
from mmengine.registry import Registry, root

register_all_modules(init_default_scope=False)
for name, node in vars(root).items():
    if isinstance(node, Registry):
        for module in node.module_dict.values():
            assert not module.__module__.startswith('aios'), (name, module)

class Other: ...

for name, node in vars(registry).items():
    if isinstance(node, Registry):
        other = Registry(node.name, parent=getattr(root, name), scope='mmpose')
        for key in node.module_dict:
            other.register_module(key, module=Other)
register_all_modules()
assert registry.MODELS.get('SMPLXLayer') is not Other
assert registry.MODELS.get('mmpose.SMPLXLayer') is Other
"""


def test_all_modules_import_without_gpu_display_or_files():
    """With the data first, while the other order below has mmdet first."""
    code = f"""
import importlib.util, os, pkgutil, sys
os.environ.pop('DISPLAY', None)
os.environ['AIOS_CACHE'] = os.environ['AIOS_BODY_MODELS'] = '/nonexistent'
import aios.datasets, mmdet.models, aios.body_models
{FOUND}
skipped = set()
for package, modules in {OPTIONAL}.items():
    if importlib.util.find_spec(package) is None:
        skipped.update(modules)
names = {{m.name for m in pkgutil.walk_packages(aios.__path__, 'aios.')}}
assert skipped <= names
for name in names - skipped:
    if not name.endswith('__main__'):
        importlib.import_module(name)
import torch
assert not torch.cuda.is_initialized()
print(len(names))
print(*sys.modules)
{OTHER_PROJECT}
"""
    count, loaded = _run(code).splitlines()[:2]
    assert int(count) > 20
    tops = {name.partition('.')[0] for name in loaded.split()}
    assert tops.isdisjoint({'OpenGL', 'pyrender', 'pyglet', 'glfw', 'chumpy'})


def test_registries_beside_other_projects():
    """Nothing of ours is in the root, where others have the same names."""
    _run(f'import mmdet.registry, mmdet.datasets\n{FOUND}{OTHER_PROJECT}')
