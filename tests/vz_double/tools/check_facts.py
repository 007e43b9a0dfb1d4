#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Holds the double's headers to the framework's declarations.

Usage: check_facts.py FACTS... -- COMPILER ARGUMENT...

COMPILER ARGUMENT... compiles a file that imports the headers. Its syntax tree has to declare what the FACTS say, and
nothing more: names, types, attributes, values, superclasses, and the version that introduced it. Exit code 1, and a
line for each, where it does not.
"""
import re
import subprocess
import sys

import facts
from facts import Fact, normal_attributes, normal_type

NODE = re.compile(r"^(?P<indent>[ |`-]*)(?P<kind>\w+)(?P<rest>.*)$")
# `… name 'type'` or `… name 'type':'desugared'`, at the end or before a property's attributes.
NAME_AND_TYPE = re.compile(r" (?P<name>[\w:]+) '(?P<type>[^']*)'(?::'[^']*')?(?P<after>[^']*)$")
PROPERTY_ATTRIBUTES = {"readonly", "class", "copy", "strong", "weak", "retain", "nonatomic"}


class Node:
    def __init__(self, kind, rest):
        self.kind, self.rest, self.children = kind, rest, []

    def of(self, *kinds):
        return [child for child in self.children if child.kind in kinds]

    def introduced(self):
        for attribute in self.of("AvailabilityAttr"):
            version = re.search(r" macos ([0-9.]+) ", attribute.rest).group(1)
            return "" if float(version) <= 12 else version
        return ""


def parse(dump):
    """clang's -ast-dump: a node a line, two columns of indent for each level."""
    roots, stack = [], []
    for line in dump.splitlines():
        match = NODE.match(line)
        if not match or line.startswith("Dumping "):
            continue
        depth = len(match["indent"]) // 2
        node = Node(match["kind"], match["rest"])
        del stack[depth:]
        (stack[-1].children if stack else roots).append(node)
        stack.append(node)
    return roots


def name_and_type(node):
    return NAME_AND_TYPE.search(node.rest)


def method(owner_kind, owner, node, introduced):
    # `… - selector 'type'` or `… + selector 'type'`
    match = re.search(r" ([-+]) (\S+) '([^']*)'", node.rest)
    types = [normal_type(match[3])] + [normal_type(name_and_type(p)["type"]) for p in node.of("ParmVarDecl")]
    attributes = "unavailable" if node.of("UnavailableAttr") else ""
    return Fact(owner_kind, owner, match[1] + match[2], " ".join(types), attributes, introduced)


def property_(owner_kind, owner, node, introduced):
    match = name_and_type(node)
    words = {word for word in match["after"].split() if word in PROPERTY_ATTRIBUTES}
    for getter in node.of("getter"):
        words.add("getter=" + re.search(r"'(.*)'", getter.rest)[1])
    return Fact(owner_kind, owner, "property " + match["name"], normal_type(match["type"]), normal_attributes(words),
                introduced)


def members(owner_kind, node):
    owner = re.search(r" (\w+)$", node.rest)[1]
    for parent in node.of("super"):
        yield Fact(owner_kind, owner, "superclass", re.search(r"'(.*)'", parent.rest)[1], "", node.introduced())
    for child in node.children:
        introduced = child.introduced() or node.introduced()
        if child.kind == "ObjCPropertyDecl":
            yield property_(owner_kind, owner, child, introduced)
        elif child.kind == "ObjCMethodDecl" and " implicit " not in child.rest:
            yield method(owner_kind, owner, child, introduced)


def enumerator(node):
    # A child "value: Int 7" of the constant expression.
    values = [value.rest for constant in node.of("ConstantExpr") for value in constant.of("value")]
    name = re.search(r" (\w+) '", node.rest)[1]
    value = re.search(r"-?\d+", values[0])[0] if values else "no value"
    return Fact("enum", "", name, value, "", node.introduced())


def declared(roots):
    found = set()
    for node in roots:
        if node.kind == "ObjCInterfaceDecl":
            found |= set(members("class", node))
        elif node.kind == "ObjCProtocolDecl":
            found |= set(members("protocol", node))
        elif node.kind == "EnumConstantDecl":
            found.add(enumerator(node))
        elif node.kind == "EnumDecl":
            found |= {enumerator(child) for child in node.of("EnumConstantDecl")}
        elif node.kind == "VarDecl":
            match = name_and_type(node)
            found.add(Fact("var", "", match["name"], normal_type(match["type"]), "", ""))
    return found


def dump_of(command):
    result = subprocess.run(command + ["-fsyntax-only", "-Xclang", "-ast-dump", "-Xclang", "-ast-dump-filter=VZ",
                                       "-fno-color-diagnostics"], capture_output=True, text=True, check=False)
    if result.returncode != 0:
        sys.exit("check_facts: the headers do not compile:\n" + result.stderr)
    return result.stdout


def show(fact):
    return " ".join(part for part in ([fact.owner] if fact.owner else []) + [fact.member, "is", fact.type] +
                    ([fact.attributes] if fact.attributes else []) +
                    (["(macOS %s)" % fact.introduced] if fact.introduced else []))


def main():
    split = sys.argv.index("--")
    wanted = {fact for path in sys.argv[1:split] for fact in facts.read(path)}
    found = declared(parse(dump_of(sys.argv[split + 1:])))
    by_name = {(fact.kind, fact.owner, fact.member): fact for fact in found}
    problems = []
    for fact in sorted(wanted - found):
        other = by_name.get((fact.kind, fact.owner, fact.member))
        problems.append(show(fact) + (", the header says " + show(other) if other else ", the header has none"))
    names = {(fact.kind, fact.owner, fact.member) for fact in wanted}
    for fact in sorted(found - wanted):
        if (fact.kind, fact.owner, fact.member) not in names:
            problems.append(show(fact) + " in the header, and in no fact")
    for problem in problems:
        print("check_facts: " + problem)
    print("check_facts: %d facts, %d declarations, %d problems" % (len(wanted), len(found), len(problems)))
    sys.exit(1 if problems or not wanted else 0)


main()
