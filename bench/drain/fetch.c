/* Repeats the same GET or HEAD. */
#include <stdio.h>
#include <stdlib.h>

#include "http.h"
#include "load.h"

static const char accept_header[] =
    "Accept: application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, "
    "application/vnd.docker.distribution.manifest.v2+json, */*";

void *fetch_again_and_again(void *argument) {
  struct worker *worker = argument;
  const struct job *job = worker->job;
  const char *method = job->method == HEAD ? "HEAD" : "GET";
  struct connection *connection = calloc(1, sizeof *connection);
  struct response response;
  http_connect(connection, job->port);
  while (may_begin(worker)) {
    double begin = now();
    if (http_printf(connection, LAST, "%s %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n%s\r\nUser-Agent: drain\r\n\r\n", method,
                    job->target, job->port, accept_header) != 0 ||
        http_receive(connection, job->method == HEAD, &response) != 0) {
      note_failure(worker, method, -1);
    } else if (response.status != 200) {
      note_failure(worker, method, response.status);
    } else {
      worker->to_first_byte += response.first_byte_at - begin;
      note(worker, now() - begin, response.body_bytes);
    }
  }
  return NULL;
}
