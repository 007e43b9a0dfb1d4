#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Relative links of Markdown files: the file is there.
set -euo pipefail
cd "$1"
bad=0
while IFS= read -r file; do
  while IFS= read -r target; do
    case $target in http://* | https://* | mailto:* | '#'*) continue ;; esac
    [ -e "$(dirname "$file")/${target%%#*}" ] && continue
    echo "$file: links to $target, which is not there"
    bad=1
  done < <(grep -oE '\]\([^) ]+\)' "$file" | sed -E 's/^\]\((.*)\)$/\1/')
done < <(find . -name '*.md' -not -path './build*' -not -path './.git/*')
exit $bad
