/*
 * Fails file operations of a process on request. Preloaded into a server by fault-shim.ts.
 *
 * FAULTS_ROOT is the folder whose files can fail. FAULTS_CONTROL is a file of CONTROL_BYTES that is mapped into memory:
 * while the server runs, the test writes faults into it and reads counts and the log of calls from it. fault-shim.ts
 * describes the layout.
 *
 * It covers the functions of libc that node and classic-level use for creating, opening, writing, syncing, renaming,
 * unlinking and truncating files. LevelDB writes through stdio: this library opens its files as custom streams
 * (fopencookie), so that a failure hits the write that stdio makes, and libc handles the rest of the buffer itself.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define CONTROL_BYTES (4096 + (1 << 20))
#define MAX_FAULTS 4

/* One fault: the calls from `first` to `last` fail with `error`. With `half`, half of a write is done first. */
struct fault {
  uint32_t first, last, error, half;
};

struct control {
  _Atomic uint32_t on;
  _Atomic uint32_t calls;
  _Atomic uint32_t hits;
  _Atomic uint32_t log_bytes;
  struct fault faults[MAX_FAULTS];
  /* 0: all paths. 1: paths that begin with `prefix`. 2: all other paths. */
  uint32_t scope;
  char prefix[60];
};

static struct control *control;
static const char *root;
static size_t root_length;

__attribute__((constructor)) static void start(void) {
  const char *path = getenv("FAULTS_CONTROL");
  root = getenv("FAULTS_ROOT");
  if (path == NULL || root == NULL) return;
  root_length = strlen(root);
  int fd = open(path, O_RDWR | O_CLOEXEC);
  if (fd < 0) return;
  void *memory = mmap(NULL, CONTROL_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close(fd);
  if (memory != MAP_FAILED) control = memory;
}

#define REAL(name) ((__typeof__(&name))real(#name))

static void *real(const char *name) {
  void *found = dlsym(RTLD_NEXT, name);
  if (found == NULL) abort();
  return found;
}

static void record(uint32_t number, const char *kind, const char *path) {
  char line[PATH_MAX + 64];
  int length = snprintf(line, sizeof line, "%u %s %s\n", number, kind, path);
  uint32_t at = atomic_fetch_add(&control->log_bytes, (uint32_t)length);
  if (at + (uint32_t)length > CONTROL_BYTES - 4096) return;
  memcpy((char *)control + 4096 + at, line, (size_t)length);
}

static int is_in_scope(const char *path) {
  if (control->scope == 0) return 1;
  int begins = strncmp(path, control->prefix, strlen(control->prefix)) == 0;
  return begins == (control->scope == 1);
}

/* Counts and records the call. Returns its fault, or NULL. */
static const struct fault *meet(const char *kind, const char *path) {
  if (control == NULL || path == NULL || !atomic_load(&control->on)) return NULL;
  if (strncmp(path, root, root_length) != 0 || (path[root_length] != '/' && path[root_length] != 0)) return NULL;
  if (!is_in_scope(path + root_length)) return NULL;
  uint32_t number = atomic_fetch_add(&control->calls, 1) + 1;
  record(number, kind, path + root_length);
  for (int i = 0; i < MAX_FAULTS; i++) {
    const struct fault *fault = &control->faults[i];
    if (fault->first == 0 || number < fault->first || number > fault->last) continue;
    atomic_fetch_add(&control->hits, 1);
    return fault;
  }
  return NULL;
}

static int fails(const char *kind, const char *path) {
  const struct fault *fault = meet(kind, path);
  if (fault == NULL) return 0;
  errno = (int)fault->error;
  return 1;
}

static const char *path_of(int fd, char *path) {
  char link[64];
  if (control == NULL || !atomic_load(&control->on)) return NULL;
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, PATH_MAX - 1);
  if (length < 0) return NULL;
  path[length] = 0;
  return path;
}

static int fd_fails(const char *kind, int fd) {
  int before = errno;
  char path[PATH_MAX];
  int failed = fails(kind, path_of(fd, path));
  if (!failed) errno = before;
  return failed;
}

/* Opening */

static const char *open_kind(int flags) { return flags & O_CREAT ? "create" : "open"; }

int open64(const char *path, int flags, ...) {
  mode_t mode = 0;
  if (flags & (O_CREAT | O_TMPFILE)) {
    va_list rest;
    va_start(rest, flags);
    mode = va_arg(rest, mode_t);
    va_end(rest);
  }
  if (fails(open_kind(flags), path)) return -1;
  return REAL(open64)(path, flags, mode);
}

int open(const char *path, int flags, ...) __attribute__((alias("open64")));

DIR *opendir(const char *path) { return fails("open", path) ? NULL : REAL(opendir)(path); }

int scandir64(const char *path, struct dirent64 ***list, int (*filter)(const struct dirent64 *),
              int (*compare)(const struct dirent64 **, const struct dirent64 **)) {
  return fails("open", path) ? -1 : REAL(scandir64)(path, list, filter, compare);
}

int mkdir(const char *path, mode_t mode) { return fails("mkdir", path) ? -1 : REAL(mkdir)(path, mode); }

/* Writing to descriptors. A half write reports what was written; writing the rest then fails. */

static _Thread_local int rest_fails_fd = -1;
static _Thread_local int rest_fails_with;

/* 0: write everything. 1: write half. -1: fail. */
static int write_verdict(int fd) {
  int before = errno;
  if (rest_fails_fd == fd && fd >= 0) {
    rest_fails_fd = -1;
    errno = rest_fails_with;
    return -1;
  }
  char path[PATH_MAX];
  const struct fault *fault = meet("write", path_of(fd, path));
  errno = before;
  if (fault == NULL) return 0;
  if (fault->half) {
    rest_fails_fd = fd;
    rest_fails_with = (int)fault->error;
    return 1;
  }
  errno = (int)fault->error;
  return -1;
}

#define WRITE_HALF(size) ((size) > 1 ? (size) / 2 : (size))

ssize_t write(int fd, const void *bytes, size_t size) {
  int verdict = write_verdict(fd);
  return verdict < 0 ? -1 : REAL(write)(fd, bytes, verdict ? WRITE_HALF(size) : size);
}

ssize_t pwrite64(int fd, const void *bytes, size_t size, off64_t at) {
  int verdict = write_verdict(fd);
  return verdict < 0 ? -1 : REAL(pwrite64)(fd, bytes, verdict ? WRITE_HALF(size) : size, at);
}

static struct iovec half_of(const struct iovec *first) {
  struct iovec half = *first;
  half.iov_len = WRITE_HALF(half.iov_len);
  return half;
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
  int verdict = write_verdict(fd);
  if (verdict < 0) return -1;
  if (verdict == 0) return REAL(writev)(fd, parts, count);
  struct iovec half = half_of(parts);
  return REAL(writev)(fd, &half, 1);
}

ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t at) {
  int verdict = write_verdict(fd);
  if (verdict < 0) return -1;
  if (verdict == 0) return REAL(pwritev64)(fd, parts, count, at);
  struct iovec half = half_of(parts);
  return REAL(pwritev64)(fd, &half, 1, at);
}

int fsync(int fd) { return fd_fails("sync", fd) ? -1 : REAL(fsync)(fd); }
int fdatasync(int fd) { return fd_fails("sync", fd) ? -1 : REAL(fdatasync)(fd); }
int ftruncate64(int fd, off64_t size) { return fd_fails("truncate", fd) ? -1 : REAL(ftruncate64)(fd, size); }

/* Names */

int rename(const char *from, const char *to) { return fails("rename", to) ? -1 : REAL(rename)(from, to); }
int unlink(const char *path) { return fails("unlink", path) ? -1 : REAL(unlink)(path); }

/* Streams: stdio writes through `stream_write`. */

struct stream {
  FILE *file;
  int fd;
  struct stream *next;
};

static struct stream *streams;
static pthread_mutex_t streams_lock = PTHREAD_MUTEX_INITIALIZER;

static ssize_t stream_write(void *cookie, const char *bytes, size_t size) {
  int fd = ((struct stream *)cookie)->fd;
  int before = errno;
  char path[PATH_MAX];
  const struct fault *fault = meet("write", path_of(fd, path));
  errno = before;
  size_t target = fault == NULL ? size : fault->half ? size / 2 : 0;
  size_t done = 0;
  while (done < target) {
    ssize_t written = REAL(write)(fd, bytes + done, target - done);
    if (written < 0) return (ssize_t)done;
    done += (size_t)written;
  }
  if (fault != NULL) errno = (int)fault->error;
  return (ssize_t)done;
}

static int stream_seek(void *cookie, off64_t *at, int whence) {
  off64_t found = lseek64(((struct stream *)cookie)->fd, *at, whence);
  if (found < 0) return -1;
  *at = found;
  return 0;
}

static int stream_close(void *cookie) {
  struct stream *mine = cookie;
  pthread_mutex_lock(&streams_lock);
  for (struct stream **at = &streams; *at != NULL; at = &(*at)->next) {
    if (*at != mine) continue;
    *at = mine->next;
    break;
  }
  pthread_mutex_unlock(&streams_lock);
  int result = close(mine->fd);
  free(mine);
  return result;
}

FILE *fopen64(const char *path, const char *mode) {
  int writes = mode[0] == 'w' || mode[0] == 'a';
  if (fails(writes ? "create" : "open", path)) return NULL;
  if (!writes || control == NULL || strncmp(path, root, root_length) != 0) return REAL(fopen64)(path, mode);
  int flags = O_CREAT | O_WRONLY | O_CLOEXEC | (mode[0] == 'w' ? O_TRUNC : O_APPEND);
  int fd = REAL(open64)(path, flags, 0666);
  if (fd < 0) return NULL;
  struct stream *mine = malloc(sizeof *mine);
  mine->fd = fd;
  cookie_io_functions_t functions = {NULL, stream_write, stream_seek, stream_close};
  mine->file = fopencookie(mine, mode, functions);
  /* The size that stdio uses for a file. */
  setvbuf(mine->file, NULL, _IOFBF, 4096);
  pthread_mutex_lock(&streams_lock);
  mine->next = streams;
  streams = mine;
  pthread_mutex_unlock(&streams_lock);
  return mine->file;
}

FILE *fopen(const char *path, const char *mode) __attribute__((alias("fopen64")));

int fileno(FILE *file) {
  int fd = -1;
  pthread_mutex_lock(&streams_lock);
  for (struct stream *at = streams; at != NULL; at = at->next)
    if (at->file == file) fd = at->fd;
  pthread_mutex_unlock(&streams_lock);
  return fd >= 0 ? fd : REAL(fileno)(file);
}
