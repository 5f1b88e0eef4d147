/* Pushes small images with unique layers: a HEAD and an upload for each layer and the config, then the manifest. */
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "http.h"
#include "load.h"
#include "upload.h"

enum { LAYERS = 10, LAYER_BYTES = 10 * 1024, DIGEST_ROOM = 80, MANIFEST_ROOM = 8192 };

struct image {
  char repository[256];
  char tag[32];
  char layer[LAYER_BYTES]; /* random, and changed for each layer */
  char digests[LAYERS + 1][DIGEST_ROOM]; /* the last one is the config's */
  size_t config_bytes;
};

static void digest_of(const char *bytes, size_t length, char *digest) {
  unsigned char hash[SHA256_DIGEST_LENGTH];
  SHA256((const unsigned char *)bytes, length, hash);
  char *hex = digest + sprintf(digest, "sha256:");
  for (int i = 0; i < SHA256_DIGEST_LENGTH; i++) hex += sprintf(hex, "%02x", hash[i]);
}

static int push_missing(struct worker *worker, struct connection *connection, const struct image *image,
                        const struct blob *blob) {
  struct response response;
  if (http_printf(connection, LAST, "HEAD /v2/%s/blobs/%s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n", image->repository,
                  blob->digest, connection->port) != 0 ||
      http_receive(connection, 1, &response) != 0) {
    note_failure(worker, "HEAD", -1);
    return -1;
  }
  if (response.status != 404) {
    note_failure(worker, "HEAD", response.status);
    return -1;
  }
  return upload_blob(worker, connection, image->repository, blob);
}

static int push_layers(struct worker *worker, struct connection *connection, struct image *image) {
  for (int i = 0; i < LAYERS; i++) {
    uint64_t mark[3] = {(uint64_t)worker->id, worker->done, (uint64_t)i};
    struct blob blob = {.digest = image->digests[i], .size = LAYER_BYTES, .bytes = image->layer};
    memcpy(image->layer, mark, sizeof mark);
    digest_of(image->layer, LAYER_BYTES, image->digests[i]);
    if (push_missing(worker, connection, image, &blob) != 0) return -1;
  }
  return 0;
}

static int push_config(struct worker *worker, struct connection *connection, struct image *image) {
  char config[256];
  struct blob blob = {.digest = image->digests[LAYERS], .bytes = config};
  /* The digest of the first layer, which is random, makes the config unique. */
  int length = snprintf(config, sizeof config,
                        "{\"architecture\":\"amd64\",\"os\":\"linux\","
                        "\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"%s\"]}}",
                        image->digests[0]);
  blob.size = image->config_bytes = (size_t)length;
  digest_of(config, (size_t)length, image->digests[LAYERS]);
  return push_missing(worker, connection, image, &blob);
}

static int push_manifest(struct worker *worker, struct connection *connection, const struct image *image) {
  char manifest[MANIFEST_ROOM];
  struct response response = {0};
  char *end = manifest + sprintf(manifest,
                                 "{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\","
                                 "\"config\":{\"mediaType\":\"application/vnd.oci.image.config.v1+json\","
                                 "\"digest\":\"%s\",\"size\":%zu},\"layers\":[",
                                 image->digests[LAYERS], image->config_bytes);
  for (int i = 0; i < LAYERS; i++) {
    end += sprintf(end, "%s{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar+gzip\",\"digest\":\"%s\",\"size\":%d}",
                   i == 0 ? "" : ",", image->digests[i], LAYER_BYTES);
  }
  end += sprintf(end, "]}");
  if (http_printf(connection, MORE,
                  "PUT /v2/%s/manifests/%s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n"
                  "Content-Type: application/vnd.oci.image.manifest.v1+json\r\nContent-Length: %td\r\n\r\n",
                  image->repository, image->tag, connection->port, end - manifest) != 0 ||
      http_send(connection, manifest, (size_t)(end - manifest), LAST) != 0 ||
      http_receive(connection, 0, &response) != 0) {
    note_failure(worker, "manifest", -1);
    return -1;
  }
  if (response.status == 201) return 0;
  note_failure(worker, "manifest", response.status);
  return -1;
}

void *push_images(void *argument) {
  struct worker *worker = argument;
  struct connection *connection = calloc(1, sizeof *connection);
  struct image *image = calloc(1, sizeof *image);
  for (size_t filled = 0; filled < LAYER_BYTES;) {
    ssize_t count = getrandom(image->layer + filled, LAYER_BYTES - filled, 0);
    if (count > 0) filled += (size_t)count;
  }
  http_connect(connection, worker->job->port);
  snprintf(image->repository, sizeof image->repository, "%s/w%d", worker->job->target, worker->id);
  while (may_begin(worker)) {
    double begin = now();
    snprintf(image->tag, sizeof image->tag, "t%zu", worker->done);
    if (push_layers(worker, connection, image) == 0 && push_config(worker, connection, image) == 0 &&
        push_manifest(worker, connection, image) == 0) {
      note(worker, now() - begin, LAYERS * LAYER_BYTES);
    }
  }
  return NULL;
}
