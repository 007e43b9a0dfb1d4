#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
set -euo pipefail
cd "$1"
without=$(find sdk host client plugins guest tests scripts docs cmake .ci bench CMakeLists.txt -type f \( -name '*.h' -o -name '*.hpp' \
  -o -name '*.c' -o -name '*.cpp' -o -name '*.mm' -o -name '*.inc' -o -name '*.proto' -o -name '*.cmake' -o -name '*.1' \
  -o -name '*.sh' -o -name 'CMakeLists.txt' -o -path 'scripts/*' -o -path '.ci/*' -o \( -path 'guest/*' -perm -u+x \) \) -print0 |
  xargs -0 awk 'FNR == 1 { seen[FILENAME] = 0 } FNR <= 3 && /SPDX-License-Identifier: (Apache-2.0|0BSD)/ { seen[FILENAME] = 1 }
                END { for (file in seen) if (!seen[file]) print file ": has no SPDX line among its first three" }')
[ -z "$without" ] || {
  echo "$without"
  exit 1
}
