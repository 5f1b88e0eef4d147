/* A cheap blocking HTTP/1.1 connection to loopback. The kernel discards the bodies of downloads. */
#ifndef DRAIN_HTTP_H
#define DRAIN_HTTP_H

#include <stddef.h>
#include <stdint.h>

struct connection {
  int fd;
  int port;
  int closing; /* the server announced that it will close after this response */
  size_t filled;
  char buffer[65536];
};

struct response {
  int status;
  uint64_t body_bytes;
  double first_byte_at; /* when the first byte of the body arrived, or the headers if there is no body */
  char location[2048]; /* path and query only; empty if there was no such header */
};

enum more { LAST = 0, MORE = 1 };

double now(void);

/* Opens the connection, after closing an open one. Exits the process if the server does not listen. */
void http_connect(struct connection *connection, int port);

/* These return 0, or -1 if the connection broke. MORE: later bytes may share a packet with these. */
int http_send(struct connection *connection, const void *bytes, size_t length, enum more more);
int http_send_file(struct connection *connection, int file, uint64_t offset, uint64_t length);
__attribute__((format(printf, 3, 4))) int http_printf(struct connection *connection, enum more more, const char *format,
                                                      ...);

/* Reads one response and drops its body. `to_head`: it is the response to a HEAD and has no body. */
int http_receive(struct connection *connection, int to_head, struct response *response);

#endif
