// SPDX-License-Identifier: Apache-2.0
// The share protocol: LIST, DIR, READ, WRITE. Every step of a path is opened without following links: nothing leads
// out.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "services.h"
#include "shares.h"
#include "stream.h"

enum { MAX_LINE_BYTES = 16 * 1024 };

// ---- words: blanks, control characters and '%' travel as %XX ----------------------------------------------------

static int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// In place. False for a bad one, and for a zero byte, which no name has.
static bool decode(char* text) {
  char* to = text;
  for (; *text != '\0'; ++text, ++to) {
    *to = *text;
    if (*text != '%') continue;
    const int high = hex_digit(text[1]);
    const int low = high < 0 ? -1 : hex_digit(text[2]);
    if (low < 0 || (high | low) == 0) return false;
    *to = (char)(high << 4 | low);
    text += 2;
  }
  *to = '\0';
  return true;
}

// to: three times as long as the text, and one more.
static const char* encode(const char* text, char* to) {
  char* at = to;
  for (; *text != '\0'; ++text) {
    const unsigned char byte = (unsigned char)*text;
    if (byte > ' ' && byte != 0x7f && byte != '%') {
      *at++ = *text;
    } else {
      at += sprintf(at, "%%%02X", byte);
    }
  }
  *at = '\0';
  return to;
}

// Cuts the next word off: "" when there is none.
static char* next_word(char** rest) {
  char* word = *rest;
  char* end = strchr(word, ' ');
  *rest = end == NULL ? word + strlen(word) : end + 1;
  if (end != NULL) *end = '\0';
  return word;
}

// ---- answers ----------------------------------------------------------------------------------------------------

static void fail(int fd, const char* subject, const char* reason) {
  char name[3 * 256 + 1];
  char head[256];
  snprintf(head, sizeof head, "%s", subject);
  send_text(fd, "ERR %s: %s\n", encode(head, name), reason);
}

static void fail_with_errno(int fd, const char* subject) {
  fail(fd, subject, errno == ELOOP ? "is a symbolic link" : strerror(errno));
}

// ---- paths ------------------------------------------------------------------------------------------------------

enum { DIR_FLAGS = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC };

// The directory that path names below the one in `dir`, which is closed. -1 and errno if there is none.
static int walk(int dir, char* path) {
  for (char* step = strtok(path, "/"); step != NULL && dir >= 0; step = strtok(NULL, "/")) {
    int next = -1;
    if (strcmp(step, "..") == 0) {
      errno = EPERM;
    } else {
      next = openat(dir, step, DIR_FLAGS);
    }
    const int error = errno;
    close(dir);
    errno = error;
    dir = next;
  }
  return dir;
}

// As walk, for all but the last step, which comes back in *leaf.
static int walk_to_leaf(int dir, char* path, const char** leaf) {
  static char nowhere[] = "";
  for (size_t end = strlen(path); end > 0 && path[end - 1] == '/';) path[--end] = '\0';
  char* slash = strrchr(path, '/');
  *leaf = slash == NULL ? path : slash + 1;
  if (slash != NULL) *slash = '\0';
  if (**leaf != '\0' && strcmp(*leaf, ".") != 0 && strcmp(*leaf, "..") != 0) {
    return walk(dir, slash == NULL ? nowhere : path);
  }
  close(dir);
  errno = EISDIR;
  return -1;
}

// The root of the share with this tag; -1 when an error was answered.
static int open_share(int fd, char* tag, bool* read_only) {
  static struct share shares[MAX_SHARES];
  if (!decode(tag)) return fail(fd, "tag", "bad %-encoding"), -1;
  const int count = find_shares(shares);
  for (int n = 0; n < count; ++n) {
    if (strcmp(shares[n].tag, tag) != 0) continue;
    *read_only = shares[n].read_only;
    const int root = open(shares[n].root, DIR_FLAGS);
    if (root < 0) fail_with_errno(fd, tag);
    return root;
  }
  fail(fd, tag, "no such tag is shared");
  return -1;
}

// ---- LIST, DIR, READ --------------------------------------------------------------------------------------------

static void list_shares(int fd) {
  static struct share shares[MAX_SHARES];
  char tag[3 * TAG_BYTES + 4];
  const int count = find_shares(shares);
  send_text(fd, "OK %d\n", count);
  for (int n = 0; n < count; ++n) {
    send_text(fd, "%s %s\n", encode(shares[n].tag, tag), shares[n].read_only ? "ro" : "rw");
  }
}

static int is_name(const struct dirent* entry) {
  return strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
}

static int by_bytes(const struct dirent** a, const struct dirent** b) { return strcmp((*a)->d_name, (*b)->d_name); }

static char type_of(mode_t mode) {
  if (S_ISREG(mode)) return 'f';
  if (S_ISDIR(mode)) return 'd';
  return S_ISLNK(mode) ? 'l' : 'o';
}

static void send_entry(int fd, int dir, const char* name) {
  char encoded[3 * NAME_MAX + 1];
  struct stat info;
  if (fstatat(dir, name, &info, AT_SYMLINK_NOFOLLOW) != 0) memset(&info, 0, sizeof info);  // gone meanwhile
  send_text(fd, "%c %lld %s\n", type_of(info.st_mode), S_ISREG(info.st_mode) ? (long long)info.st_size : 0,
            encode(name, encoded));
}

static void list_dir(int fd, char* arguments) {
  bool read_only;
  struct dirent** names;
  const int root = open_share(fd, next_word(&arguments), &read_only);
  if (root < 0) return;
  char* path = next_word(&arguments);
  if (!decode(path)) {
    fail(fd, "path", "bad %-encoding");
    close(root);
    return;
  }
  const int dir = walk(root, path);
  const int count = dir < 0 ? -1 : scandirat(dir, ".", &names, is_name, by_bytes);
  if (count < 0) {
    fail_with_errno(fd, "path");
    return;
  }
  send_text(fd, "OK %d\n", count);
  for (int n = 0; n < count; ++n) {
    send_entry(fd, dir, names[n]->d_name);
    free(names[n]);
  }
  free(names);
  close(dir);
}

// A file that shrinks meanwhile ends the connection: the size was told already.
static void send_file(int fd, int file, uint64_t size) {
  char bytes[65536];
  send_text(fd, "OK %llu\n", (unsigned long long)size);
  while (size > 0) {
    const ssize_t n = read_some(file, bytes, size < sizeof bytes ? (size_t)size : sizeof bytes);
    if (n <= 0) exit(0);
    send_all(fd, bytes, (size_t)n);
    size -= (uint64_t)n;
  }
}

static void read_file(int fd, char* arguments) {
  bool read_only;
  const char* leaf;
  const int root = open_share(fd, next_word(&arguments), &read_only);
  if (root < 0) return;
  char* path = next_word(&arguments);
  if (!decode(path)) {
    fail(fd, "path", "bad %-encoding");
    close(root);
    return;
  }
  const int dir = walk_to_leaf(root, path, &leaf);
  if (dir < 0) {
    fail_with_errno(fd, leaf);
    return;
  }
  // O_NONBLOCK: a FIFO would be waited for.
  const int file = openat(dir, leaf, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  struct stat info;
  if (file < 0 || fstat(file, &info) != 0) {
    fail_with_errno(fd, leaf);
  } else if (!S_ISREG(info.st_mode)) {
    fail(fd, leaf, "is not a regular file");
  } else {
    send_file(fd, file, (uint64_t)info.st_size);
  }
  if (file >= 0) close(file);
  close(dir);
}

// ---- WRITE ------------------------------------------------------------------------------------------------------

// A file that appears under its name when it is complete.
struct new_file {
  int dir;
  int file;
  const char* leaf;
  char temporary[64];
};

// False when an error was answered; then nothing is open.
static bool begin_write(int fd, char* arguments, struct new_file* new_file) {
  static unsigned number = 0;
  bool read_only;
  const int root = open_share(fd, next_word(&arguments), &read_only);
  if (root < 0) return false;
  char* path = next_word(&arguments);
  if (read_only) return send_text(fd, "ERR read-only\n"), close(root), false;
  if (!decode(path)) return fail(fd, "path", "bad %-encoding"), close(root), false;
  new_file->dir = walk_to_leaf(root, path, &new_file->leaf);
  if (new_file->dir < 0) return fail_with_errno(fd, new_file->leaf), false;
  snprintf(new_file->temporary, sizeof new_file->temporary, ".mvm-write-%d-%u", (int)getpid(), ++number);
  new_file->file =
      openat(new_file->dir, new_file->temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
  if (new_file->file >= 0) return true;
  if (errno == EROFS) {
    send_text(fd, "ERR read-only\n");
  } else {
    fail_with_errno(fd, new_file->leaf);
  }
  close(new_file->dir);
  return false;
}

static void abandon(const struct new_file* new_file) { unlinkat(new_file->dir, new_file->temporary, 0); }

// The bytes that come, as many as were announced; into no file when the WRITE was refused, so that the next line is
// found.
static bool take_bytes(struct reader* in, uint64_t size, const struct new_file* new_file) {
  bool good = true;
  while (size > 0) {
    const char* bytes;
    const size_t n = reader_take(in, &bytes, size < READER_BYTES ? (size_t)size : READER_BYTES);
    if (n == 0) {
      if (new_file != NULL) abandon(new_file);
      exit(0);
    }
    if (new_file != NULL && good) good = write_file(new_file->file, bytes, n);
    size -= n;
  }
  return good;
}

static void end_write(int fd, uint64_t size, const struct new_file* new_file, bool good) {
  good = close(new_file->file) == 0 && good;
  if (good && renameat(new_file->dir, new_file->temporary, new_file->dir, new_file->leaf) == 0) {
    send_text(fd, "OK %llu\n", (unsigned long long)size);
  } else {
    fail_with_errno(fd, new_file->leaf);
    abandon(new_file);
  }
  close(new_file->dir);
}

static bool parse_size(const char* text, uint64_t* size) {
  char* end;
  errno = 0;
  *size = strtoull(text, &end, 10);
  return text[0] >= '0' && text[0] <= '9' && *end == '\0' && errno == 0;
}

// arguments are copied: taking the bytes moves the line away.
static void write_share(int fd, struct reader* in, const char* arguments) {
  static char copy[MAX_LINE_BYTES + 1];
  char* rest = copy;
  uint64_t size;
  struct new_file new_file;
  snprintf(copy, sizeof copy, "%s", arguments);
  if (!parse_size(next_word(&rest), &size)) {
    send_text(fd, "ERR WRITE <size> <tag> <path>\n");
    exit(0);  // how much follows is anybody's guess
  }
  if (begin_write(fd, rest, &new_file)) {
    end_write(fd, size, &new_file, take_bytes(in, size, &new_file));
  } else {
    take_bytes(in, size, NULL);
  }
}

void serve_shares(int fd) {
  static struct reader in;
  bool too_long;
  in.fd = fd;
  for (char* line; (line = reader_line(&in, MAX_LINE_BYTES, &too_long)) != NULL;) {
    char* arguments = line;
    const char* verb = next_word(&arguments);
    if (strcmp(verb, "LIST") == 0) {
      list_shares(fd);
    } else if (strcmp(verb, "DIR") == 0) {
      list_dir(fd, arguments);
    } else if (strcmp(verb, "READ") == 0) {
      read_file(fd, arguments);
    } else if (strcmp(verb, "WRITE") == 0) {
      write_share(fd, &in, arguments);
    } else {
      send_text(fd, "ERR LIST, DIR, READ or WRITE\n");
    }
  }
  if (too_long) send_text(fd, "ERR line too long\n");
}
