# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""The benchmark of tracking on a tiny dataset."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from script_loader import load_script

from aios.results import FrameResult, SequenceResult, complete_instances


@pytest.mark.slow
def test_perfect_persons_have_perfect_tracks(tmp_path: Path, capsys):
    pytest.importorskip('trackeval')
    make = load_script('tools/make_synthetic_dataset.py')
    data, kept = tmp_path / 'data', tmp_path / 'kept'
    words = f'{data} --sequences 1 --video 5 --size 160x120 --persons 2-2'
    make.main(words.split())
    tool = load_script('tools/analysis_tools/benchmark_tracking.py')
    (name,) = truths = tool.read_truth(data)
    frames = []
    for frame in range(5):
        boxes = truths[name].track.boxes[frame]
        joints = np.zeros((len(boxes), 144, 3))
        joints[:, :22] = truths[name].joints[frame]
        instances = complete_instances(bboxes=boxes, joints3d=joints)
        K = np.diag([100.0, 100, 1])
        frames.append(
            FrameResult(f'{frame:06d}', frame, 0, K, (160, 120), instances)
        )
    source = str(data / 'images' / name)
    persons = SequenceResult.from_frames(frames, source=source)
    persons.save(kept / f'{name}.npz')
    tool.main([str(data), '--detections', str(kept)])
    lines = capsys.readouterr().out.splitlines()
    rows = {line.split(' | ')[0]: line.split(' | ')[1:4] for line in lines}
    assert rows['| tracker'] == rows['| true ids'] == ['1', '1', '1']
    assert rows['| as found'][0] == '0.0'


def test_detections_of_other_images_are_refused(tmp_path: Path):
    tool = load_script('tools/analysis_tools/benchmark_tracking.py')
    persons = SequenceResult.from_frames([], source='crowds/images/a')
    persons.save(tmp_path / 'a.npz')
    args = tool.parse_args(['others', '--detections', str(tmp_path)])
    with pytest.raises(ValueError, match="a.npz: source is 'crowds/images/a'"):
        tool.detect(args, ['a'])
