/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Protobuf's wire format for authors without Protobuf: reads the fields of a message one by one, and writes small
 * ones. Header-only, no allocation; fields by their number in mvm/v1/hypervisor.proto.
 * https://protobuf.dev/programming-guides/encoding
 */
#ifndef MVM_WIRE_H
#define MVM_WIRE_H

#include <string.h>

#include "abi.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mvm_field {
  uint32_t number;
  uint64_t value;  /* of an integer, enum, bool or fixed field */
  mvm_bytes bytes; /* of a string, bytes, message or packed field; borrowed from the message */
} mvm_field;

/* Takes a varint off the front of *rest. 0: there is none. */
static inline int mvm_read_varint(mvm_bytes* rest, uint64_t* value) {
  const unsigned char* const p = (const unsigned char*)rest->data;
  *value = 0;
  for (size_t n = 0; n < rest->size && n < 10; ++n) {
    *value |= (uint64_t)(p[n] & 0x7f) << (7 * n);
    if (p[n] < 0x80) {
      rest->data = p + n + 1;
      rest->size -= n + 1;
      return 1;
    }
  }
  return 0;
}

/* Takes the next field off the front of *rest: 1. At the end: 0. Where the bytes are no message: -1. */
static inline int mvm_read_field(mvm_bytes* rest, mvm_field* field) {
  uint64_t tag = 0;
  uint64_t size = 0;
  memset(field, 0, sizeof *field);
  if (rest->size == 0) return 0;
  if (!mvm_read_varint(rest, &tag) || tag >> 3 == 0 || tag >> 3 > 0x1fffffff) return -1;
  field->number = (uint32_t)(tag >> 3);
  switch (tag & 7) {
    case 0:
      return mvm_read_varint(rest, &field->value) ? 1 : -1;
    case 1:
      size = 8;
      break;
    case 2:
      if (!mvm_read_varint(rest, &size)) return -1;
      break;
    case 5:
      size = 4;
      break;
    default:
      return -1;
  }
  if (size > rest->size) return -1;
  field->bytes.data = rest->data;
  field->bytes.size = (size_t)size;
  if ((tag & 7) != 2) { /* fixed: little-endian */
    for (size_t n = 0; n < size; ++n) field->value |= (uint64_t)((const unsigned char*)rest->data)[n] << (8 * n);
  }
  rest->data = (const unsigned char*)rest->data + size;
  rest->size -= (size_t)size;
  return 1;
}

/* The last field of that number in the whole message: 1. There is none: 0, and the field is empty. No message: -1. */
static inline int mvm_find_field(mvm_bytes message, uint32_t number, mvm_field* found) {
  mvm_field field;
  int more;
  memset(found, 0, sizeof *found);
  while ((more = mvm_read_field(&message, &field)) > 0) {
    if (field.number == number) *found = field;
  }
  return more < 0 ? -1 : found->number != 0;
}

/* A message being written into a buffer of the caller's. What does not fit sets `full`, and is not written. */
typedef struct mvm_writer {
  unsigned char* data;
  size_t capacity;
  size_t size;
  int full;
} mvm_writer;

static inline mvm_bytes mvm_written(const mvm_writer* w) {
  mvm_bytes bytes;
  bytes.data = w->data;
  bytes.size = w->size;
  return bytes;
}

static inline void mvm_write_raw(mvm_writer* w, const void* data, size_t size) {
  if (w->full || size > w->capacity - w->size) {
    w->full = 1;
  } else if (size != 0) {
    memcpy(w->data + w->size, data, size);
    w->size += size;
  }
}

static inline void mvm_write_varint(mvm_writer* w, uint64_t value) {
  unsigned char bytes[10];
  size_t n = 0;
  for (; value >= 0x80; value >>= 7) bytes[n++] = (unsigned char)(value | 0x80);
  bytes[n++] = (unsigned char)value;
  mvm_write_raw(w, bytes, n);
}

/* An integer, enum or bool. */
static inline void mvm_write_number(mvm_writer* w, uint32_t number, uint64_t value) {
  mvm_write_varint(w, (uint64_t)number << 3);
  mvm_write_varint(w, value);
}

/* A string, bytes or a message. */
static inline void mvm_write_bytes(mvm_writer* w, uint32_t number, mvm_bytes bytes) {
  mvm_write_varint(w, (uint64_t)number << 3 | 2);
  mvm_write_varint(w, bytes.size);
  mvm_write_raw(w, bytes.data, bytes.size);
}

#ifdef __cplusplus
}
#endif

#endif /* MVM_WIRE_H */
