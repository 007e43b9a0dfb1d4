#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Holds a built plugin to the framework's declarations.

Usage: check_selectors.py LIST_SELECTORS LIBRARY FACTS... -- COMPILER ARGUMENT...

Every selector that the LIBRARY sends has to be one of the framework's (FACTS), of Foundation's, or of a method of its
own; and every method of a class that adopts one of the framework's protocols has to be sent by somebody: a delegate's
method whose name is misspelt is called by nobody, and no compiler tells. COMPILER ARGUMENT... compiles a file that
imports Foundation. Exit code 1, and a line for each, where it is not so.
"""
import re
import subprocess
import sys

import facts

# What the compiler puts in by itself.
OF_THE_COMPILER = re.compile(r"^\.cxx_(con|de)struct$")


def run(command):
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        sys.exit("check_selectors: %s failed:\n%s" % (command[0], result.stderr))
    return result.stdout


def foundation_selectors(compiler):
    dump = run(compiler + ["-fsyntax-only", "-Xclang", "-ast-dump", "-fno-color-diagnostics"])
    # Without those that are the framework's: it is not imported.
    return set(re.findall(r"ObjCMethodDecl .* [-+] (\S+) '", dump))


class Library:
    def __init__(self, lines):
        self.sends, self.implements, self.adopts = set(), {}, {}
        for line in lines:
            words = line.split()
            if words[0] == "sends":
                self.sends.add(words[1])
            elif words[0] == "implements":
                self.implements.setdefault(words[1], set()).add(words[2])
            elif words[0] == "adopts":
                self.adopts.setdefault(words[1], set()).add(words[2])

    def own_selectors(self):
        return set().union(*self.implements.values())


def problems(library, known, foundation):
    framework = facts.selectors(known)
    protocols = {fact.owner for fact in known if fact.kind == "protocol"}
    for selector in sorted(library.sends - framework - foundation - library.own_selectors()):
        yield "it sends \"%s\", which neither the framework, Foundation nor itself has" % selector
    for name in sorted(library.adopts):
        adopted = library.adopts[name] & protocols
        if not adopted:
            continue
        asked = {fact.member[1:] for fact in known if fact.owner in adopted}
        for selector in sorted(library.implements.get(name, set()) - asked - library.sends - foundation):
            if not OF_THE_COMPILER.match(selector):
                yield "%s implements \"%s\", which nobody sends: %s has no such method" % (
                    name, selector, " and ".join(sorted(adopted)))


def main():
    split = sys.argv.index("--")
    list_selectors, path, *fact_files = sys.argv[1:split]
    library = Library(run([list_selectors, path]).splitlines())
    known = [fact for file in fact_files for fact in facts.read(file)]
    if not library.sends:
        sys.exit("check_selectors: %s: sends no message at all: is it Objective-C?" % path)
    found = list(problems(library, known, foundation_selectors(sys.argv[split + 1:])))
    for problem in found:
        print("check_selectors: %s: %s" % (path, problem))
    print("check_selectors: %d selectors, %d classes, %d problems" % (
        len(library.sends), len(library.implements), len(found)))
    sys.exit(1 if found else 0)


main()
