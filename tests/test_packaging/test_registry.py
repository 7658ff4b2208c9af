# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""The registries, and the default scope."""

from __future__ import annotations

import pytest
from mmengine import registry as root
from mmengine.registry import DefaultScope, Registry

from aios import registry
from aios.registry import register_all_modules


def test_every_root_registry_has_a_node():
    nodes = {
        name: node
        for name, node in vars(registry).items()
        if isinstance(node, Registry)
    }
    roots = {
        name for name, node in vars(root).items() if isinstance(node, Registry)
    }
    assert set(nodes) == roots
    assert {*nodes, 'register_all_modules'} == set(registry.__all__)
    for name, node in nodes.items():
        assert node.scope == 'aios'
        assert node.parent is getattr(root, name)


@pytest.fixture
def scopes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin without a default scope, and forget those made by the test."""
    monkeypatch.setattr(
        DefaultScope, '_instance_dict', type(DefaultScope._instance_dict)()
    )


@pytest.mark.usefixtures('scopes')
class TestRegisterAllModules:
    def current(self) -> str:
        return DefaultScope.get_current_instance().scope_name

    def test_sets_the_scope_once(self, recwarn: pytest.WarningsRecorder):
        register_all_modules()
        register_all_modules()
        assert self.current() == 'aios'
        assert not [w for w in recwarn if 'scope' in str(w.message)]

    def test_replaces_another_scope_with_a_warning(self):
        DefaultScope.get_instance('other', scope_name='mmdet')
        with pytest.warns(UserWarning, match='"mmdet"; .* "aios"'):
            register_all_modules()
        assert self.current() == 'aios'

    def test_comes_back_after_another_scope(self):
        register_all_modules()
        DefaultScope.get_instance('other', scope_name='mmdet')
        with pytest.warns(UserWarning, match='default scope'):
            register_all_modules()
        assert self.current() == 'aios'

    def test_leaves_the_scope_alone_if_asked(self):
        register_all_modules(init_default_scope=False)
        assert DefaultScope.get_current_instance() is None
