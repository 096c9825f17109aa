#!/usr/bin/env bash
# Write the image as the file that is uploaded.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

docker save "${IMAGE:-mitotype-challenge}" | gzip -c >"${IMAGE:-mitotype-challenge}.tar.gz"
