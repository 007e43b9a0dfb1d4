#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# scripts/demo --mock, with the head of a bzImage for a kernel, so that it needs no network. CI runs the other one.
set -euo pipefail
# shellcheck source=tests/house/kernel.sh
. "$(dirname "$0")/kernel.sh"
scratch=$(mktemp -d /tmp/mvm-demo-test.XXXXXX)
trap 'rm -rf "$scratch"' EXIT
make_kernel "$scratch/vmlinuz"
MVM_DEMO_KERNEL=$scratch/vmlinuz "$1/scripts/demo" --no-build --mock
