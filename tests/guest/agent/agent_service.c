// SPDX-License-Identifier: Apache-2.0
// The agent's port: frames of a big-endian u32 length and JSON.
#include <string.h>

#include "services.h"
#include "stream.h"

enum { MAX_FRAME_BYTES = 256 * 1024 };

static void send_frame(int fd, const char* json) {
  const uint32_t size = (uint32_t)strlen(json);
  const unsigned char head[] = {0, 0, (unsigned char)(size >> 8), (unsigned char)size};
  send_all(fd, head, sizeof head);
  send_all(fd, json, size);
}

// False when the stream ended first.
static bool read_exactly(struct reader* in, char* to, size_t size) {
  while (size > 0) {
    const char* bytes;
    const size_t n = reader_take(in, &bytes, size);
    if (n == 0) return false;
    memcpy(to, bytes, n);
    to += n;
    size -= n;
  }
  return true;
}

static bool is_ping(const char* json, size_t size) {
  static const char blank[] = " \t\r\n";
  while (size > 0 && strchr(blank, json[size - 1])) --size;
  while (size > 0 && strchr(blank, *json)) ++json, --size;
  return size == 6 && memcmp(json, "\"Ping\"", 6) == 0;
}

void serve_agent(int fd) {
  static char frame[MAX_FRAME_BYTES];
  struct reader in = {.fd = fd};
  unsigned char head[4];
  while (read_exactly(&in, (char*)head, sizeof head)) {
    const uint32_t size = (uint32_t)head[0] << 24 | (uint32_t)head[1] << 16 | (uint32_t)head[2] << 8 | head[3];
    if (size > sizeof frame) {
      send_frame(fd, "{\"Error\":\"frame over 262144 bytes\"}");
      return;  // where the next frame would begin is anybody's guess
    }
    if (!read_exactly(&in, frame, size)) return;
    send_frame(fd, is_ping(frame, size) ? "\"Pong\"" : "{\"Error\":\"this agent knows \\\"Ping\\\" only\"}");
  }
}
