/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names for VmSpec.required_features: what a VM needs that not every hypervisor has. A plugin lists those it knows in
 * HypervisorInfo.features, and refuses any other with MVM_ERR_UNSUPPORTED (MVM-P12), so that none is ever overlooked.
 */
#ifndef MVM_FEATURES_H
#define MVM_FEATURES_H

/*
 * A disk whose Disk.base is set is laid over that image, so that many VMs share one.
 *
 * base   An absolute path, of Disk.format, which may be read by several VMs at once. It is never written. The host sees
 *        to it that it is the same at every boot of the VM, and that no VM of its own writes it meanwhile.
 * path   The VM's own file, mode 0600, which the host has made and holds locked (flock), so that no other VM uses it.
 *        It is written in place, and never replaced. Empty at the first boot: then the plugin makes of it what it
 * needs, in a format of its own, which is not empty. At later boots it is as the plugin left it. The host never looks
 *        into it; after a boot that failed before the VM ran it puts an empty one in its place.
 *
 * read_only is false. The disk has the size of the image in `base`.
 */
#define MVM_FEATURE_DISK_OVERLAY "disk-overlay"

#endif
