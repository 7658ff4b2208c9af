# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Registry nodes of scope ``aios``, each a child of MMEngine's root.

A node imports the packages in its ``locations`` on the first look-up, so that
configs need no ``custom_imports``. Classes of sibling projects have the prefix
of their scope, for example ``type='mmdet.ResNet'``.

More details: https://mmengine.readthedocs.io/en/latest/advanced_tutorials/registry.html
"""  # noqa: E501

from __future__ import annotations

import time
import warnings
from typing import Any

from mmengine import registry as root
from mmengine.registry import DefaultScope, Registry

from .utils.openmmlab import prepare_openmmlab

__all__ = [
    'DATASETS',
    'DATA_SAMPLERS',
    'EVALUATOR',
    'FUNCTIONS',
    'HOOKS',
    'INFERENCERS',
    'LOG_PROCESSORS',
    'LOOPS',
    'METRICS',
    'MODELS',
    'MODEL_WRAPPERS',
    'OPTIMIZERS',
    'OPTIM_WRAPPERS',
    'OPTIM_WRAPPER_CONSTRUCTORS',
    'PARAM_SCHEDULERS',
    'RUNNERS',
    'RUNNER_CONSTRUCTORS',
    'STRATEGIES',
    'TASK_UTILS',
    'TRANSFORMS',
    'VISBACKENDS',
    'VISUALIZERS',
    'WEIGHT_INITIALIZERS',
    'register_all_modules',
]

prepare_openmmlab()


class AiOSRegistry(Registry):
    """A node that builds its own classes independent of the default scope.

    MMEngine looks up bare names in the default scope; a config of MMDetection
    (``default_scope = 'mmdet'``) with ``type='aios.AiOS'`` would not find
    classes of this project. Other names are looked up as usual.
    """

    def build(self, cfg: dict, *args: Any, **kwargs: Any) -> Any:
        """Build an instance from a config.

        Args:
            cfg: Its ``type`` and arguments.
            *args: See :meth:`mmengine.registry.Registry.build`.
            **kwargs: See :meth:`mmengine.registry.Registry.build`.
        """
        if isinstance(cfg, dict) and '_scope_' not in cfg:
            self.import_from_location()
            if cfg.get('type') in self._module_dict:
                cfg = dict(cfg, _scope_=self.scope)
        return super().build(cfg, *args, **kwargs)


def _node(name: str, parent: Registry, *locations: str) -> AiOSRegistry:
    """Create a child of one of MMEngine's root registries.

    The location of nodes without classes of this project is this module,
    because MMEngine would otherwise import the whole package.
    """
    return AiOSRegistry(
        name,
        parent=parent,
        scope='aios',
        locations=list(locations or (__name__,)),
    )


# manage all kinds of runners like `EpochBasedRunner` and `IterBasedRunner`
RUNNERS = _node('runner', root.RUNNERS)
# manage runner constructors that define how to initialize runners
RUNNER_CONSTRUCTORS = _node('runner constructor', root.RUNNER_CONSTRUCTORS)
# manage all kinds of loops like `EpochBasedTrainLoop`
LOOPS = _node('loop', root.LOOPS)
# manage all kinds of hooks like `CheckpointHook`
HOOKS = _node('hook', root.HOOKS, 'aios.engine.hooks')
# manage all kinds of strategies like `DDPStrategy`
STRATEGIES = _node('strategy', root.STRATEGIES, 'aios.engine.fsdp')

# manage datasets like `HumanDataset`
DATASETS = _node('dataset', root.DATASETS, 'aios.datasets')
# manage samplers that choose which samples make a batch
DATA_SAMPLERS = _node(
    'data sampler', root.DATA_SAMPLERS, 'aios.datasets.samplers'
)
# manage the steps of a data pipeline
TRANSFORMS = _node('transform', root.TRANSFORMS, 'aios.datasets.transforms')

# manage all kinds of modules inheriting `nn.Module`
MODELS = _node(
    'model',
    root.MODELS,
    'aios.body_models.smpl',
    'aios.body_models.smplx_layer',
    'aios.models',
)
# manage all kinds of model wrappers like 'MMDistributedDataParallel'
MODEL_WRAPPERS = _node('model wrapper', root.MODEL_WRAPPERS)
# manage all kinds of weight initialization modules like `Uniform`
WEIGHT_INITIALIZERS = _node('weight initializer', root.WEIGHT_INITIALIZERS)
# manage task-specific modules like assigners and match costs
TASK_UTILS = _node('task util', root.TASK_UTILS, 'aios.models')

# manage all kinds of optimizers like `SGD` and `Adam`
OPTIMIZERS = _node('optimizer', root.OPTIMIZERS)
# manage optimizer wrappers like `AmpOptimWrapper`
OPTIM_WRAPPERS = _node(
    'optim wrapper',
    root.OPTIM_WRAPPERS,
    'aios.engine.fsdp',
    'aios.engine.optim',
)
# manage constructors that customize the optimization hyperparameters
OPTIM_WRAPPER_CONSTRUCTORS = _node(
    'optimizer wrapper constructor', root.OPTIM_WRAPPER_CONSTRUCTORS
)
# manage all kinds of parameter schedulers like `MultiStepLR`
PARAM_SCHEDULERS = _node('parameter scheduler', root.PARAM_SCHEDULERS)

# manage all kinds of metrics
METRICS = _node('metric', root.METRICS, 'aios.evaluation')
# manage evaluators, which hold several metrics
EVALUATOR = _node('evaluator', root.EVALUATOR)

# manage visualizers like `WholeBodyVisualizer`
VISUALIZERS = _node(
    'visualizer', root.VISUALIZERS, 'aios.visualization.local_visualizer'
)
# manage visualizer backends like `LocalVisBackend`
VISBACKENDS = _node('vis_backend', root.VISBACKENDS)

# manage log processors
LOG_PROCESSORS = _node('log_processor', root.LOG_PROCESSORS)
# manage inferencers, which take an image and return persons
INFERENCERS = _node('inferencer', root.INFERENCERS, 'aios.apis.inferencer')
# manage functions like `collate_fn`
FUNCTIONS = _node('function', root.FUNCTIONS)


def register_all_modules(init_default_scope: bool = True) -> None:
    """Import all modules of the registries of scope ``aios``.

    For scripts and notebooks; a :class:`mmengine.runner.Runner` with
    ``default_scope='aios'`` does not need it.

    Args:
        init_default_scope: Also make ``aios`` the current default scope. If
            another scope is current, it is replaced with a warning.
    """
    for node in list(globals().values()):
        if isinstance(node, AiOSRegistry):
            node.import_from_location()
    if init_default_scope:
        _enter_default_scope('aios')


def _enter_default_scope(scope: str) -> None:
    current = DefaultScope.get_current_instance()
    if current is not None and current.scope_name == scope:
        return
    if current is not None:
        warnings.warn(
            f'The current default scope is "{current.scope_name}"; '
            f'`register_all_modules` replaces it with "{scope}". Pass '
            '`init_default_scope=False` to avoid this.',
            stacklevel=3,
        )
    # Existing instances cannot become current again, so use a new name.
    name = scope
    if DefaultScope.check_instance_created(name):
        name = f'{scope}-{time.time_ns()}'
    DefaultScope.get_instance(name, scope_name=scope)
