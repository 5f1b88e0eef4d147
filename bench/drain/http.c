#define _GNU_SOURCE
#include "http.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

void http_connect(struct connection *connection, int port) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  int one = 1;
  if (connection->fd > 0) close(connection->fd);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  connection->port = port;
  connection->filled = 0;
  connection->closing = 0;
  connection->fd = socket(AF_INET, SOCK_STREAM, 0);
  if (connection->fd < 0 || connect(connection->fd, (struct sockaddr *)&address, sizeof address) != 0) {
    perror("drain: connect");
    exit(1);
  }
  setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

int http_send(struct connection *connection, const void *bytes, size_t length, enum more more) {
  const char *rest = bytes;
  while (length > 0) {
    ssize_t sent = send(connection->fd, rest, length, MSG_NOSIGNAL | (more ? MSG_MORE : 0));
    if (sent <= 0) return -1;
    rest += sent;
    length -= (size_t)sent;
  }
  return 0;
}

int http_send_file(struct connection *connection, int file, uint64_t offset, uint64_t length) {
  off_t position = (off_t)offset;
  off_t end = (off_t)(offset + length);
  while (position < end) {
    if (sendfile(connection->fd, file, &position, (size_t)(end - position)) <= 0) return -1;
  }
  return 0;
}

int http_printf(struct connection *connection, enum more more, const char *format, ...) {
  char text[4096];
  va_list arguments;
  va_start(arguments, format);
  int length = vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  if (length < 0 || (size_t)length >= sizeof text) return -1;
  return http_send(connection, text, (size_t)length, more);
}

/* Moves the bytes after the first `used` bytes to the front of the buffer. */
static void consume(struct connection *connection, size_t used) {
  connection->filled -= used;
  memmove(connection->buffer, connection->buffer + used, connection->filled);
}

/* Waits for `mark` and returns the offset after it, or -1. */
static ssize_t read_through(struct connection *connection, const char *mark) {
  for (;;) {
    size_t room = sizeof connection->buffer - 1 - connection->filled;
    connection->buffer[connection->filled] = '\0';
    char *found = strstr(connection->buffer, mark);
    if (found != NULL) return found - connection->buffer + (ssize_t)strlen(mark);
    /* Read in small pieces: body bytes that arrive with the headers are copied, later ones are not. */
    ssize_t count = recv(connection->fd, connection->buffer + connection->filled, room < 4096 ? room : 4096, 0);
    if (count <= 0) return -1;
    connection->filled += (size_t)count;
  }
}

/* Does not remove it from the buffer. */
static void wait_for_byte(const struct connection *connection) {
  char byte;
  (void)!recv(connection->fd, &byte, 1, MSG_PEEK);
}

static int drop(struct connection *connection, uint64_t length) {
  size_t here = connection->filled < length ? connection->filled : (size_t)length;
  consume(connection, here);
  for (length -= here; length > 0;) {
    /* With MSG_TRUNC, TCP discards the bytes instead of copying them. */
    ssize_t count = recv(connection->fd, NULL, length < (4 << 20) ? (size_t)length : (4 << 20), MSG_TRUNC);
    if (count <= 0) return -1;
    length -= (uint64_t)count;
  }
  return 0;
}

static int drop_chunks(struct connection *connection, uint64_t *total) {
  for (;;) {
    ssize_t line = read_through(connection, "\r\n");
    if (line < 0) return -1;
    uint64_t size = strtoull(connection->buffer, NULL, 16);
    consume(connection, (size_t)line);
    if (drop(connection, size + 2) != 0) return -1;
    if (size == 0) return 0;
    *total += size;
  }
}

struct framing {
  uint64_t length;
  int chunked;
};

static void read_header(struct connection *connection, const char *line, struct response *response,
                        struct framing *framing) {
  if (strncasecmp(line, "content-length:", 15) == 0) {
    framing->length = strtoull(line + 15, NULL, 10);
  } else if (strncasecmp(line, "transfer-encoding:", 18) == 0) {
    framing->chunked = 1;
  } else if (strcasecmp(line, "connection: close") == 0) {
    connection->closing = 1;
  } else if (strncasecmp(line, "location:", 9) == 0) {
    const char *value = line + 9 + strspn(line + 9, " ");
    const char *host = strstr(value, "://");
    const char *path = host == NULL ? value : strchr(host + 3, '/');
    snprintf(response->location, sizeof response->location, "%s", path == NULL ? "" : path);
  }
}

int http_receive(struct connection *connection, int to_head, struct response *response) {
  struct framing framing = {0, 0};
  char *rest = NULL;
  ssize_t length;
  do {
    length = read_through(connection, "\r\n\r\n");
    if (length < 0) return -1;
    response->status = atoi(connection->buffer + 9);
    if (response->status == 100) consume(connection, (size_t)length);
  } while (response->status == 100);
  response->body_bytes = 0;
  response->location[0] = '\0';
  connection->buffer[length - 1] = '\0';
  for (char *line = strtok_r(connection->buffer, "\r\n", &rest); line != NULL; line = strtok_r(NULL, "\r\n", &rest)) {
    read_header(connection, line, response, &framing);
  }
  consume(connection, (size_t)length);
  int has_body = !to_head && response->status != 204 && response->status != 304;
  if (has_body && connection->filled == 0 && (framing.chunked || framing.length > 0)) wait_for_byte(connection);
  response->first_byte_at = now();

  int failed = 0;
  if (has_body) {
    if (framing.chunked) {
      failed = drop_chunks(connection, &response->body_bytes);
    } else {
      response->body_bytes = framing.length;
      failed = drop(connection, framing.length);
    }
  }
  if (failed == 0 && connection->closing) http_connect(connection, connection->port);
  return failed;
}
