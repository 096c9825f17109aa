#!/usr/bin/env bash
# Build the image. Arguments go to docker build: --build-arg PIP_NO_INDEX=1 installs from wheels/ alone, without a network.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

docker build --platform linux/amd64 --tag "${IMAGE:-mitotype-challenge}" "$@" .
