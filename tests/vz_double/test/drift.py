#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Drifts the double's headers, one thing at a time: check_facts.py has to name each.

Usage: drift.py CHECK_FACTS INCLUDE FACTS... -- COMPILER ARGUMENT...   (an ARGUMENT that is INCLUDE becomes the copy)
"""
import pathlib
import shutil
import subprocess
import sys
import tempfile

# What drifts, in which header, from what, to what, and what has to be said.
DRIFTS = [
    ("a method's name", "VZSocket", "removeSocketListenerForPort:", "removeListenerForPort:",
     "VZVirtioSocketDevice -removeSocketListenerForPort: is void uint32_t, the header has none"),
    ("a delegate's method", "VZVirtualMachine", "guestDidStopVirtualMachine:", "guestDidStop:",
     "VZVirtualMachineDelegate -guestDidStopVirtualMachine:"),
    ("a parameter's type", "VZSocket", "(void)removeSocketListenerForPort:(uint32_t)",
     "(void)removeSocketListenerForPort:(int)",
     "is void uint32_t, the header says VZVirtioSocketDevice -removeSocketListenerForPort: is void int"),
    ("a result's type", "VZVirtualMachine", "- (BOOL)requestStop", "- (void)requestStop", "-requestStopWithError:"),
    ("a block's parameters", "VZVirtualMachine", "startWithCompletionHandler:(void (^)(NSError *_Nullable errorOrNil))",
     "startWithCompletionHandler:(void (^)(void))", "-startWithCompletionHandler:"),
    ("a property's type", "VZVirtualMachineConfiguration", "uint64_t memorySize;", "NSUInteger memorySize;",
     "property memorySize is uint64_t, the header says"),
    ("weak", "VZVirtualMachine", "@property(nullable, weak)", "@property(nullable, strong)",
     "property delegate is id<VZVirtualMachineDelegate> weak, the header says"),
    ("readonly", "VZSocket", "@property(readonly) int fileDescriptor", "@property int fileDescriptor",
     "property fileDescriptor"),
    ("a getter", "VZStorage", "getter=isReadOnly", "getter=readOnly", "property readOnly"),
    ("a class property", "VZVirtualMachineConfiguration", "(class, readonly) NSUInteger minimum",
     "(readonly) NSUInteger minimum", "property minimumAllowedCPUCount"),
    ("unavailable", "VZNetwork", "@interface VZMACAddress : NSObject <NSCopying>\n+ (instancetype)new NS_UNAVAILABLE;",
     "@interface VZMACAddress : NSObject <NSCopying>\n+ (instancetype)new;", "VZMACAddress +new is instancetype unavailable"),
    ("an enumerator's value", "VZStorage", "VZDiskImageCachingModeCached = 2", "VZDiskImageCachingModeCached = 3",
     "VZDiskImageCachingModeCached is 2, the header says VZDiskImageCachingModeCached is 3"),
    ("a superclass", "VZBootLoader", "VZLinuxBootLoader : VZBootLoader", "VZLinuxBootLoader : NSObject",
     "VZLinuxBootLoader superclass is VZBootLoader"),
    ("the version that introduced it", "VZPlatform", "machineIdentifier API_AVAILABLE(macos(13.0))",
     "machineIdentifier API_AVAILABLE(macos(14.0))", "property machineIdentifier"),
    ("something that the framework lacks", "VZVirtualMachine", "- (BOOL)requestStopWithError:",
     "- (void)reboot;\n- (BOOL)requestStopWithError:", "VZVirtualMachine -reboot is void in the header, and in no fact"),
]


def check(check_facts, include, facts, command, directory):
    copy = str(directory / "include")
    arguments = [copy if argument == include else argument for argument in command]
    return subprocess.run([sys.executable, check_facts, *facts, "--", *arguments], capture_output=True, text=True,
                          check=False)


def main():
    split = sys.argv.index("--")
    check_facts, include, *facts = sys.argv[1:split]
    failed = False
    for what, header, old, new, said in DRIFTS:
        with tempfile.TemporaryDirectory() as temporary:
            directory = pathlib.Path(temporary)
            shutil.copytree(include, directory / "include")
            path = directory / "include" / "Virtualization" / (header + ".h")
            text = path.read_text(encoding="utf-8")
            if old not in text:
                sys.exit("drift: %s: %s.h has no \"%s\" any more: change this test" % (what, header, old))
            path.write_text(text.replace(old, new), encoding="utf-8")
            result = check(check_facts, include, facts, sys.argv[split + 1:], directory)
            if result.returncode == 1 and said in result.stdout:
                continue
            failed = True
            print("drift: %s: not found. check_facts said:\n%s%s" % (what, result.stdout, result.stderr))
    print("drift: %d tried" % len(DRIFTS))
    sys.exit(1 if failed else 0)


main()
