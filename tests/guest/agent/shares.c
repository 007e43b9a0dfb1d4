// SPDX-License-Identifier: Apache-2.0
#include "shares.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "services.h"

static const char pci_devices[] = "/sys/bus/pci/devices";
static const char virtio_devices[] = "/sys/bus/virtio/devices";
static const char mounts[] = "/run/contract-guest";

static struct share local[MAX_SHARES];
static int locals = 0;

bool add_local_share(const char* spec) {
  const char* equals = strchr(spec, '=');
  if (equals == NULL || equals - spec > TAG_BYTES || locals == MAX_SHARES) return false;
  struct share* share = &local[locals];
  size_t length = strlen(equals + 1);
  share->read_only = length > 3 && strcmp(equals + 1 + length - 3, ":ro") == 0;
  if (share->read_only) length -= 3;
  if (length >= sizeof share->root) return false;
  memcpy(share->tag, spec, (size_t)(equals - spec));
  memcpy(share->root, equals + 1, length);
  ++locals;
  return true;
}

// Calls visit for the entries of a directory that begin with prefix, until it says false. True: it never did.
static bool each_entry(const char* dir, const char* prefix, bool (*visit)(const char* name, void* data), void* data) {
  DIR* open = opendir(dir);
  if (open == NULL) return true;
  bool go_on = true;
  for (const struct dirent* entry; go_on && (entry = readdir(open)) != NULL;) {
    if (entry->d_name[0] != '.' && strncmp(entry->d_name, prefix, strlen(prefix)) == 0) {
      go_on = visit(entry->d_name, data);
    }
  }
  closedir(open);
  return go_on;
}

// ---- PCI: what is plugged in, and a device's own registers
// ------------------------------------------------------------

enum { CONFIG_BYTES = 256, CAP_EXPRESS = 0x10, CAP_VENDOR = 0x09, VIRTIO_DEVICE_REGISTERS = 4 };

static bool read_config(const char* device_dir, unsigned char* config) {
  char path[PATH_MAX];
  snprintf(path, sizeof path, "%s/config", device_dir);
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  const ssize_t n = pread(fd, config, CONFIG_BYTES, 0);
  close(fd);
  return n == CONFIG_BYTES;
}

static uint32_t le32(const unsigned char* at) {
  return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

// The next capability with this id after one at `after` (0: the first). 0: there is none.
static unsigned find_capability(const unsigned char* config, unsigned after, unsigned char id) {
  unsigned at = config[after == 0 ? 0x34 : after + 1];
  for (int hops = 0; at >= 0x40 && at <= CONFIG_BYTES - 20 && hops < 48; ++hops) {
    if (config[at] == id) return at;
    at = config[at + 1];
  }
  return 0;
}

static bool is_plain(const char* name, void* data) {
  (void)name;
  (void)data;
  return false;
}

// PCI Express, 7.5.3: in the capability, bit 8 of the word at 2 says that the port has a slot, and bit 6 of the word at
// 26 that something is in it. The kernel then takes a moment to find it.
static bool slot_is_settled(const char* name, void* data) {
  (void)data;
  unsigned char config[CONFIG_BYTES];
  char dir[PATH_MAX];
  snprintf(dir, sizeof dir, "%s/%s", pci_devices, name);
  if (!read_config(dir, config)) return true;
  const unsigned at = find_capability(config, 0, CAP_EXPRESS);
  if (at == 0 || at + 27 >= CONFIG_BYTES || (config[at + 3] & 1) == 0 || (config[at + 26] & 0x40) == 0) return true;
  return !each_entry(dir, "0000:", is_plain, NULL);
}

static bool read_word(const char* dir, const char* file, char* text, int size) {
  char path[PATH_MAX];
  snprintf(path, sizeof path, "%s/%s", dir, file);
  FILE* open = fopen(path, "re");
  if (open == NULL) return false;
  const bool read = fgets(text, size, open) != NULL;
  fclose(open);
  return read;
}

static bool is_filesystem(const char* device_dir) {
  char id[16];
  return read_word(device_dir, "device", id, sizeof id) && strtoul(id, NULL, 16) == 26;  // Virtio 1.2, 5: file system
}

static bool virtio_is_settled(const char* name, void* data) {
  (void)data;
  char dir[PATH_MAX / 2];
  char driver[PATH_MAX];
  snprintf(dir, sizeof dir, "%s/%s", virtio_devices, name);
  snprintf(driver, sizeof driver, "%s/driver", dir);
  return !is_filesystem(dir) || access(driver, F_OK) == 0;
}

static void wait_for_devices(void) {
  const struct timespec pause = {.tv_nsec = 5000000};
  for (int n = 0; n < 1000; ++n) {
    if (each_entry(pci_devices, "", slot_is_settled, NULL) && each_entry(virtio_devices, "", virtio_is_settled, NULL)) {
      return;
    }
    nanosleep(&pause, NULL);
  }
}

// The registers are mapped rather than read by the window in the configuration, which share-event uses: two users of
// that would turn it under each other.
static bool read_registers(const char* pci_dir, unsigned bar, uint32_t offset, void* to, size_t size) {
  char path[PATH_MAX + 16];
  snprintf(path, sizeof path, "%s/resource%u", pci_dir, bar);
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  const uint32_t page = (uint32_t)sysconf(_SC_PAGESIZE);
  const uint32_t begin = offset / page * page;
  const size_t length = offset - begin + size;
  volatile const unsigned char* mapped = mmap(NULL, length, PROT_READ, MAP_SHARED, fd, begin);
  close(fd);
  if (mapped == MAP_FAILED) return false;
  for (size_t n = 0; n < size; ++n) ((unsigned char*)to)[n] = mapped[offset - begin + n];
  munmap((void*)(uintptr_t)mapped, length);
  return true;
}

// Virtio 1.2, 4.1.4 and 5.11.4.
static bool read_tag(const char* virtio_name, char* tag) {
  unsigned char config[CONFIG_BYTES];
  char link[PATH_MAX];
  char dir[PATH_MAX];
  snprintf(link, sizeof link, "%s/%s/..", virtio_devices, virtio_name);
  if (realpath(link, dir) == NULL || !read_config(dir, config)) return false;
  unsigned at = find_capability(config, 0, CAP_VENDOR);
  while (at != 0 && config[at + 3] != VIRTIO_DEVICE_REGISTERS) at = find_capability(config, at, CAP_VENDOR);
  memset(tag, 0, TAG_BYTES + 1);
  return at != 0 && read_registers(dir, config[at + 4], le32(config + at + 8), tag, TAG_BYTES) && tag[0] != '\0';
}

// ---- mounts
// -----------------------------------------------------------------------------------------------------------

static bool is_mounted(const char* dir) {
  struct stat own;
  struct stat above;
  return stat(dir, &own) != 0 || (stat(mounts, &above) == 0 && own.st_dev != above.st_dev);
}

// A read-only share is one of the host's making: nothing of it shows in the mount. What it is asked changes nothing.
static bool refuses_writes(const char* root) {
  struct stat info;
  return stat(root, &info) == 0 && chmod(root, info.st_mode & 07777) != 0 && errno == EROFS;
}

struct found {
  struct share* shares;
  int count;
};

static bool add_share(const char* name, void* data) {
  struct found* found = data;
  struct share* share = &found->shares[found->count];
  char device[PATH_MAX / 2];
  snprintf(device, sizeof device, "%s/%s", virtio_devices, name);
  if (!is_filesystem(device) || !read_tag(name, share->tag)) return true;
  snprintf(share->root, sizeof share->root, "%s/%s", mounts, name);
  mkdir(share->root, 0755);
  if (!is_mounted(share->root) && mount(share->tag, share->root, "virtiofs", 0, NULL) != 0) return true;
  share->read_only = refuses_writes(share->root);
  ++found->count;
  return found->count < MAX_SHARES;
}

static bool drop_gone(const char* name, void* data) {
  (void)data;
  char path[PATH_MAX];
  snprintf(path, sizeof path, "%s/%s", virtio_devices, name);
  if (access(path, F_OK) == 0) return true;
  snprintf(path, sizeof path, "%s/%s", mounts, name);
  umount2(path, MNT_DETACH);
  rmdir(path);
  return true;
}

static int by_tag(const void* a, const void* b) {
  return strcmp(((const struct share*)a)->tag, ((const struct share*)b)->tag);
}

static int find_mounted(struct share* shares) {
  struct found found = {.shares = shares};
  mkdir(mounts, 0700);
  const int lock = open(mounts, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (lock >= 0) flock(lock, LOCK_EX);  // a process each for all connections
  wait_for_devices();
  each_entry(mounts, "virtio", drop_gone, NULL);
  each_entry(virtio_devices, "virtio", add_share, &found);
  if (lock >= 0) close(lock);
  return found.count;
}

int find_shares(struct share* shares) {
  int count = locals;
  if (unix_dir != NULL) {
    memcpy(shares, local, sizeof local);
  } else {
    count = find_mounted(shares);
  }
  qsort(shares, (size_t)count, sizeof *shares, by_tag);
  return count;
}
