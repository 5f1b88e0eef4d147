/**
 * Sends files as the layers of one image: in one archive, or one after the other with POST and PUT. Runs in its own process, so
 * that it does not share the thread of the benchmark. The same program sends both forms, so that its own cost is the same.
 *
 *   node archive-client.mjs PORT tar|form|post-put REPOSITORY DIGEST SIZE PATH [DIGEST SIZE PATH ...]
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { request } from 'node:http';
import { pack } from 'tar-stream';

const readBytes = 1024 * 1024;
const layoutType = 'application/vnd.oci.image';
/** As long as curl's: the longer it is, the faster a parser finds it. */
const boundary = '------------------------d74496d66958873e1Zq0Tp';

const [port = '', way = '', repository = '', ...rest] = process.argv.slice(2);
const layers = [];
for (let at = 0; at < rest.length; at += 3) {
  layers.push({ digest: rest[at] ?? '', size: Number(rest[at + 1]), path: rest[at + 2] ?? '' });
}
const config = document({ architecture: 'amd64', os: 'linux', rootfs: { type: 'layers', diff_ids: [] } });
const manifest = document({
  schemaVersion: 2,
  mediaType: `${layoutType}.manifest.v1+json`,
  config: { mediaType: `${layoutType}.config.v1+json`, digest: config.digest, size: config.bytes.length },
  layers: layers.map(({ digest, size }) => ({ mediaType: `${layoutType}.layer.v1.tar`, digest, size })),
});

const begin = performance.now();
if (way === 'post-put') await pushAll();
else await importAll(way === 'form');
process.stdout.write(JSON.stringify({ seconds: (performance.now() - begin) / 1000 }));

async function pushAll() {
  for (const { digest, size, path } of layers)
    await pushBlob(digest, size, createReadStream(path, { highWaterMark: readBytes }));
  await pushBlob(config.digest, config.bytes.length, [config.bytes]);
  const headers = { 'Content-Type': `${layoutType}.manifest.v1+json`, 'Content-Length': manifest.bytes.length };
  await send('PUT', `/v2/${repository}/bench/manifests/1`, headers, [manifest.bytes]);
}

/**
 * @param {string} digest
 * @param {number} size
 * @param {Iterable<Uint8Array> | AsyncIterable<Uint8Array>} bytes
 */
async function pushBlob(digest, size, bytes) {
  const { location = '' } = await send('POST', `/v2/${repository}/bench/blobs/uploads/`, { 'Content-Length': 0 }, []);
  await send('PUT', `${location}?digest=${digest}`, { 'Content-Length': size }, bytes);
}

/** @param {boolean} asForm */
async function importAll(asForm) {
  const path = `/api/v1/repositories/${repository}/import?image=bench&tag=1`;
  if (!asForm) {
    await send('POST', path, { 'Content-Type': 'application/x-tar' }, archive());
    return;
  }
  await send('POST', path, { 'Content-Type': `multipart/form-data; boundary=${boundary}` }, form(archive()));
}

/** @param {AsyncIterable<Uint8Array>} file */
async function* form(file) {
  const head = 'Content-Disposition: form-data; name="file"; filename="a.tar"\r\nContent-Type: application/x-tar';
  yield Buffer.from(`--${boundary}\r\n${head}\r\n\r\n`);
  yield* file;
  yield Buffer.from(`\r\n--${boundary}--\r\n`);
}

async function* archive() {
  const index = {
    schemaVersion: 2,
    manifests: [{ mediaType: `${layoutType}.manifest.v1+json`, digest: manifest.digest, size: manifest.bytes.length }],
  };
  yield* file('oci-layout', [Buffer.from('{"imageLayoutVersion":"1.0.0"}')]);
  for (const { digest, size, path } of layers) {
    yield* file(blobPath(digest), createReadStream(path, { highWaterMark: readBytes }), size);
  }
  for (const { digest, bytes } of [config, manifest]) yield* file(blobPath(digest), [bytes]);
  yield* file('index.json', [Buffer.from(JSON.stringify(index))]);
  yield Buffer.alloc(1024);
}

/**
 * @param {string} name
 * @param {Iterable<Uint8Array> | AsyncIterable<Uint8Array>} bytes
 * @param {number} [known]
 */
async function* file(name, bytes, known) {
  const size = known ?? [.../** @type {Iterable<Uint8Array>} */ (bytes)].reduce((sum, { length }) => sum + length, 0);
  const packer = pack();
  packer.entry({ name, size });
  for await (const header of packer) {
    yield header;
    break;
  }
  yield* bytes;
  yield Buffer.alloc((512 - (size % 512)) % 512);
}

/** @param {string} digest */
function blobPath(digest) {
  return `blobs/${digest.replace(':', '/')}`;
}

/** @param {object} value */
function document(value) {
  const bytes = Buffer.from(JSON.stringify(value));
  return { bytes, digest: `sha256:${createHash('sha256').update(bytes).digest('hex')}` };
}

/**
 * @param {string} method
 * @param {string} path
 * @param {Record<string, string | number>} headers
 * @param {Iterable<Uint8Array> | AsyncIterable<Uint8Array>} body
 * @returns {Promise<import('node:http').IncomingHttpHeaders>}
 */
function send(method, path, headers, body) {
  return new Promise((resolve, reject) => {
    const req = request({ host: '127.0.0.1', port: Number(port), method, path, headers }, (res) => {
      let text = '';
      res.setEncoding('utf8').on('data', (chunk) => (text += String(chunk)));
      res.on('end', () => {
        if (res.statusCode === 201 || res.statusCode === 202) resolve(res.headers);
        else reject(new Error(`${method} ${path}: ${res.statusCode} ${text.slice(0, 500)}`));
      });
    });
    req.on('error', reject);
    write(req, body).catch(reject);
  });
}

/**
 * @param {import('node:http').ClientRequest} req
 * @param {Iterable<Uint8Array> | AsyncIterable<Uint8Array>} body
 */
async function write(req, body) {
  for await (const chunk of body) {
    if (chunk.length > 0 && !req.write(chunk)) await new Promise((resolve) => req.once('drain', resolve));
  }
  req.end();
}
