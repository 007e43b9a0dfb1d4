#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# `mvmhost --help`, docs/mvmhost.1 and README.md name the same commands and options.
set -euo pipefail
cd "$1"
host=$2
page=docs/mvmhost.1
bad=0
complain() {
  echo "$1"
  bad=1
}

help=$("$host" --help)
[ -n "$help" ] || {
  echo 'mvmhost --help: prints nothing'
  exit 1
}
# "  boot   Boot a VM ..." below "Subcommands:".
commands=$(sed -nE '/^(Subcommands|SUBCOMMANDS):/,/^[^ ]/ s/^  ([a-z][a-z-]*).*/\1/p' <<<"$help")
[ "$(wc -w <<<"$commands")" -ge 10 ] || complain "mvmhost --help: shows too few commands: $commands"

# The long options of a help text, and of the man page: -\-home, \-\-home or Fl -home.
long_options() { grep -oE -- '(^|[ ,])--[a-z][a-z-]+' | tr -d ' ,' | sort -u; }
in_page=$({ grep -oE 'Fl -[a-z][a-z-]+' "$page" | sed 's/Fl /-/'; } | sort -u)
in_help=''

# check_help [COMMAND [SUBCOMMAND]]
check_help() {
  local option
  for option in $("$host" "$@" --help | long_options); do
    in_help="$in_help $option"
    grep -qx -- "$option" <<<"$in_page" || complain "$page: has no $option${1:+, an option of $*}"
  done
}
check_help
for command in $commands; do
  grep -qE "^\.It Cm $command( |\$)" "$page" || complain "$page: has no entry for the command $command"
  grep -qE "\`(mvmhost )?$command( |\`)" README.md || complain "README.md: does not mention the command $command"
  check_help "$command"
  for inner in $("$host" "$command" --help | sed -nE '/^(Subcommands|SUBCOMMANDS):/,/^[^ ]/ s/^  ([a-z][a-z-]*).*/\1/p'); do
    grep -qE "^\.It Cm $command $inner( |\$)" "$page" || complain "$page: has no entry for $command $inner"
    check_help "$command" "$inner"
  done
done
for option in $in_page; do
  case " $in_help " in *" $option "*) ;; *) complain "$page: has $option, which no command takes" ;; esac
done
while IFS= read -r command; do
  grep -qx -- "$command" <<<"$commands" || complain "$page: has the command $command, which mvmhost --help doesn't"
done < <(sed -nE 's/^\.It Cm ([a-z-]+).*/\1/p' "$page")
if command -v mandoc >/dev/null; then
  mandoc -T lint -W warning "$page" || complain "$page: is not as mandoc would have it"
fi
exit $bad
