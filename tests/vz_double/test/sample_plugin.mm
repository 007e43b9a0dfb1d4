// SPDX-License-Identifier: Apache-2.0
// For check_selectors.py: a library that is in order, and by a macro one that is not.
#import <Virtualization/Virtualization.h>

@interface SampleDelegate : NSObject <VZVirtualMachineDelegate>
@end
@implementation SampleDelegate {
  NSMutableArray *_events;
}
#ifdef SAMPLE_MISSPELT_DELEGATE
- (void)guestDidStopVirtualMachne:(VZVirtualMachine *)virtualMachine {
#else
- (void)guestDidStopVirtualMachine:(VZVirtualMachine *)virtualMachine {
#endif
  [self keep:virtualMachine];
}
- (void)keep:(VZVirtualMachine *)machine {
  _events = [NSMutableArray arrayWithObject:machine];
}
@end

#ifdef SAMPLE_UNKNOWN_SELECTOR
// As a header of one's own would declare it.
@interface VZVirtualMachine (Sample)
- (void)rebootWithCompletionHandler:(void (^)(NSError *))completionHandler;
@end
#endif

extern "C" __attribute__((visibility("default"))) void sample(VZVirtualMachine *machine) {
  static SampleDelegate *const delegate = [[SampleDelegate alloc] init];
  machine.delegate = delegate;
#ifdef SAMPLE_UNKNOWN_SELECTOR
  [machine rebootWithCompletionHandler:^(NSError *){
  }];
#endif
  [machine startWithCompletionHandler:^(NSError *error) {
    NSLog(@"%@", [error localizedDescription]);
  }];
}
