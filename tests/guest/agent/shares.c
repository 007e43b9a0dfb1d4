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
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "services.h"

static const char pci_devices[] = "/sys/bus/pci/devices";
static const char virtio_devices[] = "/sys/bus/virtio/devices";
// guest/rootfs/usr/sbin/share-event: a directory for each device, with files "tag" and "dir", or "failed".
static const char notes[] = "/run/mvm/shares";

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

// ---- what is plugged in ---------------------------------------------------------------------------------------

enum { CONFIG_BYTES = 256, CAP_EXPRESS = 0x10 };

static bool read_config(const char* device_dir, unsigned char* config) {
  char path[PATH_MAX];
  snprintf(path, sizeof path, "%s/config", device_dir);
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  const ssize_t n = pread(fd, config, CONFIG_BYTES, 0);
  close(fd);
  return n == CONFIG_BYTES;
}

// Where the capability with this id begins. 0: there is none.
static unsigned find_capability(const unsigned char* config, unsigned char id) {
  unsigned at = config[0x34];
  for (int hops = 0; at >= 0x40 && at < CONFIG_BYTES - 1 && hops < 48; ++hops) {
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
  char dir[PATH_MAX / 2];
  snprintf(dir, sizeof dir, "%s/%s", pci_devices, name);
  if (!read_config(dir, config)) return true;
  const unsigned at = find_capability(config, CAP_EXPRESS);
  if (at == 0 || at + 27 >= CONFIG_BYTES || (config[at + 3] & 1) == 0 || (config[at + 26] & 0x40) == 0) return true;
  return !each_entry(dir, "0000:", is_plain, NULL);
}

static bool read_line(const char* dir, const char* file, char* text, int size) {
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
  return read_line(device_dir, "device", id, sizeof id) && strtoul(id, NULL, 16) == 26;  // Virtio 1.2, 5: file system
}

static bool share_is_settled(const char* name, void* data) {
  (void)data;
  char dir[PATH_MAX / 2];
  char mounted[PATH_MAX];
  char failed[PATH_MAX];
  snprintf(dir, sizeof dir, "%s/%s", virtio_devices, name);
  snprintf(mounted, sizeof mounted, "%s/%s/dir", notes, name);
  snprintf(failed, sizeof failed, "%s/%s/failed", notes, name);
  return !is_filesystem(dir) || access(mounted, F_OK) == 0 || access(failed, F_OK) == 0;
}

static void wait_for_devices(void) {
  const struct timespec pause = {.tv_nsec = 5000000};
  for (int n = 0; n < 1000; ++n) {
    if (each_entry(pci_devices, "", slot_is_settled, NULL) && each_entry(virtio_devices, "", share_is_settled, NULL)) {
      return;
    }
    nanosleep(&pause, NULL);
  }
}

// ---- what share-event has mounted ------------------------------------------------------------------------------

static bool read_note(const char* name, const char* note, char* text, int size) {
  char dir[PATH_MAX / 2];
  snprintf(dir, sizeof dir, "%s/%s", notes, name);
  if (!read_line(dir, note, text, size)) return false;
  text[strcspn(text, "\n")] = '\0';
  return text[0] != '\0';
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
  memset(share, 0, sizeof *share);
  if (!is_filesystem(device) || !read_note(name, "tag", share->tag, sizeof share->tag) ||
      !read_note(name, "dir", share->root, sizeof share->root)) {
    return true;
  }
  share->read_only = refuses_writes(share->root);
  ++found->count;
  return found->count < MAX_SHARES;
}

static int by_tag(const void* a, const void* b) {
  return strcmp(((const struct share*)a)->tag, ((const struct share*)b)->tag);
}

int find_shares(struct share* shares) {
  int count = locals;
  if (unix_dir != NULL) {
    memcpy(shares, local, sizeof local);
  } else {
    struct found found = {.shares = shares};
    wait_for_devices();
    each_entry(virtio_devices, "virtio", add_share, &found);
    count = found.count;
  }
  qsort(shares, (size_t)count, sizeof *shares, by_tag);
  return count;
}
