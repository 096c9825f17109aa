#!/usr/bin/env bash
# Run the image on test/input under the conditions of the platform; the result is in test/output.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

mkdir -p test/output
chmod 777 test/output # the image's user is another one
gpus=()
if docker info --format '{{json .Runtimes}}' | grep -q nvidia; then
    gpus=(--gpus all)
fi

docker run --rm --platform linux/amd64 --network none ${gpus[@]+"${gpus[@]}"} \
    --volume "$PWD/test/input:/input:ro" --volume "$PWD/test/output:/output" --volume /tmp \
    "${IMAGE:-mitotype-challenge}"
cat test/output/*.json
