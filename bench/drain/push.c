/* Pushes large blobs, each from a file to its own repository. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "load.h"
#include "upload.h"

void *push_blobs(void *argument) {
  struct worker *worker = argument;
  const struct job *job = worker->job;
  const struct file *source = &job->files[worker->id % job->file_count];
  struct connection *connection = calloc(1, sizeof *connection);
  struct stat status;
  int file = open(source->path, O_RDONLY);
  if (file < 0 || fstat(file, &status) != 0) {
    perror(source->path);
    exit(1);
  }
  struct blob blob = {.digest = source->digest, .size = (uint64_t)status.st_size, .file = file};
  http_connect(connection, job->port);
  while (may_begin(worker)) {
    double begin = now();
    char repository[256];
    snprintf(repository, sizeof repository, "%s/c%d-%zu", job->target, worker->id, worker->done);
    if (upload_blob(worker, connection, repository, &blob) == 0) note(worker, now() - begin, blob.size);
  }
  return NULL;
}
