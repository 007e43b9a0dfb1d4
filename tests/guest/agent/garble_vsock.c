// SPDX-License-Identifier: Apache-2.0
// What a guest's root can do to its vsock device without a module of the kernel's: takes the device from its driver,
// maps its registers (virtio 1.2, 4.1.4), and hands the host rings full of nonsense, again and again. vsock is lost to
// this guest then.
#include <dirent.h>
#include <endian.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_pci.h>
#include <linux/virtio_ring.h>

#include "services.h"

enum { PAGE = 4096, RING_SIZE = 128, RINGS = 2, ROUND_US = 2000 };

// A page of which the device is told.
struct page {
  unsigned char* bytes;
  uint64_t address;
};

struct ring {
  struct page desc, avail, used;
};

struct device {
  char path[512];  // in /sys/devices
  unsigned char config[256];
  volatile struct virtio_pci_common_cfg* common;
  volatile unsigned char* notify;
  uint32_t notify_multiplier;
  struct ring rings[RINGS];
  struct page buffer;
};

_Noreturn static void give_up(const char* what) {
  perror(what);
  exit(1);
}

static uint64_t random_bits(void) {
  static uint64_t state = 0x9e3779b97f4a7c15;  // xorshift64: the same nonsense each time
  state ^= state << 13;
  state ^= state >> 7;
  return state ^= state << 17;
}

static void write_sys(const char* path, const char* text) {
  const int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0 || write(fd, text, strlen(text)) < 0) give_up(path);
  close(fd);
}

static struct page take_page(void) {
  struct page page = {mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 0};
  if (page.bytes == MAP_FAILED || mlock(page.bytes, PAGE) != 0) give_up("page");
  memset(page.bytes, 1, PAGE);
  // Documentation/admin-guide/mm/pagemap.rst: the lower 55 bits are the page's number.
  const int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
  uint64_t entry = 0;
  if (pread(fd, &entry, sizeof entry, (off_t)((uintptr_t)page.bytes / PAGE * sizeof entry)) != sizeof entry)
    give_up("pagemap");
  close(fd);
  page.address = (entry & ((UINT64_C(1) << 55) - 1)) * PAGE;
  return page;
}

// The PCI device, such as /sys/devices/pci0000:00/0000:00:03.0.
static bool find_device(struct device* device) {
  DIR* all = opendir("/sys/bus/virtio/devices");
  bool found = false;
  for (struct dirent* entry; all != NULL && !found && (entry = readdir(all)) != NULL;) {
    char path[512], id[16] = "";
    snprintf(path, sizeof path, "/sys/bus/virtio/devices/%s/device", entry->d_name);
    FILE* file = fopen(path, "r");
    if (file == NULL) continue;
    found = fgets(id, sizeof id, file) != NULL && strtol(id, NULL, 16) == VIRTIO_ID_VSOCK;
    fclose(file);
    snprintf(path, sizeof path, "/sys/bus/virtio/devices/%s/..", entry->d_name);
    if (found && realpath(path, device->path) == NULL) give_up(path);
  }
  if (all != NULL) closedir(all);
  return found;
}

static void take_from_driver(struct device* device) {
  char path[600];
  snprintf(path, sizeof path, "%s/driver/unbind", device->path);
  write_sys(path, strrchr(device->path, '/') + 1);
  snprintf(path, sizeof path, "%s/enable", device->path);
  write_sys(path, "1");
  snprintf(path, sizeof path, "%s/config", device->path);
  const int fd = open(path, O_RDWR | O_CLOEXEC);
  if (fd < 0 || pread(fd, device->config, sizeof device->config, 0) != sizeof device->config) give_up(path);
  device->config[4] |= 6;  // memory, and reading it on its own
  if (pwrite(fd, device->config + 4, 2, 4) != 2) give_up(path);
  close(fd);
}

static volatile unsigned char* map_bar(const struct device* device, const struct virtio_pci_cap* cap) {
  char path[600];
  snprintf(path, sizeof path, "%s/resource%u", device->path, cap->bar);
  const int fd = open(path, O_RDWR | O_SYNC | O_CLOEXEC);
  const uint32_t offset = le32toh(cap->offset), length = le32toh(cap->length);
  unsigned char* bar = mmap(NULL, (size_t)offset + length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (fd < 0 || bar == MAP_FAILED) give_up(path);
  close(fd);
  return bar + offset;
}

static void map_registers(struct device* device) {
  for (unsigned char at = device->config[0x34]; at != 0; at = device->config[at + 1]) {
    struct virtio_pci_notify_cap cap;
    if (device->config[at] != 9) continue;  // vendor's own
    memcpy(&cap, device->config + at, sizeof cap);
    if (cap.cap.cfg_type == VIRTIO_PCI_CAP_COMMON_CFG) {
      device->common = (volatile struct virtio_pci_common_cfg*)map_bar(device, &cap.cap);
    } else if (cap.cap.cfg_type == VIRTIO_PCI_CAP_NOTIFY_CFG) {
      device->notify = map_bar(device, &cap.cap);
      device->notify_multiplier = le32toh(cap.notify_off_multiplier);
    }
  }
  if (device->common == NULL || device->notify == NULL) give_up("registers");
}

static void set_queue(struct device* device, uint16_t n, const struct ring* ring) {
  volatile struct virtio_pci_common_cfg* common = device->common;
  common->queue_select = n;
  common->queue_size = RING_SIZE;
  common->queue_desc_lo = (uint32_t)ring->desc.address;
  common->queue_desc_hi = (uint32_t)(ring->desc.address >> 32);
  common->queue_avail_lo = (uint32_t)ring->avail.address;
  common->queue_avail_hi = (uint32_t)(ring->avail.address >> 32);
  common->queue_used_lo = (uint32_t)ring->used.address;
  common->queue_used_hi = (uint32_t)(ring->used.address >> 32);
  common->queue_enable = 1;
}

static void start(struct device* device) {
  volatile struct virtio_pci_common_cfg* common = device->common;
  common->device_status = 0;
  while (common->device_status != 0) usleep(100);
  common->device_status = VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER;
  common->guest_feature_select = 0;
  common->guest_feature = 0;
  common->guest_feature_select = 1;
  common->guest_feature = 1;  // VIRTIO_F_VERSION_1
  common->device_status |= VIRTIO_CONFIG_S_FEATURES_OK;
  for (uint16_t n = 0; n < RINGS; ++n) set_queue(device, n, &device->rings[n]);
  common->device_status |= VIRTIO_CONFIG_S_DRIVER_OK;
}

static void fill(struct page* page) {
  for (size_t at = 0; at < PAGE; at += 8) {
    const uint64_t bits = random_bits();
    memcpy(page->bytes + at, &bits, 8);
  }
}

// Nonsense that a look does not tell from sense: each field is right more often than not. What is right stays in the
// buffer, since the host writes there.
static void fill_descriptors(struct device* device, struct ring* ring) {
  struct vring_desc* all = (struct vring_desc*)ring->desc.bytes;
  for (int n = 0; n < RING_SIZE; ++n) {
    const uint64_t bits = random_bits();
    all[n].addr = bits % 4 != 0 ? device->buffer.address + (bits >> 8) % (PAGE - 128) : random_bits();
    all[n].len = (bits >> 2) % 4 != 0 ? 44 + (uint32_t)(bits >> 20) % 64 : (uint32_t)random_bits();
    all[n].flags = (uint16_t)((bits >> 4) % 8 != 0 ? (bits >> 16) % 4 : random_bits());
    all[n].next = (uint16_t)((bits >> 7) % 4 != 0 ? (bits >> 32) % RING_SIZE : random_bits());
  }
}

// A packet's header between random ones (struct virtio_vsock_hdr): CIDs and type that fit, an operation and a length.
static void fill_packets(struct device* device) {
  fill(&device->buffer);
  for (size_t at = 0; at + 44 <= PAGE; at += 44) {
    const uint64_t bits = random_bits(), from = 3, to = 2;
    const uint16_t type = 1, operation = (uint16_t)(bits % 9);
    const uint32_t length = (uint32_t)(bits >> 8) % 128, port = 1024 + (uint32_t)(bits >> 16) % 4;
    memcpy(device->buffer.bytes + at, &from, 8);
    memcpy(device->buffer.bytes + at + 8, &to, 8);
    memcpy(device->buffer.bytes + at + 16, &port, 4);
    memcpy(device->buffer.bytes + at + 20, &port, 4);
    memcpy(device->buffer.bytes + at + 24, &length, 4);
    memcpy(device->buffer.bytes + at + 28, &type, 2);
    memcpy(device->buffer.bytes + at + 30, &operation, 2);
  }
}

static void garble(struct device* device, uint16_t n, unsigned round) {
  struct ring* ring = &device->rings[n];
  fill_packets(device);
  if (round % 4 == 0) {
    fill(&ring->desc);
    fill(&ring->used);
  } else {
    fill_descriptors(device, ring);
  }
  struct vring_avail* avail = (struct vring_avail*)ring->avail.bytes;
  for (int slot = 0; slot < RING_SIZE; ++slot) {
    const uint64_t bits = random_bits();
    avail->ring[slot] = (uint16_t)(bits % 16 != 0 ? (bits >> 8) % RING_SIZE : bits >> 16);
  }
  __sync_synchronize();
  avail->idx = (uint16_t)(round % 8 == 1 ? random_bits() : random_bits() % (RING_SIZE + 1));
  __sync_synchronize();
  device->common->queue_select = n;
  const uint32_t offset = device->common->queue_notify_off * device->notify_multiplier;
  *(volatile uint16_t*)(device->notify + offset) = n;
}

void garble_vsock(unsigned rounds) {
  static struct device device;
  if (!find_device(&device)) give_up("vsock device");
  take_from_driver(&device);
  map_registers(&device);
  device.buffer = take_page();
  for (int n = 0; n < RINGS; ++n) {
    struct ring* ring = &device.rings[n];
    ring->desc = take_page();
    ring->avail = take_page();
    ring->used = take_page();
  }
  for (unsigned round = 0; round < rounds; ++round) {
    for (int n = 0; n < RINGS; ++n) {
      memset(device.rings[n].avail.bytes, 0, PAGE);
      memset(device.rings[n].used.bytes, 0, PAGE);
    }
    start(&device);
    // Some times more while it looks at the first.
    for (unsigned kick = 0; kick < 3; ++kick) {
      for (uint16_t n = 0; n < RINGS; ++n) garble(&device, n, round);
      usleep(ROUND_US);
    }
  }
  device.common->device_status = 0;
}
