#include "upload.h"

#include <string.h>

static const uint64_t chunk_bytes = 32 * 1024;

/* Reads the answer to `step`. Returns 0 if it has the expected status. */
static int expect(struct worker *worker, struct connection *connection, const char *step, int sent, int status,
                  struct response *response) {
  if (sent != 0 || http_receive(connection, 0, response) != 0) {
    note_failure(worker, step, -1);
    return -1;
  }
  if (response->status == status) return 0;
  note_failure(worker, step, response->status);
  return -1;
}

static int send_piece(struct connection *connection, const struct blob *blob, uint64_t offset, uint64_t length) {
  if (blob->bytes == NULL) return http_send_file(connection, blob->file, offset, length);
  return http_send(connection, blob->bytes + offset, length, MORE);
}

static int send_chunks(struct connection *connection, const struct blob *blob) {
  for (uint64_t offset = 0; offset < blob->size; offset += chunk_bytes) {
    uint64_t rest = blob->size - offset;
    uint64_t length = rest < chunk_bytes ? rest : chunk_bytes;
    if (http_printf(connection, MORE, "%llx\r\n", (unsigned long long)length) != 0) return -1;
    if (send_piece(connection, blob, offset, length) != 0) return -1;
    if (http_send(connection, "\r\n", 2, MORE) != 0) return -1;
  }
  return http_send(connection, "0\r\n\r\n", 5, LAST);
}

static int send_put(struct connection *connection, const char *location, const struct blob *blob, uint64_t length) {
  return http_printf(connection, length > 0 ? MORE : LAST,
                     "PUT %s%cdigest=%s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: application/octet-stream\r\n"
                     "Content-Length: %llu\r\n\r\n",
                     location, strchr(location, '?') == NULL ? '?' : '&', blob->digest, connection->port,
                     (unsigned long long)length);
}

static int send_all(struct connection *connection, const struct blob *blob) {
  if (blob->bytes == NULL) return http_send_file(connection, blob->file, 0, blob->size);
  return http_send(connection, blob->bytes, blob->size, LAST);
}

int upload_blob(struct worker *worker, struct connection *connection, const char *repository, const struct blob *blob) {
  struct response response;
  int sent = http_printf(connection, LAST,
                         "POST /v2/%s/blobs/uploads/ HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Length: 0\r\n\r\n",
                         repository, connection->port);
  if (expect(worker, connection, "POST", sent, 202, &response) != 0) return -1;
  if (worker->job->upload == MONOLITHIC) {
    sent = send_put(connection, response.location, blob, blob->size);
    if (sent == 0) sent = send_all(connection, blob);
    return expect(worker, connection, "PUT", sent, 201, &response);
  }
  sent = http_printf(connection, MORE,
                     "PATCH %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: application/octet-stream\r\n"
                     "Transfer-Encoding: chunked\r\n\r\n",
                     response.location, connection->port);
  if (sent == 0) sent = send_chunks(connection, blob);
  if (expect(worker, connection, "PATCH", sent, 202, &response) != 0) return -1;
  sent = send_put(connection, response.location, blob, 0);
  return expect(worker, connection, "PUT", sent, 201, &response);
}
