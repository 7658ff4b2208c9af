// Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
// Runs MoveNet MultiPose with TensorFlow.js on an image, for tfjs.npz:
//
//   make_synthetic_dataset.py syn --images 4 --size 160x128 --persons 1-2 \
//     --fill 0.6-0.9 --seed 7 --quality 95    # persons.png is 000003.jpg
//   npm install @tensorflow/tfjs@4.22.0 @tensorflow/tfjs-backend-wasm@4.22.0
//   node run_tfjs.mjs MODELS image.rgb 128 160 out  # pixels without a header
//
// `out` gets a .f32 file of each map, (height, width, channels).
import fs from 'fs';
import path from 'path';
import * as tf from '@tensorflow/tfjs';
import {setWasmPaths} from '@tensorflow/tfjs-backend-wasm';

const [models, image, height, width, out] = process.argv.slice(2);
setWasmPaths(
  path.resolve('node_modules/@tensorflow/tfjs-backend-wasm/dist') + '/');
await tf.setBackend('wasm');
const spec = JSON.parse(fs.readFileSync(`${models}/movenet-multipose.json`));
const data = fs.readFileSync(`${models}/movenet-multipose.bin`);
const model = await tf.loadGraphModel(tf.io.fromMemory({
  modelTopology: spec.modelTopology,
  weightSpecs: spec.weightsManifest.flatMap(group => group.weights),
  weightData: data.buffer.slice(
    data.byteOffset, data.byteOffset + data.byteLength),
  signature: spec.signature,
}));
const root = 'StatefulPartitionedCall/';
const pyramid =
  root + 'center_net_mobile_net_v2fpn_feature_extractor/model_1/';
const nodes = {
  people: 'Identity',
  center: root + 'center_0/conv2d_4/BiasAdd',
  box_scale: root + 'box_scale_0/conv2d_5/BiasAdd',
  box_offset: root + 'box_offset_0/conv2d_6/BiasAdd',
  kpt_heatmap: root + 'kpt_heatmap_0/conv2d_7/BiasAdd',
  kpt_regress: root + 'kpt_regress_0/conv2d_8/BiasAdd',
  kpt_offset: root + 'kpt_offset_0/conv2d_9/BiasAdd',
  block_5: pyramid + 'model/block_5_add/add',
  block_9: pyramid + 'model/block_9_add/add',
  block_12: pyramid + 'model/block_12_add/add',
  block_15: pyramid + 'model/block_15_add/add',
  level_8: pyramid + 're_lu_1/Relu',
  level_16: pyramid + 're_lu/Relu',
  level_32: pyramid + 'conv2d/BiasAdd',
};
const pixels = tf.tensor(
  new Uint8Array(fs.readFileSync(image)), [1, +height, +width, 3], 'int32');
const outputs =
  await model.executeAsync({input: pixels}, Object.values(nodes));
Object.keys(nodes).forEach((name, i) => {
  console.log(name, outputs[i].shape.join('x'));
  const values = new Float32Array(outputs[i].dataSync());
  fs.writeFileSync(`${out}/${name}.f32`, Buffer.from(values.buffer));
});
