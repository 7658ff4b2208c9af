// The parts of three.js that the viewer uses, bundled as a classic script
// (global THREE), because modules cannot be loaded from file:// URLs.
export {
  AnimationMixer,
  Box3,
  BufferGeometry,
  Color,
  DirectionalLight,
  GridHelper,
  Group,
  HemisphereLight,
  LineBasicMaterial,
  LineSegments,
  LoopOnce,
  Mesh,
  MeshBasicMaterial,
  PerspectiveCamera,
  PlaneGeometry,
  SRGBColorSpace,
  Scene,
  SkeletonHelper,
  Sphere,
  Texture,
  Vector3,
  VideoTexture,
  WebGLRenderer,
} from 'three';
export { OrbitControls } from 'three/addons/controls/OrbitControls.js';
export { GLTFLoader } from 'three/addons/loaders/GLTFLoader.js';
