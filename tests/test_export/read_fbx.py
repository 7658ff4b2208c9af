# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Read an FBX file with Blender: ``read_fbx.py IN.fbx OUT.npz``.

A program of its own: ``bpy`` is never imported by the tests.
"""

from __future__ import annotations

import sys

import bpy
import numpy as np


def world_vertices(item) -> np.ndarray:
    """Vertices ``(V, 3)`` of a posed mesh, meters."""
    posed = item.evaluated_get(bpy.context.evaluated_depsgraph_get())
    mesh = posed.to_mesh()
    points = np.empty(3 * len(mesh.vertices), np.float32)
    mesh.vertices.foreach_get('co', points)
    posed.to_mesh_clear()
    matrix = np.array(item.matrix_world)
    return points.reshape(-1, 3) @ matrix[:3, :3].T + matrix[:3, 3]


def main(path: str, out: str) -> None:
    """Convert the file."""
    for item in list(bpy.data.objects):
        bpy.data.objects.remove(item)
    bpy.ops.import_scene.fbx(filepath=path, anim_offset=0)
    scene, seen = bpy.context.scene, {}
    for number in range(9):
        scene.frame_set(number)
        for item in scene.objects:
            key = f'{item.name}/{number}'
            if item.type == 'MESH':
                seen[key] = world_vertices(item)
            elif item.type == 'ARMATURE':
                bones = item.pose.bones
                seen[key] = np.array(
                    [item.matrix_world @ bone.head for bone in bones]
                )
                seen[f'{item.name}/bones'] = [bone.name for bone in bones]
    camera = scene.objects['camera'].data
    np.savez(
        out,
        fps=scene.render.fps / scene.render.fps_base,
        camera=[camera.lens, camera.sensor_width, camera.shift_y],
        names=[item.name for item in scene.objects],
        **seen,
    )


if __name__ == '__main__':
    main(*sys.argv[1:])
