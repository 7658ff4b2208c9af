# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope
from mmengine.structures import BaseDataElement, InstanceData
from torch import nn

from aios.body_models import MissingBodyModelError, SMPLXLayer
from aios.registry import MODELS, VISUALIZERS
from aios.visualization import write_image
from aios.visualization.local_visualizer import WholeBodyVisualizer

K = np.array([[200.0, 0, 80], [0, 200, 60], [0, 0, 1]])
IMAGE = np.full((120, 160, 3), 60, np.uint8)


@MODELS.register_module(force=True)
class SquareBody(nn.Module):
    """A body that is a square; remembers what it was asked for."""

    calls: list = []  # noqa: RUF012

    def __init__(self, gender, half_size=0.25):
        super().__init__()
        self.gender = gender
        self.register_buffer('v_template', torch.zeros(4, 3))
        self.faces = torch.tensor([[0, 2, 1], [0, 3, 2]])
        self.half_size = half_size

    def forward(self, transl, **parameters):
        self.calls.append((self.gender, {'transl': transl, **parameters}))
        corners = torch.tensor(
            [[-1.0, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]]
        )
        vertices = corners * self.half_size + transl[:, None]
        return SimpleNamespace(vertices=vertices, joints=vertices)


@pytest.fixture(autouse=True)
def _forget_calls():
    SquareBody.calls.clear()


def make_persons(*translations, **fields):
    n = len(translations)
    return InstanceData(
        bboxes=torch.tensor([[50.0, 40, 100, 90]] * n).reshape(n, 4),
        lhand_bboxes=torch.tensor([[60.0, 50, 70, 60]] * n).reshape(n, 4),
        lhand_valid=torch.ones(n),
        keypoints=torch.full((n, 137, 2), 75.0),
        keypoints_visible=torch.ones(n, 137),
        keypoints_weight=torch.ones(n, 137),
        smplx_pose=torch.arange(53.0)[None, :, None].repeat(n, 1, 3),
        smplx_pose_valid=torch.ones(n, 53),
        smplx_betas=torch.zeros(n, 10),
        smplx_expression=torch.zeros(n, 10),
        smplx_transl=torch.tensor(translations).reshape(n, 3),
        gender=fields.pop('gender', torch.full((n,), -1)),
        **fields,
    )


def make_sample(persons=None, predictions=None, with_camera=True):
    sample = BaseDataElement(metainfo={'cam_K': K} if with_camera else None)
    if persons is not None:
        sample.gt_instances = persons
    if predictions is not None:
        sample.pred_instances = predictions
    return sample


def make_visualizer(*layers, **options):
    return WholeBodyVisualizer(
        body_model={'type': 'SquareBody'},
        panels=[layers] if layers else [('mesh', 'boxes', 'skeletons')],
        **options,
    )


def changed(image):
    return (image != IMAGE[:, :, :]).any(-1)


def test_it_is_built_from_a_config():
    init_default_scope('aios')
    config = {'type': 'WholeBodyVisualizer', 'name': 'built'}
    assert isinstance(VISUALIZERS.build(config), WholeBodyVisualizer)


def test_meshes_stand_where_the_camera_sees_them():
    drawn = make_visualizer('mesh').draw_persons(
        IMAGE, make_persons((0.0, 0.0, 2.0)), K
    )
    # 0.25 m at 2 m with f = 200: 25 px around (80, 60).
    expected = np.zeros((120, 160), bool)
    expected[35:85, 55:105] = True
    np.testing.assert_array_equal(changed(drawn), expected)


def test_persons_with_cameras_of_their_own():
    """COCO, UBody: everybody is where their own camera sees them."""
    persons = make_persons((0.0, 0.0, 2.0), (0.1, 0.0, 4.0), (0.0, 0.0, 2.0))
    persons.cameras = torch.tensor(
        [[80.0, 80, 40, 30], [160, 120, 100, 70], [float('nan')] * 4]
    )
    drawn = make_visualizer('mesh').draw_persons(IMAGE, persons)
    expected = np.zeros((120, 160), bool)
    expected[20:40, 30:50] = True
    # 0.1 m of 4 m to the right; 0.25 m are 10 px wide and 7.5 px high.
    expected[63:77, 94:114] = True
    assert (changed(drawn) != expected).mean() < 0.003


def test_every_person_has_a_body_of_their_gender():
    persons = make_persons(
        (-0.5, 0.0, 3.0),
        (0.5, 0.0, 3.0),
        (0.0, 0.0, 3.0),
        gender=torch.tensor([1, 0, 1]),
    )
    make_visualizer('mesh').draw_persons(IMAGE, persons, K)
    assert {
        gender: parameters['transl'][:, 0].tolist()
        for gender, parameters in SquareBody.calls
    } == {'female': [-0.5, 0], 'male': [0.5]}


@pytest.mark.parametrize('missing', ['camera', 'transl', 'pose', 'model'])
def test_without_one_of_its_needs_there_is_no_mesh(missing):
    persons = make_persons((0.0, 0.0, 2.0))
    visualizer = make_visualizer('mesh')
    if missing == 'transl':
        persons.smplx_transl[:] = 0
    elif missing == 'pose':
        persons.smplx_pose_valid[:] = 0
    elif missing == 'model':
        visualizer = WholeBodyVisualizer(panels=[['mesh']])
    camera = None if missing == 'camera' else K
    drawn = visualizer.draw_persons(IMAGE, persons, camera)
    np.testing.assert_array_equal(drawn, IMAGE)
    assert not SquareBody.calls


def test_vertices_of_predictions_are_used_as_they_are():
    square = torch.tensor([[-1.0, -1, 4], [1, -1, 4], [1, 1, 4], [-1, 1, 4]])
    persons = InstanceData(vertices=square[None] * 0.5)
    drawn = make_visualizer('mesh').draw_persons(IMAGE, persons, K)
    assert changed(drawn).sum() == 100 * 100
    assert not SquareBody.calls


def test_the_body_model_is_not_touched_before_it_is_needed(tmp_path):
    visualizer = WholeBodyVisualizer(
        body_model={'type': 'SMPLXLayer', 'model_path': str(tmp_path / 'no')}
    )
    persons = make_persons((0.0, 0.0, 2.0))
    visualizer.draw_persons(IMAGE, persons, None)
    with pytest.raises(MissingBodyModelError):
        visualizer.draw_persons(IMAGE, persons, K)


def test_a_real_body_covers_its_joints(free_body_dir):
    layer = SMPLXLayer(model_path=free_body_dir)
    persons = make_persons((0.0, 0.0, 5.0), (0.7, 0.2, 4.5))
    # Upright in the camera, the second one with bent arms.
    persons.smplx_pose = torch.zeros(2, 53, 3)
    persons.smplx_pose[:, 0, 0] = torch.pi
    persons.smplx_pose[1, 18, 1] = -1
    visualizer = WholeBodyVisualizer(body_model=layer, panels=[['mesh']])
    mask = changed(visualizer.draw_persons(IMAGE, persons, K))
    pose = persons.smplx_pose
    joints = layer(
        global_orient=pose[:, :1],
        body_pose=pose[:, 1:22],
        transl=persons.smplx_transl,
        joint_set='smplx_55',
        return_vertices=False,
    ).joints.numpy()
    pixels = joints @ K.T
    columns, rows = (pixels[..., :2] / pixels[..., 2:]).astype(int)[:, :22].T
    assert mask[rows, columns].all()
    assert 0.02 < mask.mean() < 0.2


def test_boxes_of_parts_need_to_be_valid():
    persons = make_persons((0.0, 0.0, 2.0))
    visualizer = make_visualizer('boxes')
    assert changed(visualizer.draw_persons(IMAGE, persons))[50:61, 60].any()
    persons.lhand_valid[:] = 0
    assert not changed(visualizer.draw_persons(IMAGE, persons))[
        50:61, 60
    ].any()


def test_panels_stand_side_by_side():
    visualizer = WholeBodyVisualizer(
        body_model={'type': 'SquareBody'}, panels=[['boxes'], [], ['mesh']]
    )
    drawn = visualizer.draw_persons(IMAGE, make_persons((0.0, 0.0, 2.0)), K)
    assert drawn.shape == (120, 480, 3)
    boxes, nothing, mesh = np.split(drawn, 3, axis=1)
    np.testing.assert_array_equal(nothing, IMAGE)
    assert changed(mesh)[60, 80]
    assert not changed(boxes)[60, 80]
    assert changed(boxes)[60, 100]


@pytest.mark.parametrize('panels', [[], [['mesh', 'faces']]])
def test_bad_panels_are_refused(panels):
    with pytest.raises(ValueError, match='panels must be a non-empty list'):
        WholeBodyVisualizer(panels=panels)


def test_no_person_in_the_image():
    drawn = make_visualizer().draw_persons(IMAGE, make_persons(), K)
    np.testing.assert_array_equal(drawn, IMAGE)
    assert drawn is not IMAGE


def test_truth_stands_to_the_left_of_predictions(tmp_path):
    sample = make_sample(
        make_persons((0.0, 0.0, 2.0)),
        make_persons(
            (0.0, 0.0, 2.0), (0.1, 0.0, 2.0), scores=torch.tensor([0.2, 0.9])
        ),
    )
    path = tmp_path / 'new' / 'sample.png'
    make_visualizer('mesh').add_datasample(
        'x', IMAGE, sample, out_file=str(path)
    )
    drawn = cv2.imread(str(path))[..., ::-1]
    assert drawn.shape == (120, 320, 3)
    truth, predictions = np.split(drawn, 2, axis=1)
    # The prediction with the low score is not drawn.
    assert changed(truth)[60].nonzero()[0].min() == 55
    assert changed(predictions)[60].nonzero()[0].min() == 65


def test_samples_go_to_the_backends(tmp_path):
    visualizer = make_visualizer(
        vis_backends=[{'type': 'LocalVisBackend'}], save_dir=str(tmp_path)
    )
    sample = make_sample(make_persons((0.0, 0.0, 2.0)))
    visualizer.add_datasample('street', IMAGE, sample, step=7)
    assert list(tmp_path.rglob('street_7.png'))


def test_images_are_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / 'a.png'
    write_image(IMAGE, path)
    with pytest.raises(FileExistsError, match='a.png'):
        write_image(IMAGE + 1, path)
    np.testing.assert_array_equal(cv2.imread(str(path)), IMAGE)
    with pytest.raises(ValueError, match="type '.xyz', use .jpg or .png"):
        write_image(IMAGE, tmp_path / 'a.xyz')
    wide = np.zeros((1, 70_000, 3), np.uint8)
    with pytest.raises(ValueError, match=r'b\.jpg: .* 70000 x 1 pixels'):
        write_image(wide, tmp_path / 'b.jpg')
    assert [p.name for p in tmp_path.iterdir()] == ['a.png']
