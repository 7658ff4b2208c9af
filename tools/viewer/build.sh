#!/usr/bin/env bash
# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
# Rebuilds aios/viewer/assets/vendor/three.min.js; needs npm. To change the
# version of three.js, edit package.json, run `npm install` here, then this script.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
assets=$(cd "$here/../../aios/viewer/assets/vendor" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp "$here"/{package.json,package-lock.json,three_bundle.js} "$work"
cd "$work"
npm ci --no-audit --no-fund
node_modules/.bin/esbuild three_bundle.js --bundle --minify --format=iife \
    --global-name=THREE --legal-comments=eof --outfile="$assets/three.min.js"
cp node_modules/three/LICENSE "$assets/LICENSE-three"
