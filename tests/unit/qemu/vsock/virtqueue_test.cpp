// SPDX-License-Identifier: Apache-2.0
// The ring's device side against a driver that breaks every rule there is.
#include <sys/mman.h>
#include <unistd.h>

#include "fake_guest.hpp"
#include "support/catch.hpp"
#include "vsock/rx_batch.hpp"
#include "vsock/virtqueue.hpp"

using namespace mvm;
using namespace mvm::test;
using qemu::Chain;
using qemu::GuestMemory;
using qemu::MemoryRegion;
using qemu::Virtqueue;

namespace {

constexpr size_t memory_bytes = 1 << 20;
constexpr uint64_t ring_at = 0x10000;
constexpr uint16_t size = 8;
constexpr uint64_t second_region = 0x8'0000;  // the memory's second half, next to the first

UniqueFd make_memory(size_t bytes = memory_bytes) {
  UniqueFd fd(::memfd_create("guest", MFD_CLOEXEC));
  REQUIRE(::ftruncate(fd.get(), static_cast<off_t>(bytes)) == 0);
  return fd;
}

// Guest addresses are offsets; QEMU's are `base` and more.
struct Ring {
  explicit Ring(Virtqueue::Features features = {}) {
    UniqueFd files[2] = {make_memory(), UniqueFd()};
    base =
        static_cast<std::byte*>(::mmap(nullptr, memory_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, files[0].get(), 0));
    REQUIRE(base != MAP_FAILED);
    const auto user = reinterpret_cast<uint64_t>(base);
    files[1].reset(::dup(files[0].get()));
    const MemoryRegion regions[] = {{0, second_region, user, 0},
                                    {second_region, memory_bytes - second_region, user + second_region, second_region}};
    memory = GuestMemory(regions, files);
    driver.lay_out(base + ring_at, size);
    queue.set_features(features);
    REQUIRE(queue.set_size(size));
    queue.set_addresses({address(driver.descriptors()), address(driver.available()), address(driver.used())});
    queue.set_base(0);
    REQUIRE(queue.resolve(memory));
  }
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;
  ~Ring() { ::munmap(base, memory_bytes); }

  static uint64_t address(const std::byte* p) { return reinterpret_cast<uint64_t>(p); }
  void describe(uint16_t index, uint64_t at, uint32_t len, uint16_t flags = 0, uint16_t next = 0) {
    driver.describe(index, {at, len, flags, next});
  }
  // Whether the ring breaks over the chain that begins at `head`, and says so.
  void breaks(uint16_t head, const std::string& fault) {
    driver.offer(head);
    CHECK_FALSE(queue.pop(chain));
    CHECK(queue.broken());
    CHECK(queue.fault() == fault);
    CHECK_FALSE(queue.ready());
  }

  std::byte* base = nullptr;
  GuestMemory memory;
  DriverRing driver;
  Virtqueue queue;
  Chain chain;
};

}  // namespace

TEST_CASE("a chain is found where its descriptors say, readable parts before writable ones", "[qemu][virtqueue]") {
  Ring r;
  r.describe(3, 0x100, 16, next_flag, 5);
  r.describe(5, 0x200, 32, next_flag, 1);
  r.describe(1, 0x300, 64, write_flag);
  r.driver.offer(3);
  REQUIRE(r.queue.pop(r.chain));
  CHECK(r.chain.head == 3);
  CHECK(r.chain.readable_bytes == 48);
  CHECK(r.chain.writable_bytes == 64);
  REQUIRE(r.chain.readable.size() == 2);
  std::memcpy(r.base + 0x200, "here", 4);
  CHECK(std::memcmp(r.chain.readable[1].iov_base, "here", 4) == 0);
  CHECK_FALSE(r.queue.pop(r.chain));
  CHECK_FALSE(r.queue.broken());
}

TEST_CASE("a buffer that lies in two regions is found in two pieces", "[qemu][virtqueue]") {
  Ring r;
  r.describe(0, second_region - 10, 30);
  r.driver.offer(0);
  REQUIRE(r.queue.pop(r.chain));
  REQUIRE(r.chain.readable.size() == 2);
  CHECK(r.chain.readable[0].iov_len == 10);
  CHECK(r.chain.readable[1].iov_len == 20);
}

TEST_CASE("a buffer outside of guest memory breaks the ring", "[qemu][virtqueue][hostile]") {
  const std::string fault = "a descriptor's buffer is not in guest memory";
  const auto breaks_at = [&](uint64_t at, uint32_t len, uint16_t flags) {
    Ring r;
    r.describe(0, at, len, flags);
    r.breaks(0, fault);
  };
  for (const uint16_t flags : {uint16_t{0}, write_flag}) {
    breaks_at(memory_bytes, 1, flags);
    breaks_at(memory_bytes - 1, 2, flags);
    breaks_at(0, memory_bytes + 1, flags);
    breaks_at(0, UINT32_MAX, flags);
    breaks_at(UINT64_MAX, 1, flags);
    breaks_at(UINT64_MAX, UINT32_MAX, flags);
    breaks_at(UINT64_MAX - 15, 16, flags);  // ends exactly at 2^64
    breaks_at(uint64_t{1} << 63, 16, flags);
  }
}

TEST_CASE("a chain that goes round in circles breaks the ring", "[qemu][virtqueue][hostile]") {
  Ring self;
  self.describe(0, 0x100, 16, next_flag, 0);
  self.breaks(0, "a chain of descriptors is longer than the ring, or a loop");
  Ring pair;
  pair.describe(0, 0x100, 16, next_flag, 7);
  pair.describe(7, 0x100, 16, next_flag, 0);
  pair.breaks(0, "a chain of descriptors is longer than the ring, or a loop");
}

TEST_CASE("an empty descriptor breaks the ring", "[qemu][virtqueue][hostile]") {
  Ring r;
  r.describe(0, 0x100, 0);
  r.breaks(0, "a descriptor is empty");
}

TEST_CASE("a descriptor's number that is out of range breaks the ring", "[qemu][virtqueue][hostile]") {
  Ring head;
  head.breaks(size, "a descriptor's number is out of range");
  Ring next;
  next.describe(0, 0x100, 16, next_flag, 0xffff);
  next.breaks(0, "a descriptor's number is out of range");
}

TEST_CASE("a readable descriptor after a writable one breaks the ring", "[qemu][virtqueue][hostile]") {
  Ring r;
  r.describe(0, 0x100, 16, write_flag | next_flag, 1);
  r.describe(1, 0x200, 16);
  r.breaks(0, "a readable descriptor follows a writable one");
}

TEST_CASE("more chains than the ring holds break it", "[qemu][virtqueue][hostile]") {
  Ring r;
  r.describe(0, 0x100, 16);
  r.driver.set_available_index(size + 1);
  CHECK_FALSE(r.queue.pop(r.chain));
  CHECK(r.queue.fault() == "more chains are available than the ring holds");
}

TEST_CASE("an indirect descriptor that was not offered breaks the ring", "[qemu][virtqueue][hostile]") {
  Ring r;
  r.describe(0, 0x1000, 16, indirect_flag);
  r.breaks(0, "an indirect descriptor was used, which was not offered");
}

TEST_CASE("an indirect table is walked like the ring's own", "[qemu][virtqueue]") {
  Ring r({.indirect = true});
  const Descriptor table[] = {{0x100, 16, next_flag, 2}, {0, 0, 0, 0}, {0x200, 32, 0, 0}};
  std::memcpy(r.base + 0x1000, table, sizeof table);
  r.describe(4, 0x1000, sizeof table, indirect_flag);
  r.driver.offer(4);
  REQUIRE(r.queue.pop(r.chain));
  CHECK(r.chain.head == 4);
  CHECK(r.chain.readable_bytes == 48);
}

TEST_CASE("a bad indirect table breaks the ring", "[qemu][virtqueue][hostile]") {
  const auto breaks = [](uint64_t at, uint32_t len, uint16_t flags, const Descriptor& entry, const std::string& fault) {
    Ring r({.indirect = true});
    std::memcpy(r.base + 0x1000, &entry, sizeof entry);
    r.describe(0, at, len, flags);
    r.breaks(0, fault);
  };
  const std::string bad_size = "an indirect table's size is not a multiple of a descriptor's";
  const std::string nested = "an indirect descriptor is within an indirect table, or goes on after it";
  breaks(0x1000, 0, indirect_flag, {}, bad_size);
  breaks(0x1000, 17, indirect_flag, {}, bad_size);
  breaks(memory_bytes - 16, 32, indirect_flag, {}, "an indirect table is not in guest memory");
  breaks(UINT64_MAX - 15, 16, indirect_flag, {}, "an indirect table is not in guest memory");
  breaks(0x1000, 16, indirect_flag | next_flag, {}, nested);
  breaks(0x1000, 16, indirect_flag, {0x1000, 16, indirect_flag, 0}, nested);
  breaks(0x1000, 16, indirect_flag, {0x100, 16, next_flag, 1}, "a descriptor's number is out of range");
  breaks(0x1000, 16, indirect_flag, {0x100, 16, next_flag, 0},
         "a chain of descriptors is longer than the ring, or a loop");
}

TEST_CASE("a ring has a size that is a power of two, up to 1024", "[qemu][virtqueue]") {
  Virtqueue queue;
  for (const uint32_t bad : {0u, 3u, 127u, 2048u, 65536u, UINT32_MAX}) CHECK_FALSE(queue.set_size(bad));
  for (const uint32_t good : {1u, 2u, 128u, 1024u}) CHECK(queue.set_size(good));
}

TEST_CASE("a ring that is not wholly in memory, or not aligned, is not used", "[qemu][virtqueue][hostile]") {
  Ring r;
  const auto base = reinterpret_cast<uint64_t>(r.base);
  const auto resolves = [&](uint64_t descriptors, uint64_t available, uint64_t used) {
    r.queue.set_addresses({descriptors, available, used});
    return r.queue.resolve(r.memory);
  };
  CHECK(resolves(base, base + 0x1000, base + 0x2000));
  CHECK_FALSE(resolves(base + 8, base + 0x1000, base + 0x2000));
  CHECK_FALSE(resolves(base, base + 0x1001, base + 0x2000));
  CHECK_FALSE(resolves(base, base + 0x1000, base + 0x2002));
  CHECK_FALSE(resolves(base + memory_bytes - 64, base + 0x1000, base + 0x2000));
  CHECK_FALSE(resolves(base, base + memory_bytes - 16, base + 0x2000));
  CHECK_FALSE(resolves(base, base + 0x1000, base + memory_bytes - 64));
  CHECK_FALSE(resolves(base, base + 0x1000, base + second_region - 8));  // in two regions
  CHECK_FALSE(resolves(base - 16, base + 0x1000, base + 0x2000));
  CHECK_FALSE(resolves(0, UINT64_MAX - 1, UINT64_MAX - 3));
  CHECK_FALSE(r.queue.ready());
}

TEST_CASE("indices wrap around 2^16", "[qemu][virtqueue]") {
  Ring r;
  r.describe(0, 0x100, 16);
  for (int n = 0; n < 70'000; ++n) {
    r.driver.offer(0);
    if (!r.queue.pop(r.chain)) FAIL("after " << n);
    r.queue.push(r.chain.head, 5);
    r.queue.publish();
    const auto used = r.driver.take();
    if (!used || used->first != 0 || used->second != 5) FAIL("after " << n);
  }
}

TEST_CASE("chains that were given back come again", "[qemu][virtqueue]") {
  Ring r;
  for (uint16_t n = 0; n < 3; ++n) {
    r.describe(n, 0x100, 16);
    r.driver.offer(n);
  }
  for (int n = 0; n < 3; ++n) REQUIRE(r.queue.pop(r.chain));
  r.queue.rewind(2);
  REQUIRE(r.queue.pop(r.chain));
  CHECK(r.chain.head == 1);
}

TEST_CASE("kicks are asked for only when the device runs out, and none is lost", "[qemu][virtqueue]") {
  Ring r;
  r.describe(0, 0x100, 16);
  r.queue.disable_kicks();
  CHECK_FALSE(r.driver.wants_kick());
  CHECK_FALSE(r.queue.enable_kicks());
  CHECK(r.driver.wants_kick());
  r.queue.disable_kicks();
  r.driver.offer(0);
  CHECK(r.queue.enable_kicks());
}

TEST_CASE("with an event index the driver is interrupted after the entry that it names, and no other",
          "[qemu][virtqueue]") {
  Ring r({.event_index = true});
  const auto name = [&](uint16_t entry) {
    std::memcpy(r.base + ring_at + (r.driver.available() - r.driver.descriptors()) + 4 + 2 * size, &entry,
                sizeof entry);
  };
  r.describe(0, 0x100, 16);
  const auto use = [&](int count) {
    for (int n = 0; n < count; ++n) {
      r.driver.offer(0);
      REQUIRE(r.queue.pop(r.chain));
      r.queue.push(0, 0);
    }
    return r.queue.publish();
  };
  name(0);
  CHECK(use(1));
  CHECK_FALSE(use(1));
  name(4);
  CHECK_FALSE(use(1));
  CHECK_FALSE(use(1));
  CHECK(use(1));
  CHECK_FALSE(use(2));
  name(8);
  CHECK(use(3));
}

// ---- receive buffers

TEST_CASE("a receive buffer without room for data breaks the ring", "[qemu][virtqueue][hostile]") {
  for (const uint32_t len : {1u, 43u, 44u}) {
    Ring r;
    r.describe(0, 0x100, len, write_flag);
    r.driver.offer(0);
    qemu::RxBatch batch;
    CHECK_FALSE(batch.gather(r.queue, 4, 100));
    CHECK(r.queue.fault() == "a receive buffer is too small for a packet");
  }
}

TEST_CASE("data is spread over receive buffers of any shape, and what was not used goes back", "[qemu][virtqueue]") {
  Ring r;
  r.describe(0, 0x1000, 40, write_flag | next_flag, 1);  // the header's end lies with the data
  r.describe(1, 0x2000, 10, write_flag);
  r.describe(2, 0x3000, 60, write_flag);
  r.describe(3, 0x4000, 60, write_flag);
  for (const uint16_t head : {uint16_t{0}, uint16_t{2}, uint16_t{3}}) r.driver.offer(head);
  qemu::RxBatch batch;
  REQUIRE(batch.gather(r.queue, 16, 100));
  size_t room = 0;
  for (const iovec& part : batch.data()) room += part.iov_len;
  CHECK(room == 6 + 16 + 16);
  std::memcpy(batch.data()[0].iov_base, "abcdef", 6);
  std::memcpy(batch.data()[1].iov_base, "ghi", 3);
  std::vector<uint32_t> lens;
  CHECK(batch.deliver(r.queue, 9, [&](uint32_t len) {
    lens.push_back(len);
    PacketHeader header = make_header(PacketOp::rw, 1, 2);
    header.len = len;
    return header;
  }) == 2);
  r.queue.publish();
  CHECK(lens == std::vector<uint32_t>{6, 3});
  CHECK(r.driver.take() == std::pair<uint32_t, uint32_t>{0, 50});
  CHECK(r.driver.take() == std::pair<uint32_t, uint32_t>{2, 47});
  PacketHeader header{};
  std::memcpy(&header, r.base + 0x1000, 40);
  std::memcpy(reinterpret_cast<std::byte*>(&header) + 40, r.base + 0x2000, 4);
  CHECK(header.src_port == 1);
  CHECK(std::memcmp(r.base + 0x2004, "abcdef", 6) == 0);
  CHECK(std::memcmp(r.base + 0x3000 + 44, "ghi", 3) == 0);
  REQUIRE(r.queue.pop(r.chain));
  CHECK(r.chain.head == 3);
}

// ---- memory

TEST_CASE("a memory table that is not possible is refused", "[qemu][memory][hostile]") {
  const auto refused = [](std::vector<MemoryRegion> regions, size_t file_bytes, size_t files_missing = 0) {
    std::vector<UniqueFd> files;
    for (size_t n = files_missing; n < regions.size(); ++n) files.push_back(make_memory(file_bytes));
    try {
      const GuestMemory memory(regions, files);
      return false;
    } catch (const Error& e) {
      return e.status() == MVM_ERR_INVALID;
    }
  };
  CHECK_FALSE(refused({{0, 0x1000, 0x10000, 0}}, 0x1000));
  CHECK(refused({{0, 0, 0x10000, 0}}, 0x1000));
  CHECK(refused({{0, 0x1001, 0x10000, 0}}, 0x1000));
  CHECK(refused({{0, 0x1000, 0x10000, 0x1000}}, 0x1000));
  CHECK(refused({{UINT64_MAX - 0xfff, 0x1001, 0x10000, 0}}, 0x2000));
  CHECK(refused({{0, 0x1000, UINT64_MAX - 0xf, 0}}, 0x1000));
  CHECK(refused({{0, 0x1000, 0x10000, UINT64_MAX - 0xf}}, 0x1000));
  CHECK(refused({{0, UINT64_MAX / 2, 0x10000, 0x1000}}, 0x1000));
  CHECK(refused({{0, 0x1000, 0x10000, 0}, {0xfff, 0x1000, 0x20000, 0}}, 0x1000));
  CHECK(refused({{0x800, 0x10, 0x10000, 0}, {0, 0x1000, 0x20000, 0}}, 0x1000));
  CHECK(refused({{0, 0x1000, 0x10000, 0}}, 0x1000, 1));
  CHECK(refused(std::vector<MemoryRegion>(9, {0, 0x1000, 0x10000, 0}), 0x1000));
}

TEST_CASE("a file that isn't one to be mapped is refused", "[qemu][memory][hostile]") {
  int pipe[2];
  REQUIRE(::pipe(pipe) == 0);
  const UniqueFd files[] = {UniqueFd(pipe[0])};
  const UniqueFd other(pipe[1]);
  const MemoryRegion regions[] = {{0, 0x1000, 0x10000, 0}};
  CHECK_THROWS_AS(GuestMemory(regions, files), Error);
}
