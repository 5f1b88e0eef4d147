/* A blocking HTTP/1.1 connection to loopback that costs little: bodies of downloads are dropped in the kernel. */
#ifndef DRAIN_HTTP_H
#define DRAIN_HTTP_H

#include <stddef.h>
#include <stdint.h>

struct connection {
  int fd;
  int port;
  int closing; /* the server said that it closes after this response */
  size_t filled;
  char buffer[65536];
};

struct response {
  int status;
  uint64_t body_bytes;
  double first_byte_at; /* when the first byte of the body was there, or the headers where there is none */
  char location[2048]; /* path and query only; empty where there was none */
};

enum more { LAST = 0, MORE = 1 };

double now(void);

/* Opens the connection again if it is open. Ends the process when the server does not listen. */
void http_connect(struct connection *connection, int port);

/* All of these return 0, or -1 when the connection broke. MORE: what follows may share a packet with it. */
int http_send(struct connection *connection, const void *bytes, size_t length, enum more more);
int http_send_file(struct connection *connection, int file, uint64_t offset, uint64_t length);
__attribute__((format(printf, 3, 4))) int http_printf(struct connection *connection, enum more more, const char *format,
                                                      ...);

/* Reads one response and drops its body. `to_head`: it answers a HEAD, so that no body follows. */
int http_receive(struct connection *connection, int to_head, struct response *response);

#endif
