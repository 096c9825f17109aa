#!/usr/bin/env bash
# Write the image as the file that is uploaded.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

image="${IMAGE:-mitotype-challenge}"
docker save "$image" | gzip -c >"${image//[\/:]/-}.tar.gz" # OWNER/NAME:TAG is no file name
