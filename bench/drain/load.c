#include "load.h"

#include <stdio.h>
#include <stdlib.h>

#include "http.h"

int may_begin(const struct worker *worker) {
  const struct job *job = worker->job;
  return worker->errors == 0 && (long)worker->done < job->requests && now() < job->deadline;
}

void note(struct worker *worker, double seconds, uint64_t bytes) {
  if (worker->done == worker->room) {
    worker->room = worker->room == 0 ? 1024 : worker->room * 2;
    worker->latencies = realloc(worker->latencies, worker->room * sizeof *worker->latencies);
    if (worker->latencies == NULL) abort();
  }
  worker->latencies[worker->done++] = seconds;
  worker->bytes += bytes;
}

void note_failure(struct worker *worker, const char *step, int status) {
  worker->errors++;
  if (status < 0) fprintf(stderr, "drain: %s: connection lost\n", step);
  else fprintf(stderr, "drain: %s: unexpected status %d\n", step, status);
}
