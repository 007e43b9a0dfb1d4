#!/bin/busybox sh
# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=dash
# The web server's front page, as long as there is no index.html.
read -r seconds _ </proc/uptime
printf 'Content-Type: text/html\r\n\r\n'
cat <<END
<!DOCTYPE html>
<title>$(hostname)</title>
<h1>Hello from the guest $(hostname)</h1>
<p>$(uname -srm), up ${seconds%.*} s
END
