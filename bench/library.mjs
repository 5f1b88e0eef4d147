/** The content that a server has when reads are measured. Each part is pushed, and only if a measure needs it. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { expect } from './client.mjs';

/** @typedef {'blob' | 'image' | 'tags' | 'catalog'} Part */

/**
 * @typedef {object} Shelf
 * @property {number} port
 * @property {string} prefix
 * @property {import('./sources.mjs').Source} source The large blob.
 * @property {number} tags
 * @property {number} repositories
 */

const octets = { 'Content-Type': 'application/octet-stream' };
const manifestType = 'application/vnd.oci.image.manifest.v1+json';
const indexType = 'application/vnd.oci.image.index.v1+json';
const layerType = 'application/vnd.oci.image.layer.v1.tar+gzip';
const configType = 'application/vnd.oci.image.config.v1+json';
const parallel = 8;

const config = Buffer.from('{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}');
const makeLayer = (/** @type {number} */ index) => Buffer.alloc(10 * 1024, `layer ${index} `);
const layers = Array.from({ length: 10 }, (_, index) => makeLayer(index));
const manifest = JSON.stringify({
  schemaVersion: 2,
  mediaType: manifestType,
  config: describe(configType, config),
  layers: layers.map((layer) => describe(layerType, layer)),
});
const emptyIndex = JSON.stringify({ schemaVersion: 2, mediaType: indexType, manifests: [] });

/** The paths of the parts for the load client, without the prefix of the server. */
export const places = {
  /** @param {string} digest */
  largeBlob: (digest) => `bench/large/blobs/${digest}`,
  manifestByTag: 'bench/image/manifests/latest',
  manifestByDigest: `bench/image/manifests/${digestOf(Buffer.from(manifest))}`,
  smallBlob: `bench/image/blobs/${digestOf(makeLayer(0))}`,
  tags: 'bench/tags/tags/list',
};

/** @param {number} index */
export function tagName(index) {
  return `v${String(index).padStart(6, '0')}`;
}

/** @type {Record<Part, (shelf: Shelf) => Promise<void>>} */
const fillers = {
  blob: async ({ port, prefix, source }) => {
    const headers = { ...octets, 'Content-Length': source.size };
    await upload(port, `${prefix}bench/large`, source.digest, { headers, body: createReadStream(source.path) });
  },
  image: async ({ port, prefix }) => {
    await putImage(port, `${prefix}bench/image`, 'latest');
  },
  tags: async ({ port, prefix, tags }) => {
    const repository = `${prefix}bench/tags`;
    await putImage(port, repository, tagName(0));
    await eachOf(tags, (index) => putManifest(port, repository, tagName(index), manifestType, manifest));
  },
  catalog: async ({ port, prefix, repositories }) => {
    await eachOf(repositories, (index) =>
      putManifest(port, `${prefix}bench/catalog/${tagName(index)}`, 'latest', indexType, emptyIndex),
    );
  },
};

/**
 * @param {Shelf} shelf
 * @param {Iterable<Part>} parts
 */
export async function fillLibrary(shelf, parts) {
  for (const part of parts) await fillers[part](shelf);
}

/**
 * @param {number} port
 * @param {string} repository
 * @param {string} tag
 */
async function putImage(port, repository, tag) {
  for (const bytes of [config, ...layers]) {
    await upload(port, repository, digestOf(bytes), {
      headers: { ...octets, 'Content-Length': bytes.length },
      body: bytes,
    });
  }
  await putManifest(port, repository, tag, manifestType, manifest);
}

/**
 * @param {number} port
 * @param {string} repository
 * @param {string} digest
 * @param {import('./client.mjs').Content} content
 */
async function upload(port, repository, digest, content) {
  const { headers } = await expect(202, port, 'POST', `/v2/${repository}/blobs/uploads/`);
  const location = new URL(headers.location ?? '', `http://127.0.0.1:${port}`);
  location.searchParams.set('digest', digest);
  await expect(201, port, 'PUT', location.pathname + location.search, content);
}

/**
 * @param {number} port
 * @param {string} repository
 * @param {string} reference
 * @param {string} type
 * @param {string} body
 */
async function putManifest(port, repository, reference, type, body) {
  const headers = { 'Content-Type': type, 'Content-Length': Buffer.byteLength(body) };
  await expect(201, port, 'PUT', `/v2/${repository}/manifests/${reference}`, { headers, body });
}

/**
 * @param {number} count
 * @param {(index: number) => Promise<void>} task
 */
async function eachOf(count, task) {
  let next = 0;
  const work = async () => {
    while (next < count) await task(next++);
  };
  await Promise.all(Array.from({ length: parallel }, work));
}

/**
 * @param {string} mediaType
 * @param {Buffer} bytes
 */
function describe(mediaType, bytes) {
  return { mediaType, digest: digestOf(bytes), size: bytes.length };
}

/** @param {Buffer} bytes */
function digestOf(bytes) {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}
