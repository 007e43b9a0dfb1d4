# SPDX-License-Identifier: Apache-2.0
"""The framework's declarations, as the files in facts/ have them: one Fact for each line."""
import collections
import re

# introduced: the version of macOS, or "" for what macOS 12 has.
Fact = collections.namedtuple("Fact", "kind owner member type attributes introduced")

# Of CoreVideo, in the list because it was taken together with the framework.
NOT_OF_THE_FRAMEWORK = {"kCVZeroTime"}


def normal_type(text):
    """Without blanks, nullability, and the availability that clang spells into a property's type."""
    text = re.sub(r"API_AVAILABLE\(macos\([0-9.]+\)\)", "", text)
    text = re.sub(r"\b(_Nullable|_Nonnull|__autoreleasing|__strong|__unsafe_unretained)\b", "", text)
    return text.replace(" ", "")


def normal_attributes(words):
    return " ".join(sorted(words))


def read(path):
    facts = []
    with open(path, encoding="utf-8") as file:
        for line in file:
            if line.startswith("#") or not line.strip():
                continue
            fields = line.rstrip("\n").split("\t")
            fields += [""] * (6 - len(fields))
            kind, owner, member, type_, attributes, introduced = fields[:6]
            if member in NOT_OF_THE_FRAMEWORK:
                continue
            types = " ".join(normal_type(part) for part in type_.split(" "))
            facts.append(Fact(kind, owner, member, types, normal_attributes(attributes.split()), introduced))
    return facts


def selectors(facts):
    """Every selector that the facts allow to be sent, with a property's getter and setter."""
    found = set()
    for fact in facts:
        if fact.member[:1] in "+-" and fact.attributes != "unavailable":
            found.add(fact.member[1:])
        if fact.member.startswith("property "):
            found |= accessors(fact)
    return found


def accessors(fact):
    name = fact.member[len("property "):]
    words = fact.attributes.split()
    getter = next((w[len("getter="):] for w in words if w.startswith("getter=")), name)
    return {getter} if "readonly" in words else {getter, "set" + name[0].upper() + name[1:] + ":"}
