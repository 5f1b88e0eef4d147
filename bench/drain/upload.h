/* Uploads one blob to a repository. */
#ifndef DRAIN_UPLOAD_H
#define DRAIN_UPLOAD_H

#include "http.h"
#include "load.h"

/* The bytes are in memory or in a file. */
struct blob {
  const char *digest;
  uint64_t size;
  const char *bytes; /* NULL: in the file */
  int file;
};

/* Returns 0, or -1 after `note_failure`. MONOLITHIC: POST and PUT. CHUNKED: POST, one PATCH of chunks, PUT. */
int upload_blob(struct worker *worker, struct connection *connection, const char *repository, const struct blob *blob);

#endif
