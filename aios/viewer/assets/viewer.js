// Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
// Plays the persons of a GLB file next to the images of the results.
// Units are meters, axes are glTF's (y up). The state in the URL can be
// bookmarked:
//   #frame=12&view=camera&hide=1,2&play
'use strict';

(() => {
  const find = (id) => document.getElementById(id);
  const data = JSON.parse(find('data').textContent);
  const canvas = find('canvas');
  const frameCount = data.times.length;
  const duration = frameCount ? data.times[frameCount - 1] : 0;
  // The last frame lasts as long as the one before.
  const lastStep = frameCount > 1 ? duration - data.times[frameCount - 2] : 1;

  const state = { frame: 0, time: 0, playing: false, view: 'orbit' };
  const persons = new Map(); // id -> {nodes, row, box, shown}

  function say(text) {
    find('message').textContent = text;
  }

  function fail(error) {
    console.error(error);
    document.body.dataset.state = 'failed';
    say(`Cannot display the results: ${error.message || error}`);
  }

  // ---- embedded data ------------------------------------------------------

  function bytesOf(id) {
    const element = find(id);
    const lines = element.textContent.trim().split('\n');
    element.remove(); // free the memory of the text
    return lines.map((line) =>
      Uint8Array.from(atob(line), (letter) => letter.charCodeAt(0)));
  }

  async function unzipped(parts) {
    const stream = new Blob(parts).stream();
    const plain = stream.pipeThrough(new DecompressionStream('gzip'));
    return new Response(plain).arrayBuffer();
  }

  function blobUrl(id, type) {
    return URL.createObjectURL(new Blob(bytesOf(id), { type }));
  }

  // ---- the images ------------------------------------------------------

  let video = null; // either video or image is set
  let image = null;
  let addresses = []; // URL of the image of each frame
  let texture = null;

  function openImages() {
    const { kind } = data.media;
    if (kind === 'video') {
      video = document.createElement('video');
      video.src = blobUrl('media', data.media.type);
      video.playsInline = true;
      video.preload = 'auto';
      texture = new THREE.VideoTexture(video);
      video.addEventListener('error', () => {
        console.warn('this browser cannot play the video');
        find('image').hidden = true;
        if (state.playing) pause();
        video = texture = null;
        resize();
      });
      video.addEventListener('seeked', () => {
        if (!texture) return;
        texture.needsUpdate = true;
        if (state.view === 'camera') draw();
      });
    } else if (kind === 'images') {
      addresses = data.media.names.map((name) =>
        blobUrl(name, data.media.type));
      image = new Image();
      image.alt = 'Image of the frame';
      texture = new THREE.Texture(image);
      image.addEventListener('load', () => {
        // A texture on the GPU has a fixed size, but images may differ.
        texture.dispose();
        texture.needsUpdate = true;
        if (state.view === 'camera') draw();
      });
    } else {
      find('image').hidden = true;
      return;
    }
    texture.colorSpace = THREE.SRGBColorSpace;
    find('image').prepend(video || image);
  }

  // ---- the scene ---------------------------------------------------------

  const scene = new THREE.Scene();
  const camera = new THREE.PerspectiveCamera(35, 1, 0.05, 1000);
  const bones = new THREE.Group();
  const recorder = new THREE.Group(); // pose of the camera of the images
  const clay = new THREE.MeshBasicMaterial({ depthTest: false,
    depthWrite: false, toneMapped: false });
  const screen = new THREE.Mesh(new THREE.PlaneGeometry(1, 1), clay);
  let renderer, controls, mixer, grid, frustum;
  let actions = [];

  function makeScene(gltf) {
    renderer = new THREE.WebGLRenderer({ canvas, antialias: true });
    renderer.setPixelRatio(Math.min(devicePixelRatio, 2));
    scene.background = new THREE.Color(0x24272c);
    scene.add(new THREE.HemisphereLight(0xffffff, 0x555060, 1.6));
    const sun = new THREE.DirectionalLight(0xffffff, 1.8);
    sun.position.set(0.5, 1, 0.8);
    scene.add(sun, camera, gltf.scene, bones, recorder);
    if (gltf.cameras.length) { // it looks along -z
      recorder.position.copy(gltf.cameras[0].position);
      recorder.quaternion.copy(gltf.cameras[0].quaternion);
    }
    recorder.add(screen);
    screen.renderOrder = -1;
    controls = new THREE.OrbitControls(camera, canvas);
    controls.addEventListener('change', draw);
    mixer = new THREE.AnimationMixer(gltf.scene);
    actions = gltf.animations.map((clip) => mixer.clipAction(clip));
    actions.forEach((action) => {
      action.setLoop(THREE.LoopOnce); // stop at the last frame
      action.clampWhenFinished = true;
      action.play();
    });
    gltf.scene.traverse((node) => {
      node.frustumCulled = false; // bounds are those of the rest pose
    });
    data.persons.forEach((person) => addPerson(gltf.scene, person));
    bones.visible = false;
    addGrid();
  }

  function addPerson(root, person) {
    const skeleton = root.getObjectByName(`person_${person.id}`);
    const body = root.getObjectByName(`person_${person.id}_body`);
    const helper = new THREE.SkeletonHelper(skeleton);
    helper.material.depthTest = false;
    bones.add(helper);
    persons.set(person.id, { ...person, nodes: [body, helper], shown: true });
  }

  function addGrid() {
    const [low, high] = data.bounds;
    const size = Math.ceil(Math.max(high[0] - low[0], high[2] - low[2])) + 2;
    grid = new THREE.GridHelper(size, size, 0x70757f, 0x44484f);
    grid.position.set(
      (low[0] + high[0]) / 2, data.ground, (low[2] + high[2]) / 2);
    scene.add(grid);
    frustum = new THREE.LineSegments(
      new THREE.BufferGeometry(),
      new THREE.LineBasicMaterial({ color: 0xc8c878 }));
    frustum.frustumCulled = false;
    recorder.add(frustum);
  }

  function cameraOf(frame) {
    const view = data.cameras[data.frameCameras[frame]];
    const [[fx, , cx], [, fy, cy]] = view.K;
    return { fx, fy, cx, cy, width: view.size[0], height: view.size[1] };
  }

  // Position of an image point at a depth, relative to the camera.
  function corner(view, column, row, depth) {
    return new THREE.Vector3((column - view.cx) / view.fx * depth,
      -(row - view.cy) / view.fy * depth, -depth);
  }

  function placeCameraThings() {
    if (!frameCount) return;
    const view = cameraOf(state.frame);
    const { width, height } = view;
    const far = depthRange()[1];
    const middle = corner(view, width / 2, height / 2, far);
    screen.position.copy(middle);
    screen.scale.set(width / view.fx * far, height / view.fy * far, 1);
    const near = depthRange()[0] * 0.2;
    const points = [];
    const edges = [[0, 0], [width, 0], [width, height], [0, height]];
    edges.forEach(([x, y], i) => {
      const here = corner(view, x, y, near);
      const [nextX, nextY] = edges[(i + 1) % 4];
      points.push(new THREE.Vector3(), here,
        here, corner(view, nextX, nextY, near));
    });
    frustum.geometry.setFromPoints(points);
  }

  function depthRange() {
    const [nearest, farthest] = data.depths;
    return [Math.max(0.1, nearest), Math.max(1, farthest)];
  }

  // ---- views -------------------------------------------------------------

  // Directions from the center of the persons to the viewpoint.
  const DIRECTIONS = { orbit: [0.35, 0.25, 1], side: [1, 0, 0],
    top: [0, 1, 1e-4] };

  function setView(name) {
    if (!(name in DIRECTIONS) && name !== 'camera') return;
    state.view = name;
    document.querySelectorAll('[data-view]').forEach((button) => {
      button.setAttribute('aria-pressed', button.dataset.view === name);
    });
    const seen = name === 'camera';
    controls.enabled = !seen;
    screen.visible = seen && Boolean(texture);
    frustum.visible = !seen;
    clay.map = texture;
    clay.needsUpdate = true;
    if (!seen) fit(DIRECTIONS[name]);
    showGrid();
    resize();
  }

  function showGrid() {
    grid.visible = find('grid').checked && state.view !== 'camera';
  }

  function fit(direction) {
    const box = new THREE.Box3(new THREE.Vector3(...data.bounds[0]),
      new THREE.Vector3(...data.bounds[1]));
    const sphere = box.getBoundingSphere(new THREE.Sphere());
    const narrow = Math.min(1, canvas.clientWidth / canvas.clientHeight);
    const half = Math.atan(Math.tan(camera.fov * Math.PI / 360) * narrow);
    const distance = 1.05 * Math.max(sphere.radius, 0.5) / Math.sin(half);
    controls.target.copy(sphere.center);
    camera.position.set(...direction).normalize();
    camera.position.multiplyScalar(distance).add(sphere.center);
    camera.near = distance / 100;
    camera.far = distance * 20 + depthRange()[1];
    controls.update();
  }

  // Projection of the recording camera, with the image centered in the canvas.
  function lookThroughCamera() {
    const view = cameraOf(state.frame);
    const { clientWidth: width, clientHeight: height } = canvas;
    const scale = Math.min(width / view.width, height / view.height);
    const left = (width / scale - view.width) / 2 + view.cx;
    const above = (height / scale - view.height) / 2 + view.cy;
    const [nearest, farthest] = depthRange();
    const near = nearest / 20;
    camera.position.copy(recorder.position);
    camera.quaternion.copy(recorder.quaternion);
    camera.projectionMatrix.makePerspective(
      -left / view.fx * near, (width / scale - left) / view.fx * near,
      above / view.fy * near, -(height / scale - above) / view.fy * near,
      near, farthest * 4);
    camera.projectionMatrixInverse.copy(camera.projectionMatrix).invert();
  }

  function resize() {
    const { clientWidth: width, clientHeight: height } = canvas;
    if (!renderer || !width || !height) return;
    renderer.setSize(width, height, false);
    camera.aspect = width / height;
    camera.updateProjectionMatrix();
    draw();
  }

  let waiting = false;
  function draw() {
    if (waiting || !renderer) return;
    waiting = true;
    document.body.dataset.drawn = false;
    requestAnimationFrame(() => {
      waiting = false;
      placeCameraThings();
      if (state.view === 'camera') lookThroughCamera();
      renderer.render(scene, camera);
      document.body.dataset.drawn = !waiting;
    });
  }

  // ---- time --------------------------------------------------------------

  // Index of the frame shown at a time.
  function frameAt(time) {
    let low = 0;
    let high = frameCount;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (data.times[middle] <= time + 1e-4) low = middle;
      else high = middle;
    }
    return low;
  }

  // Seconds from a frame to the next one; the rate of the video may change.
  function stepAt(frame) {
    if (frame === frameCount - 1) return lastStep;
    return data.times[frame + 1] - data.times[frame];
  }

  function goTo(frame, seek = true) {
    if (!frameCount) return;
    const last = frameCount - 1;
    state.frame = Math.min(Math.max(0, frame), last);
    const time = data.times[state.frame];
    if (seek) state.time = time;
    // Actions pause when they reach their end.
    actions.forEach((action) => { action.paused = false; });
    mixer.setTime(time);
    if (addresses.length && image.src !== addresses[state.frame]) {
      image.src = addresses[state.frame];
    }
    // Seek into the frame: at its start some browsers show the previous one.
    if (video && seek) video.currentTime = time + stepAt(state.frame) / 4;
    find('time').value = state.frame;
    find('clock').textContent = `${time.toFixed(2)} s · frame `
      + `${state.frame} of 0–${last} · ${data.names[state.frame]}`;
    document.body.dataset.frame = state.frame;
    persons.forEach((person) => {
      person.row.classList.toggle('absent', !isPresent(person, state.frame));
    });
    draw();
  }

  function isPresent(person, frame) {
    return person.spans.some(([from, to]) => from <= frame && frame <= to);
  }

  let earlier = 0;
  function tick(now) {
    if (!state.playing) return;
    const speed = Number(find('speed').value);
    if (video) {
      video.playbackRate = speed;
      state.time = video.ended ? Infinity : video.currentTime;
    } else {
      state.time += (now - earlier) / 1000 * speed;
    }
    earlier = now;
    if (state.time >= duration + lastStep) {
      goTo(0);
      if (video) video.play().catch(pause);
    } else {
      const frame = frameAt(state.time);
      if (frame !== state.frame) goTo(frame, false);
      else if (video && state.view === 'camera') draw();
    }
    requestAnimationFrame(tick);
  }

  function play() {
    if (state.playing || frameCount < 2) return;
    if (state.frame === frameCount - 1) goTo(0);
    state.playing = true;
    earlier = performance.now();
    showPlaying();
    if (video) video.play().catch(pause);
    requestAnimationFrame(tick);
  }

  function pause() {
    state.playing = false;
    showPlaying();
    if (video) video.pause();
    goTo(state.frame);
  }

  function showPlaying() {
    find('play').textContent = state.playing ? '❚❚' : '▶';
    find('play').setAttribute('aria-label', state.playing ? 'Pause' : 'Play');
    document.body.dataset.playing = state.playing;
  }

  // ---- persons -----------------------------------------------------------

  function listPersons() {
    persons.forEach((person) => {
      const row = document.createElement('li');
      const label = document.createElement('label');
      const box = document.createElement('input');
      const dot = document.createElement('span');
      const only = document.createElement('button');
      const when = document.createElement('small');
      box.type = 'checkbox';
      box.checked = true;
      dot.className = 'dot';
      dot.style.background = person.color;
      only.textContent = 'Only';
      only.title = 'Hide all other persons';
      when.textContent = `${person.count} of ${frameCount} frames, score `
        + person.score.toFixed(2);
      label.append(box, ' ', dot, `Person ${person.id}`, when);
      row.append(label, only);
      row.dataset.person = person.id;
      box.addEventListener('change', () => show(person.id, box.checked));
      only.addEventListener('click', () => solo(person.id));
      find('persons').append(row);
      Object.assign(person, { row, box });
    });
  }

  function show(id, shown) {
    const person = persons.get(id);
    person.shown = person.box.checked = shown;
    person.nodes.forEach((node) => { node.visible = shown; });
    draw();
  }

  function solo(id) {
    persons.forEach((_, other) => show(other, id === null || other === id));
  }

  // ---- event handlers ----------------------------------------------------

  function wire() {
    find('time').max = Math.max(0, frameCount - 1);
    find('time').addEventListener('input', (event) => {
      goTo(Number(event.target.value));
    });
    find('play').addEventListener('click', () =>
      (state.playing ? pause() : play()));
    find('back').addEventListener('click', () => step(-1));
    find('next').addEventListener('click', () => step(1));
    find('all').addEventListener('click', () => solo(null));
    find('bones').addEventListener('change', (event) => {
      bones.visible = event.target.checked;
      draw();
    });
    find('grid').addEventListener('change', () => { showGrid(); draw(); });
    document.querySelectorAll('[data-view]').forEach((button) => {
      button.addEventListener('click', () => setView(button.dataset.view));
    });
    document.addEventListener('keydown', onKey);
    new ResizeObserver(resize).observe(canvas);
  }

  function step(by) {
    if (state.playing) pause();
    goTo(state.frame + by);
  }

  function onKey(event) {
    if (/INPUT|SELECT|BUTTON/.test(event.target.tagName)) return;
    const commands = {
      ' ': () => (state.playing ? pause() : play()),
      ArrowLeft: () => step(-1),
      ArrowRight: () => step(1),
      Home: () => goTo(0),
      End: () => goTo(frameCount - 1),
    };
    if (!(event.key in commands)) return;
    event.preventDefault();
    commands[event.key]();
  }

  function followAddress() {
    const wanted = new URLSearchParams(location.hash.slice(1));
    const hidden = (wanted.get('hide') || '').split(',').filter(Boolean);
    persons.forEach((_, id) => show(id, !hidden.includes(String(id))));
    setView(wanted.get('view') || 'orbit');
    goTo(Number(wanted.get('frame')) || 0);
    if (wanted.has('play')) play();
  }

  async function start() {
    find('summary').textContent = `${data.persons.length} persons, `
      + `${frameCount} frames${data.source ? ` · ${data.source}` : ''}`;
    const loader = new THREE.GLTFLoader();
    const gltf = await loader.parseAsync(await unzipped(bytesOf('glb')), '');
    makeScene(gltf);
    openImages();
    listPersons();
    wire();
    resize();
    followAddress();
    window.addEventListener('hashchange', followAddress);
    say(frameCount ? '' : 'The results contain no frames.');
    document.body.dataset.state = 'ready';
  }

  start().catch(fail);
})();
