#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What is left to do belongs in the issue tracker, and leftovers of an editor or a merge nowhere.
set -euo pipefail
cd "$1"
bad=0
rooms=(sdk host client plugins guest tests scripts docs cmake .ci .github CMakeLists.txt CMakePresets.json README.md CONTRIBUTING.md CHANGELOG.md)
# In two halves each, so that this file is not one of those it looks for.
word="TO""DO|FIX""ME|XX""X|HA""CK"
if grep -rnwE --exclude-dir=__pycache__ "($word)" "${rooms[@]}"; then bad=1; fi
if grep -rnE '^(<{7}|>{7}|={7})( |$)' "${rooms[@]}"; then bad=1; fi
if find "${rooms[@]}" -type f \( -name '*.orig' -o -name '*.rej' -o -name '*~' -o -name '*.swp' \) | grep .; then bad=1; fi
exit $bad
